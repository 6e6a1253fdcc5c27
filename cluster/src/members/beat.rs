//! What a node says of itself, twice a second: that it lives, what it owns, and how far it follows the others.
//!
//! Invariants: a node says that it is about to take a shard over before it does, and that it owns it until it has let go: so
//! a beat that claims nothing of a shard, said after its epoch began, means that the shard is free. Fields that a later
//! version adds are passed over by an earlier one.

use std::collections::BTreeMap;

use holdfast_core::ShardId;
use serde::{Deserialize, Serialize};

use crate::boot::BootId;

/// The version of the requests between nodes that this node speaks.
pub const WIRE_VERSION: u8 = crate::wire::VERSION;

/// One beat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    /// The node's name.
    pub node: String,
    /// Its life.
    pub boot: BootId,
    /// Which beat of this life it is, from 1: one that was overtaken on its way says nothing new.
    pub number: u64,
    /// The version of Holdfast.
    pub version: String,
    /// The version of the requests it speaks.
    pub wire: u8,
    /// Where operators reach its admin listener.
    pub admin_url: String,
    /// When it started, by its own clock, in milliseconds since the Unix epoch. For people.
    pub started_at_ms: i64,
    /// For how long it has beaten without having been silent for `dead_after_ms`, in milliseconds.
    pub unbroken_ms: u64,
    /// What it is up to.
    pub state: Standing,
    /// Tells whether it has the same secret as the others, without telling the secret.
    pub secret_digest: String,
    /// The shards it owns, takes over or hands over.
    #[serde(default)]
    pub claims: BTreeMap<ShardId, Claim>,
    /// The last record of each shard that it follows.
    #[serde(default)]
    pub follows: BTreeMap<ShardId, u64>,
}

/// What a node is up to, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It owns shards, or may.
    Alive,
    /// It is stopping, and hands over what it has.
    Leaving,
    /// It has stopped: this is its last beat.
    Left,
}

/// What a node says of a shard it claims.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Claim {
    /// The epoch it owns it in; 0 while it takes it over.
    pub epoch: u64,
    /// Whether it is handing it over.
    #[serde(default)]
    pub is_leaving: bool,
    /// The shard's figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// A shard's figures for operators.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Entities, in memory or not, in number.
    pub entities: u64,
    /// Commands carried out, per second.
    pub commands_per_s: f64,
    /// Requests that wait or are under way, in number.
    pub mailbox_depth: u64,
    /// What its entities take in memory, about, in bytes.
    pub memory_bytes: u64,
    /// Its last record.
    pub sequence: u64,
}

/// Tells a node that a shard was let go for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Yielded {
    /// Which.
    pub shard: ShardId,
    /// The epoch that ended.
    pub epoch: u64,
    /// The sequence number that the next record gets.
    pub next_seq: u64,
}

/// What is compared of a store's secret: equal for equal secrets, and of no use to find it out.
pub fn secret_digest(secret: &[u8]) -> String {
    let digest = blake3::derive_key("holdfast 2026 cluster: do two nodes have the same store secret", secret);
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    format!("{:032x}", u128::from_be_bytes(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_of_a_later_version_is_understood_as_far_as_it_goes() {
        let said = r#"{"node":"n1","boot":"000102030405060708090a0b0c0d0eff","number":4,"version":"0.9.0","wire":1,
            "admin_url":"","started_at_ms":1,"unbroken_ms":2,"state":"alive","secret_digest":"ab","rack":"r7",
            "claims":{"3":{"epoch":5,"heat":1,"entities":7}}}"#;
        let beat: Beat = serde_json::from_str(said).expect("it has everything this version needs");
        let figures = Figures { entities: 7, ..Figures::default() };
        assert_eq!(beat.claims[&ShardId(3)], Claim { epoch: 5, is_leaving: false, figures });
        let again: Beat = serde_json::from_slice(&serde_json::to_vec(&beat).expect("plain")).expect("as written");
        assert_eq!(again, beat);
    }

    #[test]
    fn equal_secrets_have_equal_digests_and_others_have_not() {
        assert_eq!(secret_digest(b"secret"), secret_digest(b"secret"));
        assert_ne!(secret_digest(b"secret"), secret_digest(b"secre"));
        assert_eq!(secret_digest(b"").len(), 32);
    }
}
