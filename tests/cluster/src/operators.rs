//! What operators see of a house and tell it, over HTTP as they do.
//!
//! Invariant: nothing here knows a node from within.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, bail, ensure};
use holdfast_api::load::{shop::Answer, stopwatch::Stopwatch};
use holdfast_core::ShardId;
use holdfast_tests::counter::problem;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::house::ClusterHouse;

/// How long one call may take.
const CALL: Duration = Duration::from_secs(20);
/// How long the cluster may take until every shard is where it shall be, on however slow a machine.
const SETTLED: Duration = Duration::from_mins(2);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A shard as operators see it.
#[derive(Debug, Clone, Deserialize)]
pub struct Shard {
    /// Which.
    pub shard: ShardId,
    /// Who owns it.
    pub owner: Option<String>,
    /// Who shall.
    pub desired: Option<String>,
    /// How often it changed hands.
    pub epoch: u64,
    /// `owned`, `moving` or `unowned`.
    pub state: String,
    /// How far the slowest follower is behind.
    pub lag_records: u64,
}

/// A node as operators see it.
#[derive(Debug, Clone, Deserialize)]
pub struct Member {
    /// Its name.
    pub node: String,
    /// `alive`, `draining`, `drained` or `dead`.
    pub state: String,
}

/// The whole as operators see it.
#[derive(Debug, Clone, Deserialize)]
pub struct Overview {
    /// Every node that was heard of.
    pub nodes: Vec<Member>,
    /// Whether the node that was asked is cut off.
    pub isolated: bool,
}

impl ClusterHouse {
    /// The shards, as node `at` sees them.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn shard_table(&self, at: usize) -> anyhow::Result<Vec<Shard>> {
        let body =
            self.operator(at, Method::GET, "/admin/v1/shards", None).await?.expect("shards", &[StatusCode::OK])?.body;
        let list = body.get("shards").unwrap_or(&body).clone();
        serde_json::from_value(list).with_context(|| format!("not a list of shards: {body}"))
    }

    /// The nodes, as node `at` sees them.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn overview(&self, at: usize) -> anyhow::Result<Overview> {
        let body = self.operator(at, Method::GET, "/admin/v1/cluster", None).await?;
        let body = body.expect("the cluster", &[StatusCode::OK])?.body;
        serde_json::from_value(body.clone()).with_context(|| format!("not an overview: {body}"))
    }

    /// An operator's call at node `at`, repeated while it is refused for now. One that turns out to have been carried out all the
    /// same counts as accepted.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn operator(&self, at: usize, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Answer> {
        let (admin, mut refused) = (self.admin(at), false);
        for _ in 0..20 {
            let call = timeout(CALL, admin.admin_call(method.clone(), path, body.as_ref())).await;
            let answer = call.with_context(|| format!("{method} {path} at {} took too long", self.name(at)))??;
            if answer.status != StatusCode::SERVICE_UNAVAILABLE {
                // Of all that is answered 409 this alone says that it is so already.
                let was_done = refused && problem(&answer) == "nothing-to-do";
                return Ok(if was_done { Answer { status: StatusCode::ACCEPTED, ..answer } } else { answer });
            }
            refused = true;
            sleep(LOOK_EVERY * 4).await;
        }
        bail!("{method} {path} at {} is refused again and again", self.name(at))
    }

    /// Waits until every running node sees all of them alive, and none drained.
    ///
    /// # Errors
    /// When one does not for minutes.
    pub async fn all_alive(&self) -> anyhow::Result<()> {
        let nodes = self.running();
        for at in &nodes {
            let watch = Stopwatch::start();
            loop {
                let seen = self.overview(*at).await?.nodes;
                let is_alive = |index: &usize| seen.iter().any(|m| m.node == self.name(*index) && m.state == "alive");
                if seen.len() == nodes.len() && nodes.iter().all(is_alive) {
                    break;
                }
                ensure!(watch.elapsed() < SETTLED, "{} nodes run, {} sees {seen:?}", nodes.len(), self.name(*at));
                sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    /// Has a shard moved to another node.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn move_shard(&self, at: usize, shard: ShardId, to: &str) -> anyhow::Result<()> {
        let path = format!("/admin/v1/shards/{}/move", shard.0);
        let answer = self.operator(at, Method::POST, &path, Some(json!({ "to": to }))).await?;
        answer.expect(&path, &[StatusCode::ACCEPTED])?;
        Ok(())
    }

    /// Who owns what, once every shard is where it shall be, as every running node but `but` sees it.
    ///
    /// # Errors
    /// When that is not so for minutes.
    pub async fn settled(&self, but: &[usize]) -> anyhow::Result<BTreeMap<ShardId, usize>> {
        let at: Vec<_> = self.running().into_iter().filter(|index| !but.contains(index)).collect();
        let (watch, mut seen) = (Stopwatch::start(), String::new());
        while watch.elapsed() < SETTLED {
            let mut tables = Vec::new();
            for index in &at {
                match self.shard_table(*index).await {
                    Ok(table) => tables.push(table),
                    Err(error) => seen = format!("{}: {error:#}", self.name(*index)),
                }
            }
            if tables.len() == at.len() {
                let owners: Vec<_> = tables.iter().map(|table| self.owners_of(table, &at)).collect();
                if let Some(first) = owners.first().filter(|first| owners.iter().all(|other| other == *first))
                    && let Some(first) = first
                {
                    return Ok(first.clone());
                }
                seen = format!("{tables:?}");
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("the shards are not settled after {SETTLED:?}: {seen}")
    }

    /// The owners of a table, if every shard is where it shall be.
    fn owners_of(&self, table: &[Shard], alive: &[usize]) -> Option<BTreeMap<ShardId, usize>> {
        let owner = |shard: &Shard| {
            let is_there = shard.state == "owned" && shard.owner.is_some() && shard.owner == shard.desired;
            let index = self.index_of(shard.owner.as_deref()?)?;
            (is_there && alive.contains(&index)).then_some((shard.shard, index))
        };
        table.iter().map(owner).collect()
    }

    /// The shards a node owns, once all are settled and it has its share: one that has just come gets it by and by.
    ///
    /// # Errors
    /// When they do not settle, or it owns none for minutes.
    pub async fn shards_of(&self, index: usize) -> anyhow::Result<Vec<ShardId>> {
        let watch = Stopwatch::start();
        loop {
            let owners = self.settled(&[]).await?;
            let own: Vec<_> = owners.into_iter().filter(|(_, owner)| *owner == index).map(|(shard, _)| shard).collect();
            if !own.is_empty() {
                return Ok(own);
            }
            ensure!(watch.elapsed() < SETTLED, "{} owns no shard", self.name(index));
            sleep(LOOK_EVERY).await;
        }
    }
}
