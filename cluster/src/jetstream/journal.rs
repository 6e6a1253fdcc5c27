//! The journal in `JetStream`, put together: a lane per shard in front of its stream, a runtime of its own under them, and a
//! watch for other owners.
//!
//! Invariant: a journal that was joined owns nothing until it takes a shard over; one that was opened takes all over, and
//! leaves when it loses any. Dropping it sends what is queued and tells everyone before it returns, or tells them that it
//! could not.

use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};

use holdfast_core::ShardId;
use holdfast_persistence::{
    AppendError, Batch, Completion, Follower, HistoryReader, Journal, JournalError, JournalStats, PurgeSummary, Record,
    ReplayProgress, ReplaySummary, Unwritable, journal::JournalOptions,
};
use parking_lot::Mutex;
use tokio::{runtime::Runtime, sync::mpsc, task::JoinSet};

use super::{
    blocking,
    connection::THREAD_NAME,
    error::NatsError,
    flight::Entry,
    follow::StreamFollower,
    hint,
    lane::{Lane, Work},
    log::ShardLog,
    purge, replay,
    requests::Requests,
    shared::Shared,
    tail::{Tail, TailSink},
    watch,
};
use crate::{boot::BootId, owners::Owners};

/// The journal in the streams of one deployment.
pub struct JetStreamJournal {
    shared: Arc<Shared>,
    options: JournalOptions,
    queues: Vec<mpsc::UnboundedSender<Work>>,
    /// Ends when the lanes have.
    lanes: Mutex<std::sync::mpsc::Receiver<()>>,
    runtime: Option<Runtime>,
}

impl JetStreamJournal {
    pub(super) fn start(shared: Arc<Shared>, runtime: Runtime, options: JournalOptions) -> Result<Self, NatsError> {
        let (mut tasks, mut queues) = (JoinSet::new(), Vec::new());
        for log in &shared.shards {
            let (sender, queue) = mpsc::unbounded_channel();
            let client = &shared.requests.client;
            let inbox = client.new_inbox();
            let acks = runtime.block_on(client.subscribe(format!("{inbox}.>"))).map_err(|error| {
                let source = super::error::RequestError::Connection(error.to_string());
                NatsError::Request { action: "take a subscription", source }
            })?;
            let lane = Lane::new(Arc::clone(&shared), Arc::clone(log), queue, inbox, acks);
            tasks.spawn_on(lane.run(), runtime.handle());
            queues.push(sender);
        }
        let (finished, lanes) = std::sync::mpsc::channel();
        let watching = Arc::clone(&shared);
        runtime.spawn(async move {
            tokio::select! {
                () = async { while tasks.join_next().await.is_some() {} } => {}
                () = watch::watch(&watching) => {}
            }
            drop(finished);
        });
        if shared.hints.is_some() {
            runtime.spawn(hint::listen(Arc::clone(&shared)));
        }
        Ok(Self { shared, options, queues, lanes: Mutex::new(lanes), runtime: Some(runtime) })
    }

    /// Waits until this node may not go on, since another one took over or the log failed, and says why.
    pub async fn lost(&self) -> String {
        let mut lost = self.shared.lost.subscribe();
        match lost.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the journal was closed".to_owned(),
        }
    }

    /// The epoch in which this node owns the shard; 0 when it does not.
    pub fn epoch(&self, shard: ShardId) -> u64 {
        self.shared.log(shard).and_then(|log| log.tenure()).unwrap_or(0)
    }

    /// What this node is called in the records of the epochs it begins.
    pub fn boot(&self) -> BootId {
        self.shared.boot
    }

    /// Whose the shards are, as far as this node knows.
    pub fn owners(&self) -> &Arc<Owners> {
        &self.shared.owners
    }

    /// Follows the shards that `from` names, from the given record on, whenever they are not owned here: `sink` is given what
    /// others commit. To follow a shard anew, drop the tail of it first.
    ///
    /// # Errors
    /// [`NatsError::Closed`], when the journal is being closed.
    pub fn tail(&self, from: &BTreeMap<ShardId, u64>, sink: &Arc<dyn TailSink>) -> Result<Tail, NatsError> {
        let handle = self.handle().ok_or_else(|| NatsError::Closed("it was closed".to_owned()))?;
        Ok(Tail::start(&self.shared, handle, from, sink))
    }

    /// Requests over the journal's connection, for whatever else nodes tell one another.
    pub fn requests(&self) -> &Requests {
        &self.shared.requests
    }

    /// How many batches were sent more than once.
    pub fn resent(&self) -> u64 {
        self.shared.counts.resent.load(std::sync::atomic::Ordering::Relaxed)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn log_and_queue(&self, shard: ShardId) -> Option<(&Arc<ShardLog>, &mpsc::UnboundedSender<Work>)> {
        self.shared.log(shard).zip(self.queues.get(usize::from(shard.0)))
    }

    pub(super) fn handle(&self) -> Option<&tokio::runtime::Handle> {
        self.runtime.as_ref().map(Runtime::handle)
    }

    fn closed(&self) -> JournalError {
        let log = self.shared.settings.deployment.clone();
        JournalError::Elsewhere { action: "read", log, source: "the journal is closed".into() }
    }
}

