//! What a node does with shards that are not, or no longer, its own: it follows their owner, takes over, and hands over.
//! When, is for whoever knows the other nodes to say.
//!
//! Invariant: the journal has settled whose a shard is before this node takes it, and everything decided here is
//! durable before it is given up.

use std::{sync::Arc, time::Duration};

use holdfast_core::ShardId;
use holdfast_persistence::Record;
use tokio::{sync::oneshot, time::timeout};

use crate::{
    mailbox::Mailbox,
    message::{Envelope, Internal},
    node::Node,
    role::Role,
};

/// Why a shard could not be taken or given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OwnershipError {
    /// There is no such shard.
    #[error("there is no shard {}", .0.0)]
    Unknown(ShardId),
    /// It has not taken in everything.
    #[error("the shard has taken in {at} records of {head}")]
    Behind {
        /// The last sequence number it has.
        at: u64,
        /// The last there is.
        head: u64,
    },
    /// What it had accepted was not finished in time: it stays this node's.
    #[error("the shard did not finish what it had accepted in time")]
    TimedOut,
    /// The shard died meanwhile and recovers, or the node is going.
    #[error("the shard died meanwhile")]
    Died,
    /// What it had decided is not all durable and told: the journal did not take it, since another node has the shard, or
    /// telling it panicked.
    #[error("not all that the shard had decided is durable and told")]
    Unsettled,
}

impl Node {
    /// What this node is to a shard; away for one there is none of.
    pub fn role(&self, shard: ShardId) -> Role {
        self.mailbox(shard).map_or(Role::Away, |mailbox| mailbox.role())
    }

    /// The last record of a shard that it has taken in or decided, as of its last turn.
    pub fn position(&self, shard: ShardId) -> u64 {
        self.figures_of(shard).map_or(0, |figures| figures.sequence)
    }

    /// Has a shard take in records that another node made durable, in order, with their sequence numbers; those it has are
    /// skipped. Waits until it has them, also while the shard recovers.
    ///
    /// # Errors
    /// [`OwnershipError::Unknown`]; [`OwnershipError::Died`] when the shard is this node's own, or the node is going.
    pub async fn follow(&self, shard: ShardId, records: Vec<(u64, Record)>) -> Result<(), OwnershipError> {
        let (done, taken_in) = oneshot::channel();
        self.tell(shard, Internal::Followed { records, done })?;
        taken_in.await.map_err(|_| OwnershipError::Died)
    }

    /// Makes a shard this node's that has taken in every record up to `head`; requests are taken from then on.
    ///
    /// # Errors
    /// [`OwnershipError::Behind`] when it has not.
    pub async fn take_ownership(&self, shard: ShardId, head: u64) -> Result<(), OwnershipError> {
        let (done, taken) = oneshot::channel();
        let mailbox = self.tell(shard, Internal::TakeOwnership { head, done })?;
        taken.await.map_err(|_| OwnershipError::Died)?.map_err(|at| OwnershipError::Behind { at, head })?;
        mailbox.take_ownership();
        Ok(())
    }

    /// Gives a shard up: no further request is taken, those that were are answered, and everything is durable when the last
    /// sequence number is told. The shard then follows. What is not finished within `limit` leaves it this node's.
    ///
    /// # Errors
    /// [`OwnershipError`].
    pub async fn yield_shard(&self, shard: ShardId, limit: Duration) -> Result<u64, OwnershipError> {
        let mailbox = Arc::clone(self.mailbox(shard).ok_or(OwnershipError::Unknown(shard))?);
        mailbox.begin_yield();
        let (done, given_up) = oneshot::channel();
        mailbox.deliver(Envelope::Internal(Internal::Yield(done)));
        let Ok(last) = timeout(limit, given_up).await else {
            mailbox.take_ownership();
            return Err(OwnershipError::TimedOut);
        };
        let last = last.map_err(|_| OwnershipError::Died)?;
        let gate = self.gate_of(shard).ok_or(OwnershipError::Died)?;
        let settled = tokio::task::spawn_blocking(move || gate.wait_settled()).await;
        if settled.unwrap_or(false) { Ok(last) } else { Err(OwnershipError::Unsettled) }
    }

    /// Another node has taken a shard over: whatever this one holds of it that is not durable is forgotten.
    pub fn demote(&self, shard: ShardId) {
        if let Some(gate) = self.gate_of(shard) {
            gate.fail();
        }
        if let Some(mailbox) = self.mailbox(shard) {
            mailbox.begin_yield();
            mailbox.wake();
        }
    }

    fn tell(&self, shard: ShardId, internal: Internal) -> Result<&Arc<Mailbox>, OwnershipError> {
        let mailbox = self.mailbox(shard).ok_or(OwnershipError::Unknown(shard))?;
        mailbox.deliver(Envelope::Internal(internal));
        Ok(mailbox)
    }
}
