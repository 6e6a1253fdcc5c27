//! The tail: what other owners commit, given to a warm replica as it comes.
//!
//! Invariants: a shard's records are given in order, each once and without a gap, and only what is committed. What this node
//! appended itself is passed over, for its replica had it first: while the shard is owned here the tail rests behind the
//! record of the epoch, and goes on behind the last message of the tenure. A record of an epoch is learned when all before
//! it was given.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_core::ShardId;
use holdfast_persistence::{JournalError, Record, journal::MessageDamage};
use tokio::{runtime::Handle, task::JoinSet, time::sleep};

use super::{
    connect::PAUSE,
    hint::Hints,
    log::{ShardLog, Tailed, Whose},
    reader::{Look, StreamReader},
    shared::Shared,
};
use crate::boot::BootId;

/// The first wait for a message that was told of and is not there yet; it doubles up to the poll.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// Who is given what others commit.
#[async_trait]
pub trait TailSink: Send + Sync + 'static {
    /// Takes the records of one message, in order. The next ones of the shard come once it returns.
    async fn take(&self, shard: ShardId, records: Vec<(u64, Record)>);

    /// Nothing more comes of the shard: [`JournalError::Purged`] when what comes next is gone, or damage.
    async fn broken(&self, shard: ShardId, error: JournalError);
}

/// The tails of some shards. They end when it is dropped.
#[derive(Debug)]
pub struct Tail {
    _tasks: JoinSet<()>,
}

impl Tail {
    pub(super) fn start(
        shared: &Arc<Shared>,
        handle: &Handle,
        from: &BTreeMap<ShardId, u64>,
        sink: &Arc<dyn TailSink>,
    ) -> Self {
        let mut tasks = JoinSet::new();
        for (shard, from) in from {
            let Some(log) = shared.log(*shard) else { continue };
            log.tailed.send_replace(Tailed { next_seq: *from, is_followed: true });
            let end = Following { log: Arc::clone(log) };
            let (shared, log, sink) = (Arc::clone(shared), Arc::clone(log), Arc::clone(sink));
            let mut tail = ShardTail { shared, log, sink, next_seq: *from };
            tasks.spawn_on(
                async move {
                    let _ended = end;
                    let error = tail.run().await;
                    tracing::error!(shard = tail.log.shard.0, error = &error as &dyn std::error::Error, "a tail broke");
                    tail.sink.broken(tail.log.shard, error).await;
                },
                handle,
            );
        }
        Self { _tasks: tasks }
    }
}

/// Tells those that wait for a tail when it ends, however it does.
struct Following {
    log: Arc<ShardLog>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.log.tailed.send_modify(|tailed| tailed.is_followed = false);
    }
}

/// The tail of one shard.
struct ShardTail {
    shared: Arc<Shared>,
    log: Arc<ShardLog>,
    sink: Arc<dyn TailSink>,
    /// The next record to give.
    next_seq: u64,
}

impl ShardTail {
    /// Follows the shard, until there is no going on.
    async fn run(&mut self) -> JournalError {
        let mut reader = loop {
            match StreamReader::begin(&self.shared, &self.log, self.next_seq).await {
                Ok(reader) => break reader,
                // The servers are away: they may come back.
                Err(JournalError::Elsewhere { .. }) => sleep(PAUSE).await,
                Err(error) => return error,
            }
        };
        let mut pause = PAUSE_MIN;
        loop {
            match self.log.whose(reader.next_message()) {
                Whose::Ours => self.log.wake.notified().await,
                Whose::OursUntil(end) => {
                    reader.go_behind(end);
                    self.log.passed(end.message);
                    self.advance(end.next_seq);
                }
                Whose::Others => match reader.look(&self.shared, &self.log, u64::MAX).await {
                    Ok(Look::Message(payload)) => {
                        pause = PAUSE_MIN;
                        if let Err(error) = self.take(&mut reader, &payload).await {
                            return error;
                        }
                    }
                    Ok(Look::NotThere) => self.rest(reader.next_message(), &mut pause).await,
                    Ok(Look::Fault(fault)) => {
                        tracing::debug!(shard = self.log.shard.0, %fault, "a tail was not answered");
                        sleep(PAUSE).await;
                    }
                    Err(JournalError::Elsewhere { .. }) => sleep(PAUSE).await,
                    Err(error) => return error,
                },
            }
        }
    }

    /// Takes in the message that was just read.
    async fn take(&mut self, reader: &mut StreamReader, payload: &Bytes) -> Result<(), JournalError> {
        let sequence = reader.next_message() - 1;
        if self.log.whose(sequence) != Whose::Others {
            // The shard was taken over here while the message was on its way.
            reader.step_back();
            return Ok(());
        }
        let damaged = |source| JournalError::Message { log: self.log.stream.clone(), sequence, source };
        let message = self.shared.format.read(self.log.shard, payload).map_err(damaged)?;
        let mut records = Vec::new();
        for (seq, record) in message.records() {
            if seq >= self.next_seq {
                records.push((seq, record.map_err(MessageDamage::from).map_err(damaged)?));
            }
        }
        if reader.end().is_some_and(|end| self.log.note(end)) {
            self.shared.wake_followers();
        }
        if !records.is_empty() {
            self.sink.take(self.log.shard, records).await;
        }
        self.advance(message.next_seq());
        if let Some(boot) = message.boot {
            self.shared.owners.learn(self.log.shard, message.epoch, BootId::from_bytes(boot));
        }
        self.log.passed(sequence);
        Ok(())
    }

    /// Everything before record `next_seq` was given, or is known to the replica anyway.
    fn advance(&mut self, next_seq: u64) {
        self.next_seq = self.next_seq.max(next_seq);
        let next_seq = self.next_seq;
        self.log.tailed.send_modify(|tailed| tailed.next_seq = next_seq);
    }

    /// Waits until there may be more.
    async fn rest(&self, place: u64, pause: &mut Duration) {
        let poll = self.shared.hints.map_or(PAUSE, |hints: Hints| hints.poll);
        let is_told_of = self.log.hinted() >= place;
        let wait = if is_told_of { (*pause).min(poll) } else { poll };
        *pause = if is_told_of { (*pause * 2).min(poll) } else { PAUSE_MIN };
        tokio::select! {
            () = self.log.wake.notified() => {}
            () = sleep(wait) => {}
        }
    }
}
