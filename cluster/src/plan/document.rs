//! The plan: where every shard shall be, who decided that and when. One document for the whole deployment.
//!
//! Invariant: every change of it carries its author, its time and its reason, so the stream that keeps it is an audit of it.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_core::ShardId;
use serde::{Deserialize, Serialize};

use super::placement::Placement;
use crate::operator::Move;

/// The version of the document that this node writes, and the newest it knows.
pub const VERSION: u32 = 1;
/// The longest name of an author, in characters.
pub const AUTHOR_CHARS: usize = 64;

/// The plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The version of this document's form.
    pub version: u32,
    /// Tells the secret of the store, without telling it: a node with another one stays away.
    #[serde(default)]
    pub secret_digest: String,
    /// The nodes that the shards were spread over.
    #[serde(default)]
    pub members: BTreeSet<String>,
    /// The node of every shard.
    #[serde(default)]
    pub placement: Placement,
    /// Shards that an operator put where they are: they stay until a rebalance, or until their node takes none any more.
    #[serde(default)]
    pub pinned: BTreeSet<ShardId>,
    /// Nodes that operators drain: they get no shards until that is taken back, however often they start.
    #[serde(default)]
    pub draining: BTreeSet<String>,
    /// The moves that were to be made when it was written.
    #[serde(default)]
    pub moves: Vec<Move>,
    /// Whether moves were called off.
    #[serde(default)]
    pub cancelled: bool,
    /// The change that made it what it is.
    #[serde(default)]
    pub change: Note,
}

/// Who changed the plan, when, and what.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Note {
    /// An operator, or the coordinating node.
    pub by: String,
    /// By the clock of the node that wrote it, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// In words.
    pub what: String,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            version: VERSION,
            secret_digest: String::new(),
            members: BTreeSet::new(),
            placement: BTreeMap::new(),
            pinned: BTreeSet::new(),
            draining: BTreeSet::new(),
            moves: Vec::new(),
            cancelled: false,
            change: Note::default(),
        }
    }
}

/// The plan with its place in the stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revision {
    /// The message that holds it; 0 when there is none yet.
    pub number: u64,
    /// What it says, as far as this version understands it.
    pub plan: Plan,
}

/// The document cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the plan cannot be read: {0}")]
pub struct PlanError(String);

impl Revision {
    /// Reads message `number`. A document of a newer version is followed as far as it is understood, and not written.
    ///
    /// # Errors
    /// [`PlanError`], when it is none.
    pub fn read(number: u64, bytes: &[u8]) -> Result<Self, PlanError> {
        let plan = serde_json::from_slice(bytes).map_err(|error| PlanError(error.to_string()))?;
        Ok(Self { number, plan })
    }

    /// Whether a newer version of Holdfast wrote it.
    pub fn is_newer(&self) -> bool {
        self.plan.version > VERSION
    }
}

impl Plan {
    /// Where the shard shall be.
    pub fn home(&self, shard: ShardId) -> Option<&str> {
        self.placement.get(&shard).map(String::as_str)
    }

    /// As it is written.
    ///
    /// # Errors
    /// [`PlanError`]; only a bug could cause one.
    pub fn write(&self) -> Result<Vec<u8>, PlanError> {
        serde_json::to_vec(self).map_err(|error| PlanError(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_as_it_was_written_and_a_newer_one_is_followed_but_known_as_such() {
        let mut plan = Plan::default();
        plan.placement.insert(ShardId(3), "n2".to_owned());
        plan.change = Note { by: "ann".to_owned(), at_ms: 5, what: "moved shard 3 to n2".to_owned() };
        let revision = Revision::read(7, &plan.write().expect("a plan")).expect("it was just written");
        assert_eq!(revision, Revision { number: 7, plan });
        assert!(!revision.is_newer());
        let newer = br#"{"version":2,"placement":{"3":"n1"},"racks":["a"],"members":["n1"]}"#;
        let newer = Revision::read(8, newer).expect("understood as far as it goes");
        assert!(newer.is_newer());
        assert_eq!(newer.plan.home(ShardId(3)), Some("n1"));
        assert!(Revision::read(9, b"{}").is_err(), "a document says its version");
    }
}
