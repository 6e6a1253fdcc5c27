//! The link between nodes: requests and messages reach a shard's owner, wherever it is.
//!
//! Read in this order: [`router`] is the port that actors declare, and what a node knows of where shards are; `errand` is one
//! request on its way, with all its attempts; `desk` is the other end, which serves what other nodes ask, and `memory` what
//! it remembers of it; `answers` brings answers back; `outbox` sends messages between shards; `bells` wakes what waits for a
//! shard to get an owner; [`Living`] is who can be asked at all.
//!
//! Invariants:
//! - A command is carried out by one owner only, unless [`Request::is_repeatable`] says that it may be by two.
//! - A request is carried out only by the owner of the epoch it was sent to, before its end, and under its id once.
//! - Nothing waits without a bound in number and in time.
//!
//! [`Request::is_repeatable`]: holdfast_actors::message::Request::is_repeatable

mod answers;
mod bells;
mod desk;
mod errand;
mod memory;
mod outbox;
pub mod router;
mod subjects;
mod whole;

use crate::boot::BootId;

pub use router::ClusterRouter;
pub use whole::{Link, LinkParts};

/// Who lives, as far as this node has heard.
pub trait Living: Send + Sync + 'static {
    /// Whether the node of this boot can be asked: `false` once it is taken for dead.
    fn is_alive(&self, boot: BootId) -> bool;
}
