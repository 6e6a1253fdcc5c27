//! Hints: an owner tells whoever follows a shard how far its stream is.
//!
//! Invariant: nothing depends on a hint but how soon a follower looks. One that is lost, late, doubled or false costs a look.

use std::{sync::Arc, time::Duration};

use async_nats::Message;
use futures_util::StreamExt as _;
use holdfast_core::ShardId;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    log::{End, ShardLog},
    shared::Shared,
};
use crate::boot::BootId;

/// How far a stream is, as its owner says.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Hint {
    /// The last message that is committed.
    message: u64,
    /// Where the sequence goes on behind it.
    next_seq: u64,
    /// The owner's epoch.
    epoch: u64,
    /// The owner.
    boot: BootId,
}

/// How hints are given and looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hints {
    /// Hints of one shard are so far apart.
    pub(super) every: Duration,
    /// What nobody hinted at is looked for so often.
    pub(super) poll: Duration,
}

/// When a lane is to give its next hint.
pub(super) struct Hinter {
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Hinter {
    pub(super) fn new() -> Self {
        Self { last: None, due: None }
    }

    /// Something is to be told: at once, or when the last hint is old enough.
    pub(super) fn want(&mut self, shared: &Shared) {
        let Some(hints) = shared.hints else { return };
        let now = Instant::now();
        let earliest = self.last.map_or(now, |last| last + hints.every);
        self.due.get_or_insert(earliest.max(now));
    }

    /// When one is to be given.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Gives it.
    pub(super) async fn give(&mut self, shared: &Shared, log: &ShardLog, epoch: u64) {
        (self.last, self.due) = (Some(Instant::now()), None);
        give(shared, log, epoch).await;
    }
}

/// Tells everyone who listens how far the shard is, which is owned in `epoch`.
pub(super) async fn give(shared: &Shared, log: &ShardLog, epoch: u64) {
    // Without a connection it would wait in the way of batches.
    if shared.hints.is_none() || !shared.connected.load(std::sync::atomic::Ordering::Acquire) {
        return;
    }
    let End { message, next_seq, .. } = log.end();
    let hint = Hint { message, next_seq, epoch, boot: shared.boot };
    let Ok(payload) = serde_json::to_vec(&hint) else { return };
    let _ = shared.requests.tell(&subject(shared, &log.shard.0.to_string()), payload.into()).await;
}

fn subject(shared: &Shared, of: &str) -> String {
    format!("holdfast.{}.tail.{of}", shared.settings.deployment)
}

/// Takes hints in until the connection is closed.
pub(super) async fn listen(shared: Arc<Shared>) {
    let hints = match shared.requests.subscribe(&subject(&shared, "*")).await {
        Ok(hints) => hints,
        Err(error) => return tracing::warn!(%error, "nobody's hints are heard: every shard is polled"),
    };
    let mut hints = hints;
    while let Some(message) = hints.next().await {
        take_in(&shared, &message);
    }
}

fn take_in(shared: &Shared, message: &Message) {
    let number = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
    let Some(log) = number.and_then(|number| shared.log(ShardId(number))) else { return };
    let Ok(hint) = serde_json::from_slice::<Hint>(&message.payload) else { return };
    if hint.boot == shared.boot {
        return;
    }
    match log.tenure() {
        None => {
            shared.owners.learn(log.shard, hint.epoch, hint.boot);
            log.hint(hint.message);
        }
        // Anybody can say so: the stream knows.
        Some(own) if hint.epoch > own => shared.doubt(log),
        Some(_) => {}
    }
}
