//! The router of a single node: every shard's mailbox is in this process.

use std::sync::Arc;

use async_trait::async_trait;
use holdfast_actors::{
    CommandError, Mailbox, Router, Unavailable,
    message::{Envelope, Message, Outcome, Request},
};
use holdfast_core::{ShardCount, ShardId};

/// Delivers to mailboxes of this process.
pub struct LocalRouter {
    shards: ShardCount,
    mailboxes: Arc<[Arc<Mailbox>]>,
}

impl LocalRouter {
    /// A router over every shard's mailbox, in order.
    pub fn new(shards: ShardCount, mailboxes: Arc<[Arc<Mailbox>]>) -> Self {
        Self { shards, mailboxes }
    }
}

#[async_trait]
impl Router for LocalRouter {
    fn shards(&self) -> ShardCount {
        self.shards
    }

    fn has_every_shard(&self) -> bool {
        true
    }

    fn local(&self, shard: ShardId) -> Option<&Arc<Mailbox>> {
        self.mailboxes.get(usize::from(shard.0))
    }

    async fn remote(&self, _shard: ShardId, _request: Request) -> Outcome {
        // Only reached for a shard number beyond the last, which no id maps to.
        Err(CommandError::Unavailable { reason: Unavailable::Recovering, retry_after_ms: 1_000 })
    }

    fn send(&self, shard: ShardId, message: Message) {
        if let Some(mailbox) = self.local(shard) {
            mailbox.deliver(Envelope::Message(message));
        }
    }
}
