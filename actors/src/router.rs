//! Where a shard is. Actors only declare the port; the cluster crate knows the map and implements it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use holdfast_core::{ShardCount, ShardId, Slot};

use crate::{
    error::{CommandError, Unavailable},
    key::KeyGuard,
    mailbox::{Mailbox, Refused},
    message::{Message, Outcome, Request},
};

/// Finds a shard's owner and delivers to it.
#[async_trait]
pub trait Router: Send + Sync + 'static {
    /// How many shards there are.
    fn shards(&self) -> ShardCount;

    /// Whether every shard is of this node, and stays so.
    fn has_every_shard(&self) -> bool {
        false
    }

    /// The mailbox of a shard that this node owns; `None` when another node does. The way of every hot request.
    fn local(&self, shard: ShardId) -> Option<&Arc<Mailbox>>;

    /// Sends a request to a shard of another node and waits for its outcome.
    async fn remote(&self, shard: ShardId, request: Request) -> Outcome;

    /// Sends a message to a shard, wherever it is: at least once, in no promised order. Never blocks.
    fn send(&self, shard: ShardId, message: Message);

    /// Whether this node may answer from memory at all: in a cluster only while it knows that the others know it.
    fn is_isolated(&self) -> bool {
        false
    }

    /// How long a request may wait for its outcome at a shard of this node. Then whoever asked is told that it is not known: what
    /// was accepted may yet happen. `None`: as long as it takes.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// Whether the durable views of this node show everything of the shard that anybody was told of. Asked before a view is
    /// read and again after, it says whether what was read may be told.
    fn shows(&self, shard: ShardId) -> bool {
        self.local(shard).is_some_and(|mailbox| mailbox.is_open())
    }
}

/// Asks the shard of `slot` and waits for the outcome, wherever the shard is. The key stays taken until there is one.
///
/// # Errors
/// The shard's refusal, or that it could not be asked.
pub(crate) async fn ask(router: &dyn Router, slot: Slot, request: Request, guard: Option<KeyGuard>) -> Outcome {
    let shard = router.shards().shard_of(slot);
    let (request, _guard) = match router.local(shard) {
        None => (request, guard),
        Some(mailbox) => match ask_here(router, mailbox, request, guard).await {
            Ok(outcome) => return outcome,
            // It goes to another node in this very moment: there it is asked.
            Err(refused) if is_moving(&refused.error) => (refused.request, refused.guard),
            Err(refused) => return Err(refused.error),
        },
    };
    router.remote(shard, request).await
}

/// Asks a shard of this node and waits for the outcome.
///
/// # Errors
/// The request, when the mailbox did not take it.
pub async fn ask_here(
    router: &dyn Router,
    mailbox: &Arc<Mailbox>,
    request: Request,
    guard: Option<KeyGuard>,
) -> Result<Outcome, Box<Refused>> {
    let writes = request.writes();
    let answer = mailbox.request(request, guard)?;
    let answer = match router.patience() {
        None => Ok(answer.await),
        Some(limit) => tokio::time::timeout(limit, answer).await,
    };
    let outcome = match answer {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(mailbox.lost()),
        Err(_) => Err(mailbox.unavailable(Unavailable::Unknown)),
    };
    // Another node may have taken the shard over before this was decided. What changed anything is in the journal, so it was
    // this node's to say; what was only looked at may be old.
    Ok(match outcome {
        Ok(_) if writes => outcome,
        Ok(_) | Err(CommandError::Rejected(_)) if router.is_isolated() => {
            Err(mailbox.unavailable(Unavailable::Isolated))
        }
        outcome => outcome,
    })
}

/// Whether the shard was refusing because it goes to another node, or is there already.
pub fn is_moving(error: &CommandError) -> bool {
    matches!(error, CommandError::Unavailable { reason: Unavailable::Moving, .. })
}