impl Journal for JetStreamJournal {
    fn append(&self, batch: &Batch, done: Completion) {
        let (shard, first_seq) = (batch.shard, batch.first_seq);
        let refused = |reason| AppendError::Refused { shard, reason: Arc::new(reason) };
        let Some((log, queue)) = self.log_and_queue(shard) else {
            let shards = u16::try_from(self.queues.len()).unwrap_or(u16::MAX);
            return done(Err(refused(holdfast_persistence::journal::BatchRefusal::UnknownShard { shards })));
        };
        let encoded = match self.shared.format.encode_records(batch) {
            Ok(records) => Ok(Some(records).filter(|_| !batch.records.is_empty())),
            Err(reason) => Err(refused(reason)),
        };
        let count = encoded.as_ref().ok().and_then(Option::as_ref).map_or(0, |records| u64::from(records.count()));
        let mut unsent = None;
        log.accept(first_seq, count, |epoch, fenced| {
            let (records, refusal) = match (encoded, fenced) {
                (Err(refusal), _) | (Ok(_), Some(refusal)) => (None, Some(refusal)),
                (Ok(records), None) => (records, None),
            };
            unsent = queue.send(Work::Append(Entry { epoch, records, first_seq, refusal, done })).err();
        });
        if let Some(mpsc::error::SendError(Work::Append(entry))) = unsent {
            (entry.done)(Err(AppendError::Failed(Arc::new(self.closed()))));
        }
    }

    fn owns(&self, shard: ShardId) -> bool {
        self.shared.log(shard).is_some_and(|log| log.tenure().is_some())
    }

    fn is_shared(&self) -> bool {
        !self.shared.is_alone()
    }

    fn writable(&self, shard: ShardId) -> Result<(), Unwritable> {
        self.shared.log(shard).map_or(Err(Unwritable::Overtaken), |log| self.shared.writable(log))
    }

    fn replay(
        &self,
        from: &BTreeMap<ShardId, u64>,
        sink: &(dyn Fn(ShardId, u64, Record) + Sync),
        progress: &(dyn Fn(ReplayProgress) + Sync),
    ) -> Result<ReplaySummary, JournalError> {
        let handle = self.handle().ok_or_else(|| self.closed())?;
        replay::replay(&self.shared, handle, self.options.replay_threads, from, sink, progress)
    }

    fn follow(&self, from: &BTreeMap<ShardId, u64>) -> Result<Box<dyn Follower>, JournalError> {
        let handle = self.handle().ok_or_else(|| self.closed())?;
        Ok(Box::new(StreamFollower::begin(Arc::clone(&self.shared), handle.clone(), from)?))
    }

    fn next_seq(&self, shard: ShardId) -> u64 {
        self.shared.log(shard).map_or(1, |log| log.next_seq())
    }

    fn retain_bytes(&self) -> Option<u64> {
        (self.options.retain_bytes > 0).then_some(self.options.retain_bytes)
    }

    fn purge_below(&self, floor: &BTreeMap<ShardId, u64>, keep_bytes: u64) -> Result<PurgeSummary, JournalError> {
        let handle = self.handle().ok_or_else(|| self.closed())?;
        blocking::wait(handle, purge::purge_below(&self.shared, floor, keep_bytes))
    }

    /// Whatever the limit: a node whose folder is empty, or behind the streams, can be filled from nowhere else. Every reader
    /// counts.
    fn retain_for(&self, reader: Arc<dyn HistoryReader>, _limit_bytes: u64) {
        self.shared.behind.lock().push(reader);
    }

    fn stats(&self) -> JournalStats {
        self.shared.stats()
    }
}

impl Drop for JetStreamJournal {
    fn drop(&mut self) {
        self.queues.clear();
        let is_own_thread = thread::current().name() == Some(THREAD_NAME);
        if !is_own_thread {
            // The lanes give up by themselves after two attempts; this is for one that does not.
            let limit = self.shared.settings.attempt_timeout() * 3 + Duration::from_secs(1);
            if self.lanes.get_mut().recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                tracing::error!("the journal's lanes did not finish");
            }
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for JetStreamJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JetStreamJournal").field("shards", &self.queues.len()).finish_non_exhaustive()
    }
}
