//! What operators ask of the cluster and what they are shown: plain values, the same in the process, over HTTP and on the
//! command line.
//!
//! They are asked of [`Cluster`](crate::cluster::Cluster), on any node:
//!
//! ```text
//! fn status(&self) -> ClusterStatus
//! fn shards(&self) -> Vec<ShardStatus>
//! async fn move_shard(&self, shard: ShardId, to: &str, by: &str) -> Result<Change, OperatorError>
//! async fn rebalance(&self, dry_run: bool, by: &str) -> Result<RebalancePlan, OperatorError>
//! async fn cancel_rebalance(&self, by: &str) -> Result<Change, OperatorError>
//! async fn drain(&self, node: &str, by: &str) -> Result<Change, OperatorError>
//! async fn undrain(&self, node: &str, by: &str) -> Result<Change, OperatorError>
//! ```
//!
//! Invariant: an operator's call changes the plan, and nothing else. It has happened once it is in the plan; the nodes then
//! make it so, which [`ClusterStatus::rebalance`] and [`ShardStatus::state`] tell of.

use holdfast_core::ShardId;
use serde::{Deserialize, Serialize};

use crate::boot::BootId;

/// The whole, as this node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// `nats.deployment`.
    pub deployment: String,
    /// The node that was asked.
    pub this_node: String,
    /// Who plans now: the living node whose name sorts first. None while nobody is known to live.
    pub coordinator: Option<String>,
    /// The plan's revision: its place in the control stream. 0 while there is none.
    pub revision: u64,
    /// Every node that was heard of, by name.
    pub nodes: Vec<NodeStatus>,
    /// The moves that are not done yet; `None` when every shard is where it shall be.
    pub rebalance: Option<RebalanceStatus>,
    /// Whether this node has no proof that a majority of the servers knows it: it answers nothing from memory, and what is
    /// shown here may be old.
    pub isolated: bool,
}

/// What a node is up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It owns shards, or may.
    Alive,
    /// It gives its shards away and still has some.
    Draining,
    /// It has given its shards away and gets none: it can be stopped.
    Drained,
    /// It left, or was not heard of for `cluster.dead_after_ms`.
    Dead,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub node: String,
    /// Its present life, or its last one. `None` if it is in the plan and was never heard of.
    pub boot: Option<BootId>,
    /// What it is up to.
    pub state: NodeState,
    /// How long ago its last beat was heard, in milliseconds.
    pub last_beat_ms: Option<u64>,
    /// How many shards it owns.
    pub shards: u16,
    /// Where operators reach its admin listener; empty if it does not say.
    pub admin_url: String,
    /// The version of Holdfast it runs.
    pub version: String,
    /// When it started, by its own clock, in milliseconds since the Unix epoch.
    pub started_at_ms: i64,
}

/// Moves under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalanceStatus {
    /// Who wanted it: an operator, or `coordinator`.
    pub by: String,
    /// When the moves were planned, by the clock of the node that did, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// How many moves there are.
    pub moves: usize,
    /// How many of them are done.
    pub done: usize,
    /// Those that are not.
    pub remaining: Vec<Move>,
    /// Whether it was cancelled: what was under way is finished, the rest stays where it is.
    pub cancelled: bool,
}

/// Where a shard stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShardState {
    /// Its owner is where it shall be.
    Owned,
    /// It is somewhere else than it shall be, or changes hands right now.
    Moving,
    /// Nobody that lives owns it.
    Unowned,
}

/// One shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardStatus {
    /// Which.
    pub shard: ShardId,
    /// The node that owns it.
    pub owner: Option<String>,
    /// The node that shall own it.
    pub desired: Option<String>,
    /// Its epoch: how often it changed hands. 0 if it never had an owner.
    pub epoch: u64,
    /// Where it stands.
    pub state: ShardState,
    /// Entities, in memory or not, in number.
    pub entities: u64,
    /// Commands carried out, per second, since the owner's last beat.
    pub commands_per_s: f64,
    /// Requests that wait, are decided, or wait for the journal, in number.
    pub mailbox_depth: u64,
    /// How many records the slowest living follower is behind the owner. 0 when nobody follows.
    pub lag_records: u64,
    /// What its entities take in memory, about, in bytes.
    pub memory_bytes: u64,
    /// Its last record.
    pub sequence: u64,
}

/// A change of the plan that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The plan's revision since.
    pub revision: u64,
    /// Who made it.
    pub by: String,
    /// When, by the clock of the node that wrote it, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// What, in words.
    pub what: String,
}

/// One shard's way from one node to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Which.
    pub shard: ShardId,
    /// The node that has it, if one has.
    pub from: Option<String>,
    /// The node that gets it.
    pub to: String,
    /// Why, in words.
    pub why: String,
}

/// What a rebalance does, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebalancePlan {
    /// The moves.
    pub moves: Vec<Move>,
    /// The revision of the plan that they are in; after a dry run the one that they start from.
    pub revision: u64,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// Why an operator's call changed nothing, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// There is no node of this name.
    #[error("there is no node called {0:?}")]
    UnknownNode(String),
    /// There is no shard of this number.
    #[error("there is no shard {shard}: they are 0 to {last}", shard = .shard.0)]
    UnknownShard {
        /// What was asked for.
        shard: ShardId,
        /// The last one there is.
        last: u16,
    },
    /// The node is dead, leaves or is drained, and gets no shards.
    #[error("the node {0:?} takes no shards: it is dead, leaves, or is drained")]
    NodeNotAlive(String),
    /// No other node could take the shards.
    #[error("no node is left that takes shards")]
    NobodyLeft,
    /// Others changed the plan at the same time, again and again.
    #[error("the plan was changed by others meanwhile: look again and repeat it")]
    Conflict,
    /// The servers cannot be reached, or have no majority. Nothing was changed.
    #[error("the plan cannot be read now: {0}")]
    NoQuorum(String),
    /// The change was sent to the servers, which did not say whether they took it. Asked for again, it is made now or
    /// [there already](Self::NothingToDo).
    #[error("whether the plan was changed is not known: {0}")]
    Unknown(String),
    /// It is so already.
    #[error("there is nothing to do: {0}")]
    NothingToDo(String),
    /// A newer version of Holdfast wrote the plan.
    #[error("the plan has version {found}, this node writes up to {known}: ask a node of the newer version")]
    NewerPlan {
        /// The version of the plan.
        found: u32,
        /// The newest one this node knows.
        known: u32,
    },
    /// Who makes the change is not said, or too long.
    #[error("who makes the change must be said in 1 to {max} characters")]
    Author {
        /// The longest, in characters.
        max: usize,
    },
}
