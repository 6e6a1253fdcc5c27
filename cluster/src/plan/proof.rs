//! What a node must know before it answers for a shard: that a quorum knows it, and that nobody else answers for the shard.
//!
//! Invariant: whatever is not known for sure is waited for. ADR 0024 tells of the worlds in which less was not enough.

use holdfast_actors::Role;
use holdfast_core::{ShardId, Timestamp};

use super::{
    decide::Step,
    knowledge::{Former, Knowledge},
};
use crate::members::roster::{Tenure, millis_since};

/// What an acknowledged beat is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The lease is renewed.
    Now,
    /// Nothing yet: it had run out, and others may be about to take this node's shards over.
    Later,
    /// The lease is renewed once every shard that this node believes to own was seen to be its own.
    AfterLook,
}

impl Knowledge {
    /// A quorum took a beat. A node that was stopped or cut off for longer than its lease may have lost its shards and not
    /// know it. It must not answer from memory just because it beats again: not before everybody has heard that it lives, so
    /// that nobody begins to take over any more, and it has then looked at its shards' streams. Whoever was taking over at
    /// that moment hears it, too: see [`Knowledge::may_open`].
    pub fn acknowledged(&mut self, is_valid: bool, now: Timestamp) -> Renewal {
        let (lease_ms, before) = (self.settings.lease_ms, self.acknowledged_at.replace(now));
        if before.is_none_or(|before| millis_since(before, now) >= lease_ms) {
            self.back_since = now;
        }
        let is_any_here = self.owners.shards().iter().any(|shard| self.is_here(shard));
        if is_valid || !is_any_here {
            return Renewal::Now;
        }
        let margin_ms = self.settings.dead_after_ms.saturating_sub(lease_ms);
        if millis_since(self.back_since, now) < margin_ms { Renewal::Later } else { Renewal::AfterLook }
    }

    /// Whether this node owns the shard, or acts as if it did.
    pub fn is_here(&self, shard: ShardId) -> bool {
        self.log.owns(shard) || self.shards.role(shard) == Role::Owner
    }

    /// A step begins.
    pub fn begin(&mut self, shard: ShardId, step: Step) {
        match step {
            Step::TakeOver { clean } => {
                let owner = self.owners.of(shard);
                let from = match owner.boot {
                    _ if clean => Former::Free,
                    Some(boot) => Former::Dead(boot),
                    None => Former::Unknown,
                };
                self.taken.insert(shard, (owner.epoch + 1, from));
            }
            Step::HandOver { .. } | Step::Demote => drop(self.taken.remove(&shard)),
            Step::Open => {}
        }
        self.busy.insert(shard, step);
    }

    /// Whether a shard whose epoch has begun here can be opened: not while the owner before, taken for dead, turns out to
    /// live and to believe that it still owns it. It finds out as soon as it reads the stream. And if there was yet another
    /// owner that this node did not know of, not before that one has been heard and claims the shard no more; or, if it is
    /// cut off and will not be heard, not before every lease has run out that it may have had when its epoch ended.
    pub fn may_open(&self, shard: ShardId, now: Timestamp) -> bool {
        let Some((epoch, from)) = self.taken.get(&shard) else { return true };
        if self.owners.of(shard).epoch == *epoch {
            return match from {
                Former::Free => true,
                Former::Dead(boot) => self.roster.tenure(*boot, shard, now) != Tenure::Claimed,
                Former::Unknown => !self.is_claimed_elsewhere(shard, now),
            };
        }
        let learned_at = self.learned.get(usize::from(shard.0)).map_or(now, |learned| learned.1);
        // A lease and the time that a message may take: more than anybody needs to be heard.
        let margin_ms = self.settings.dead_after_ms;
        millis_since(learned_at, now) >= margin_ms && !self.is_claimed_elsewhere(shard, now)
    }
}
