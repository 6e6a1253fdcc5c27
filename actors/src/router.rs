//! Where a shard is. Actors only declare the port; the cluster crate knows the map and implements it.

use std::sync::Arc;

use async_trait::async_trait;
use holdfast_core::{ShardCount, ShardId, Slot};

use crate::{
    error::CommandError,
    key::KeyGuard,
    mailbox::Mailbox,
    message::{Message, Outcome, Request},
};

/// Finds a shard's owner and delivers to it.
#[async_trait]
pub trait Router: Send + Sync + 'static {
    /// How many shards there are.
    fn shards(&self) -> ShardCount;

    /// The mailbox of a shard that this node owns; `None` when another node does. The way of every hot request.
    fn local(&self, shard: ShardId) -> Option<&Arc<Mailbox>>;

    /// Sends a request to a shard of another node and waits for its outcome.
    async fn remote(&self, shard: ShardId, request: Request) -> Outcome;

    /// Sends a message to a shard, wherever it is: at least once, in no promised order. Never blocks.
    fn send(&self, shard: ShardId, message: Message);
}

/// Asks the shard of `slot` and waits for the outcome.
///
/// # Errors
/// The shard's refusal, or that it could not be asked.
pub(crate) async fn ask(router: &dyn Router, slot: Slot, request: Request, guard: Option<KeyGuard>) -> Outcome {
    let shard = router.shards().shard_of(slot);
    match router.local(shard) {
        Some(mailbox) => match mailbox.request(request, guard).map_err(|refused| refused.error)?.await {
            Ok(outcome) => outcome,
            Err(_) => Err::<_, CommandError>(mailbox.lost()),
        },
        None => router.remote(shard, request).await,
    }
}
