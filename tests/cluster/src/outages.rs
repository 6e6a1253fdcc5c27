//! What happens to the servers: one is killed, the leader of a stream, all of them, with the nodes or without; or all are away
//! for a while.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use holdfast_api::load::stopwatch::Stopwatch;
use holdfast_core::ShardId;
use serde::Serialize;
use tokio::time::sleep;

use crate::{
    PATIENCE,
    audit::{connect, first_message},
    house::DEPLOYMENT,
    stage::Stage,
};

/// How often a stream is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How the servers are away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// Killed with `kill -9`, and started again on the same disks.
    Killed,
    /// Stopped with SIGSTOP, connections and all.
    Frozen,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Outage {
    /// How long the servers were away, in milliseconds.
    pub away_ms: u128,
    /// From their return until every shard had acknowledged an order sent since, in milliseconds.
    pub back_ms: u128,
}

impl Stage {
    /// `kill -9` to one server. How long until every shard had acknowledged an order sent since.
    ///
    /// # Errors
    /// When a promise is not kept.
    pub async fn server_killed(&mut self, server: usize) -> anyhow::Result<Duration> {
        let shards: Vec<_> = self.house.shards()?.iter().collect();
        let pulse = self.feel(&shards, &self.house.running()).await?;
        let since = self.crowd.doors.elapsed();
        self.house.nats.kill(server)?;
        let slowest = self.all_back(&pulse, &shards, since).await?;
        pulse.end(&self.crowd).await?;
        self.house.nats.start_one(server)?;
        self.recovered().await?;
        Ok(slowest)
    }

    /// `kill -9` to the server that leads a shard's stream.
    ///
    /// # Errors
    /// When a promise is not kept.
    pub async fn leader_killed(&mut self, shard: ShardId) -> anyhow::Result<Duration> {
        let leader = self.house.nats.leader(&format!("HOLDFAST_{DEPLOYMENT}_{}", shard.0))?;
        self.server_killed(leader.context("no server leads the stream")?).await
    }

    /// `kill -9` to every node and every server in one moment; then all are started on the disks they left. No power cut: what
    /// the system was told to write, it writes. From the first node's start until every shard had acknowledged an order sent since.
    ///
    /// # Errors
    /// When a promise is not kept.
    pub async fn everything_killed(&mut self) -> anyhow::Result<Duration> {
        let shards: Vec<_> = self.house.shards()?.iter().collect();
        let nodes = self.house.running();
        let pulse = self.feel(&shards, &nodes).await?;
        for node in &nodes {
            self.crowd.doors.shut(*node);
            self.house.kill(*node)?;
        }
        self.house.nats.kill_all()?;
        self.house.nats.start_all()?;
        let since = self.crowd.doors.elapsed();
        self.house.start_nodes()?;
        let back = self.all_back(&pulse, &shards, since).await?;
        pulse.end(&self.crowd).await?;
        self.recovered().await?;
        Ok(back)
    }

    /// `kill -9` to these nodes, whose disks are lost with them; then they are started on empty ones. How often nodes have
    /// filled such a disk from the archive so far.
    ///
    /// # Errors
    /// When a promise is not kept.
    pub async fn disks_lost(&mut self, victims: &[usize]) -> anyhow::Result<usize> {
        for victim in victims {
            self.crowd.doors.shut(*victim);
            self.house.kill(*victim)?;
        }
        for victim in victims {
            self.house.lose_disk(*victim)?;
        }
        self.house.start_nodes()?;
        self.recovered().await?;
        let logs = (0..self.house.count()).map(|node| self.house.log(node));
        Ok(logs.map(|log| log.matches("SnapshotsFetched").count()).sum())
    }

    /// Waits until every shard's stream has let its beginning go. How many messages went, all in all.
    ///
    /// # Errors
    /// When one does not.
    pub async fn purged(&self) -> anyhow::Result<u64> {
        let client = connect(&self.house.nats.url()).await?;
        let (watch, mut gone) = (Stopwatch::start(), 0);
        for shard in self.house.shards()?.iter() {
            let stream = format!("HOLDFAST_{DEPLOYMENT}_{}", shard.0);
            let mut first = first_message(&client, &stream).await?;
            while first <= 1 {
                ensure!(watch.elapsed() < PATIENCE, "{stream} keeps everything");
                sleep(LOOK_EVERY).await;
                first = first_message(&client, &stream).await?;
            }
            gone += first - 1;
        }
        Ok(gone)
    }

    /// All servers are away for so long.
    ///
    /// # Errors
    /// When a promise is not kept.
    pub async fn servers_away(&mut self, how: Away, long: Duration) -> anyhow::Result<Outage> {
        let shards: Vec<_> = self.house.shards()?.iter().collect();
        let pulse = self.feel(&shards, &self.house.running()).await?;
        let (from, servers) = (self.crowd.doors.elapsed(), 0..self.house.nats.count());
        match how {
            Away::Killed => self.house.nats.kill_all()?,
            Away::Frozen => servers.clone().try_for_each(|server| self.house.nats.freeze(server))?,
        }
        let sold = self.crowd.acknowledged();
        sleep(long).await;
        // What was on its way when they went may still be acknowledged; nothing else can be.
        ensure!(self.crowd.acknowledged() <= sold + 32, "orders were acknowledged without a server");
        match how {
            Away::Killed => self.house.nats.start_all()?,
            Away::Frozen => servers.clone().try_for_each(|server| self.house.nats.thaw(server))?,
        }
        let since = self.crowd.doors.elapsed();
        let back = self.all_back(&pulse, &shards, since).await?;
        pulse.end(&self.crowd).await?;
        self.recovered().await?;
        Ok(Outage { away_ms: since.saturating_sub(from).as_millis(), back_ms: back.as_millis() })
    }
}
