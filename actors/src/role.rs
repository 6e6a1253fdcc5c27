//! What this node is to a shard, and so whether its mailbox takes requests.
//!
//! Invariant: a node that is going, or whose journal failed, never takes requests again, whatever comes after.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::Unavailable;

/// What this node is to a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It decides what happens to the shard.
    Owner,
    /// It takes in what another node decided, or is about to hand the shard over.
    Follower,
    /// The shard is recovering here, or the node is going.
    Away,
}

const RECOVERING: u8 = 0;
const OPEN: u8 = 1;
const DRAINING: u8 = 2;
const FAILED: u8 = 3;
/// The shard is another node's, or about to be.
const FOLLOWING: u8 = 4;

/// Where a shard stands on this node. It changes only from where it may; what comes too late changes nothing.
#[derive(Debug)]
pub(crate) struct Standing(AtomicU8);

impl Standing {
    pub(crate) fn recovering() -> Self {
        Self(AtomicU8::new(RECOVERING))
    }

    pub(crate) fn role(&self) -> Role {
        match self.now() {
            OPEN => Role::Owner,
            FOLLOWING => Role::Follower,
            _ => Role::Away,
        }
    }

    /// Why no request is taken, apart from leases; none if requests are.
    pub(crate) fn refusal(&self) -> Option<Unavailable> {
        match self.now() {
            OPEN => None,
            RECOVERING => Some(Unavailable::Recovering),
            DRAINING => Some(Unavailable::Draining),
            FOLLOWING => Some(Unavailable::Moving),
            _ => Some(Unavailable::Leaving),
        }
    }

    /// Whether the journal failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.now() == FAILED
    }

    /// The shard has recovered.
    pub(crate) fn recover(&self, role: Role) {
        self.change(RECOVERING, if role == Role::Owner { OPEN } else { FOLLOWING });
    }

    /// The shard goes to another node.
    pub(crate) fn begin_yield(&self) {
        self.change(OPEN, FOLLOWING);
    }

    /// The shard is this node's.
    pub(crate) fn take_ownership(&self) {
        self.change(FOLLOWING, OPEN);
    }

    /// The shard's actor is gone, and the shard is brought back.
    pub(crate) fn close_for_recovery(&self) {
        self.change(OPEN, RECOVERING);
        self.change(FOLLOWING, RECOVERING);
    }

    /// The node shuts down.
    pub(crate) fn drain(&self) {
        self.0.store(DRAINING, Ordering::Release);
    }

    /// The journal failed.
    pub(crate) fn fail(&self) {
        self.0.store(FAILED, Ordering::Release);
    }

    fn now(&self) -> u8 {
        self.0.load(Ordering::Acquire)
    }

    fn change(&self, from: u8, to: u8) {
        let _ = self.0.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed);
    }
}
