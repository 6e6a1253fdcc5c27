//! Taking a shard over and letting it go.
//!
//! Invariants: a tenure begins with a record of its epoch that is committed, and no batch is accepted before. It is let go
//! only when everything that was accepted is committed and told; from then on nothing of its epoch is appended.

use std::sync::Arc;

use holdfast_core::ShardId;
use tokio::sync::oneshot;

use super::{
    error::NatsError,
    journal::JetStreamJournal,
    lane::Work,
    log::{End, ShardLog},
    streams::Streams,
};

/// A shard that was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acquired {
    /// The epoch that began.
    pub epoch: u64,
    /// What the first batch begins with: all before it is durable.
    pub next_seq: u64,
}

/// A shard that was let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Released {
    /// What follows the last durable record.
    pub next_seq: u64,
}

impl JetStreamJournal {
    /// Takes a shard over, whoever has it, and returns once that is committed. `is_handed_over` says that its owner let go of
    /// it, for whoever reads the log: it changes nothing. A shard that is owned already stays so, in its epoch.
    ///
    /// # Errors
    /// [`NatsError::Takeover`] when the servers do not take it within `nats.start_deadline_ms`: the record may be in the stream
    /// all the same. [`NatsError::Overtaken`] when yet another node was faster behind it. [`NatsError::Closed`] when the
    /// journal has failed.
    pub async fn acquire(&self, shard: ShardId, is_handed_over: bool) -> Result<Acquired, NatsError> {
        self.acquire_from(shard, is_handed_over, u64::MAX).await
    }

    /// The same, unless the shard has gone on beyond `epoch` already: whoever wanted it from its owner of then does not take it
    /// from the next one.
    ///
    /// # Errors
    /// As [`JetStreamJournal::acquire`]; [`NatsError::Overtaken`] when it has.
    pub async fn acquire_from(&self, shard: ShardId, is_handed_over: bool, epoch: u64) -> Result<Acquired, NatsError> {
        let (log, queue) = self.lane(shard)?;
        let _one_at_a_time = log.changing.lock().await;
        if let Some(epoch) = log.tenure() {
            return Ok(Acquired { epoch, next_seq: log.next_seq() });
        }
        self.refuse_failed()?;
        let journal = self.shared();
        let streams = Streams { requests: &journal.requests, settings: &journal.settings };
        let end = streams.take_over(shard, journal.boot, &journal.format, epoch).await?;
        let End { epoch, next_seq, .. } = end;
        let mut is_queued = false;
        let begins = log.begin_tenure(end, || {
            is_queued = journal.owners.take(shard, epoch, journal.boot) && queue.send(Work::Begin(end)).is_ok();
            is_queued
        });
        if !begins {
            return Err(NatsError::Overtaken { shard });
        }
        journal.wake_followers();
        log.wake.notify_one();
        tracing::info!(shard = shard.0, epoch, next_seq, is_handed_over, "shard taken over");
        Ok(Acquired { epoch, next_seq })
    }

    /// Lets a shard go, and returns once everything that was appended is durable and told. It is not owned from the call on:
    /// whoever appends meanwhile hears that it is fenced.
    ///
    /// # Errors
    /// [`NatsError::NotOwned`]; [`NatsError::Overtaken`] when it was lost before all was durable; [`NatsError::Closed`] when the
    /// journal has failed.
    pub async fn release(&self, shard: ShardId) -> Result<Released, NatsError> {
        let (log, queue) = self.lane(shard)?;
        let _one_at_a_time = log.changing.lock().await;
        let (tell, told) = oneshot::channel();
        let was_owned = log.close_tenure(|| {
            // If the lane is gone, what it was to tell is dropped with it.
            let _ = queue.send(Work::Release(tell));
        });
        if !was_owned {
            return Err(NatsError::NotOwned { shard });
        }
        let Ok(End { epoch, next_seq, .. }) = told.await else {
            self.refuse_failed()?;
            return Err(NatsError::Overtaken { shard });
        };
        tracing::info!(shard = shard.0, epoch, next_seq, "shard let go");
        Ok(Released { next_seq })
    }

    /// Waits until the tail has given everything before record `next_seq` to its sink, and the sink has taken it.
    ///
    /// # Errors
    /// [`NatsError::NotFollowed`], when there is no tail of the shard, or it broke.
    pub async fn caught_up(&self, shard: ShardId, next_seq: u64) -> Result<(), NatsError> {
        let (log, _) = self.lane(shard)?;
        let mut tailed = log.tailed.subscribe();
        let reached = tailed.wait_for(|tailed| tailed.next_seq >= next_seq || !tailed.is_followed).await;
        match reached {
            Ok(tailed) if tailed.next_seq >= next_seq => Ok(()),
            _ => Err(NatsError::NotFollowed { shard }),
        }
    }

    fn lane(&self, shard: ShardId) -> Result<(&Arc<ShardLog>, &tokio::sync::mpsc::UnboundedSender<Work>), NatsError> {
        self.log_and_queue(shard).ok_or(NatsError::UnknownShard { shard })
    }

    fn refuse_failed(&self) -> Result<(), NatsError> {
        self.shared().failure().map_or(Ok(()), |failure| Err(NatsError::Closed(failure.to_string())))
    }
}
