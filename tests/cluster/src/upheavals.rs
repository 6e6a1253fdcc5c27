//! What operators do under load: shards are moved, all nodes restarted one by one, all shards rebalanced; a node joins, a node
//! leaves.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use holdfast_core::ShardId;
use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::time::sleep;

use crate::stage::{LOOK_EVERY, PATIENCE, Stage};

/// How long after a move's end the slowest order is still looked for.
const AFTERWARDS: Duration = Duration::from_millis(300);

impl Stage {
    /// Moves a shard so often from node to node. How long the slowest order waited in each move.
    ///
    /// # Errors
    /// When a promise is not kept.
    pub async fn moved(&mut self, shard: ShardId, moves: usize) -> anyhow::Result<Vec<Duration>> {
        let pulse = self.feel(&[shard], &self.house.running()).await?;
        let (nodes, mut pauses) = (self.house.running(), Vec::with_capacity(moves));
        for _ in 0..moves {
            let owner = *self.house.settled(&[]).await?.get(&shard).context("the shard")?;
            let place = nodes.iter().position(|node| *node == owner).context("the owner")?;
            let to = nodes[(place + 1) % nodes.len()];
            let from = self.crowd.doors.elapsed();
            self.house.move_shard(nodes[place], shard, self.house.name(to)).await?;
            let owners = self.house.settled(&[]).await?;
            ensure!(owners.get(&shard) == Some(&to), "shard {} is not where it was moved to", shard.0);
            sleep(AFTERWARDS).await;
            let wait = pulse.longest_wait(shard, from, self.crowd.doors.elapsed());
            pauses.push(wait.context("no order was under way in the move")?);
        }
        pulse.end(&self.crowd).await?;
        Ok(pauses)
    }

    /// Restarts every node, each drained first, as for a new version. How long it took.
    ///
    /// # Errors
    /// When a promise is not kept.
    pub async fn rolling_restart(&mut self) -> anyhow::Result<Duration> {
        let from = self.crowd.doors.elapsed();
        for index in self.house.running() {
            self.drained(index).await?;
            self.stopped(index)?;
            self.house.start(index)?;
            self.drain(index, Method::DELETE, index).await?;
            self.recovered().await?;
        }
        Ok(self.crowd.doors.elapsed().saturating_sub(from))
    }

    /// Moves all shards to one node, then has them rebalanced. How many moves that were, and how long they took.
    ///
    /// # Errors
    /// When a promise is not kept.
    pub async fn rebalanced(&mut self) -> anyhow::Result<(usize, Duration)> {
        let only = self.house.running()[0];
        let name = self.house.name(only).to_owned();
        for (shard, owner) in self.house.settled(&[]).await? {
            if owner != only {
                self.house.move_shard(only, shard, &name).await?;
            }
        }
        let owners = self.house.settled(&[]).await?;
        ensure!(owners.values().all(|owner| *owner == only), "not all shards are at {name}: {owners:?}");
        let dry =
            self.house.operator(only, Method::POST, "/admin/v1/rebalance", Some(json!({ "dry_run": true }))).await?;
        let planned = dry.expect("a dry run", &[StatusCode::OK])?.body["moves"].as_array().map_or(0, Vec::len);
        let from = self.crowd.doors.elapsed();
        let run =
            self.house.operator(only, Method::POST, "/admin/v1/rebalance", Some(json!({ "dry_run": false }))).await?;
        run.expect("a rebalance", &[StatusCode::ACCEPTED])?;
        let after = self.house.settled(&[]).await?;
        let moved = after.values().filter(|owner| **owner != only).count();
        ensure!(moved > 0 && moved == planned, "{planned} moves were planned, {moved} shards are elsewhere");
        Ok((moved, self.crowd.doors.elapsed().saturating_sub(from)))
    }

    /// Starts one more node and waits until it has shards; then drains and stops it. How many shards it had.
    ///
    /// # Errors
    /// When a promise is not kept.
    pub async fn joined_and_left(&mut self) -> anyhow::Result<usize> {
        let guest = self.house.add_node()?;
        self.house.start(guest)?;
        self.crowd.doors.add(self.house.shop(guest));
        let until = self.crowd.doors.elapsed() + PATIENCE;
        let shards = loop {
            let owners = self.house.settled(&[]).await?;
            let own = owners.values().filter(|owner| **owner == guest).count();
            if own > 0 {
                break own;
            }
            ensure!(self.crowd.doors.elapsed() < until, "the new node gets no shards: {owners:?}");
            sleep(LOOK_EVERY).await;
        };
        self.sell(50).await?;
        self.drained(guest).await?;
        self.stopped(guest)?;
        self.recovered().await?;
        Ok(shards)
    }

    /// Drains a node, and takes it back the moment that is answered, each at another node.
    ///
    /// # Errors
    /// When one of them is refused.
    pub async fn drained_and_back_elsewhere(&self, index: usize) -> anyhow::Result<()> {
        let [first, second] = self.others(index)[..] else { bail!("a house of three is needed") };
        for (at, method) in [(first, Method::POST), (second, Method::DELETE)] {
            self.drain(at, method, index).await?;
        }
        Ok(())
    }

    /// Has node `index` drained (POST) or that ended (DELETE), asked at node `at`.
    async fn drain(&self, at: usize, method: Method, index: usize) -> anyhow::Result<()> {
        let path = format!("/admin/v1/nodes/{}/drain", self.house.name(index));
        let answer = self.house.operator(at, method.clone(), &path, None).await?;
        answer.expect(&format!("{method} {path}"), &[StatusCode::ACCEPTED])?;
        Ok(())
    }

    /// Drains a node and waits until it has no shards.
    async fn drained(&mut self, index: usize) -> anyhow::Result<()> {
        let asked = *self.others(index).first().context("another node")?;
        self.drain(asked, Method::POST, index).await?;
        let until = self.crowd.doors.elapsed() + PATIENCE;
        loop {
            let nodes = self.house.overview(asked).await?.nodes;
            let state = nodes.iter().find(|node| node.node == self.house.name(index)).map(|node| node.state.as_str());
            if state == Some("drained") {
                return Ok(());
            }
            ensure!(self.crowd.doors.elapsed() < until, "{} is not drained: {nodes:?}", self.house.name(index));
            sleep(LOOK_EVERY).await;
        }
    }

    /// SIGTERM, as for a new version. Its door stays open: what it has taken in it is to answer.
    fn stopped(&mut self, index: usize) -> anyhow::Result<()> {
        let status = self.house.terminate(index, PATIENCE)?.context("it does not leave")?;
        ensure!(status.success(), "{} left with {status}", self.house.name(index));
        Ok(())
    }
}
