//! The journal in `JetStream`, put together: a lane per shard in front of its stream, a runtime of its own under them, and a
//! watch for other owners.
//!
//! Invariant: a journal that was joined owns nothing until it takes a shard over; one that was opened takes all over, and
//! leaves when it loses any. Dropping it sends what is queued and tells everyone before it returns, or tells them that it
//! could not.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::Duration,
};

use futures_util::future::try_join_all;
use holdfast_core::{ShardCount, ShardId};
use holdfast_persistence::{
    AppendError, Batch, Completion, Follower, HistoryReader, Journal, JournalElsewhere, JournalError, JournalStats,
    PurgeSummary, Record, ReplayProgress, ReplaySummary, Unwritable,
    journal::{JournalOptions, MessageFormat},
};
use parking_lot::Mutex;
use tokio::{runtime::Runtime, sync::mpsc, task::JoinSet};

use super::{
    blocking,
    connect::connect,
    error::NatsError,
    flight::Entry,
    follow::StreamFollower,
    hint::{self, Hints},
    lane::{Lane, Work},
    log::ShardLog,
    purge, replay,
    requests::Requests,
    settings::NatsSettings,
    shared::{Parts, Shared},
    streams::Streams,
    tail::{Tail, TailSink},
    watch,
};
use crate::{boot::BootId, owners::Owners, settings::ClusterSettings};

/// Threads of the journal's own runtime.
const THREADS: usize = 2;
/// What they are called.
const THREAD_NAME: &str = "journal-nats";

/// A connection to servers that were found fit, before any shard was taken over.
pub struct JetStream {
    runtime: Runtime,
    requests: Requests,
    settings: NatsSettings,
    connected: Arc<AtomicBool>,
}

/// The journal in the streams of one deployment.
pub struct JetStreamJournal {
    shared: Arc<Shared>,
    options: JournalOptions,
    queues: Vec<mpsc::UnboundedSender<Work>>,
    /// Ends when the lanes have.
    lanes: Mutex<std::sync::mpsc::Receiver<()>>,
    runtime: Option<Runtime>,
}

impl JetStream {
    /// Connects and checks the servers. Blocking, and not to be called from within a runtime.
    ///
    /// # Errors
    /// [`NatsError`], when no server answers or one is not fit.
    pub fn connect(settings: &NatsSettings, options: &JournalOptions) -> Result<Self, NatsError> {
        let threads = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name(THREAD_NAME)
            .enable_all()
            .build();
        let system = |error: std::io::Error| NatsError::System { what: "a runtime", problem: error.to_string() };
        let runtime = threads.map_err(system)?;
        let connected = Arc::default();
        let client = runtime.block_on(connect(settings, options.reserve_bytes, &connected))?;
        // Told by an event as well, but perhaps only a moment later.
        connected.store(true, std::sync::atomic::Ordering::Release);
        let requests = Requests { client, timeout: settings.attempt_timeout() };
        Ok(Self { runtime, requests, settings: settings.clone(), connected })
    }

    /// The store whose journal the deployment has; `None` when it has none yet. Blocking.
    ///
    /// # Errors
    /// [`NatsError`], when the servers do not say, or the streams are somebody else's.
    pub fn store(&self, shards: ShardCount) -> Result<Option<[u8; 16]>, NatsError> {
        self.runtime.block_on(self.streams().store(shards))
    }

    /// The same; begun as the store `proposed` where there is none. Nodes that start at once get the same answer. Blocking.
    ///
    /// # Errors
    /// As [`JetStream::store`].
    pub fn store_or_begin(&self, shards: ShardCount, proposed: [u8; 16]) -> Result<[u8; 16], NatsError> {
        self.runtime.block_on(self.streams().store_or_begin(shards, proposed))
    }

    /// Opens the journal of `store` and takes every shard over, beginning it where there is none: for a node that is alone.
    /// When it loses a shard it takes nothing more, and says so. Blocking.
    ///
    /// # Errors
    /// [`NatsError`], naming the stream and what to do.
    pub fn open(
        self,
        store: [u8; 16],
        shards: ShardCount,
        options: &JournalOptions,
    ) -> Result<(Arc<JetStreamJournal>, JournalElsewhere), NatsError> {
        let system = |error: getrandom::Error| NatsError::System { what: "randomness", problem: error.to_string() };
        let boot = BootId::random().map_err(system)?;
        let opened = self.enter(store, shards, options, (boot, Arc::new(Owners::none(shards)), None))?;
        if let Some(handle) = opened.0.handle() {
            let all = shards.iter().map(|shard| opened.0.acquire(shard, false));
            handle.block_on(try_join_all(all))?;
        }
        Ok(opened)
    }

    /// Opens the journal of `store` as one of several nodes, beginning it where there is none, and takes nothing over. `boot` is
    /// this node; whose the shards are is told to `owners` as it is read. Blocking.
    ///
    /// # Errors
    /// [`NatsError`], naming the stream and what to do.
    pub fn join(
        self,
        store: [u8; 16],
        shards: ShardCount,
        options: &JournalOptions,
        boot: BootId,
        owners: Arc<Owners>,
        cluster: &ClusterSettings,
    ) -> Result<(Arc<JetStreamJournal>, JournalElsewhere), NatsError> {
        let hints = Hints {
            every: Duration::from_millis(cluster.tail_hint_ms),
            poll: Duration::from_millis(cluster.tail_poll_ms),
        };
        self.enter(store, shards, options, (boot, owners, Some(hints)))
    }

    fn enter(
        self,
        store: [u8; 16],
        shards: ShardCount,
        options: &JournalOptions,
        (boot, owners, hints): (BootId, Arc<Owners>, Option<Hints>),
    ) -> Result<(Arc<JetStreamJournal>, JournalElsewhere), NatsError> {
        let format = MessageFormat::new(store, shards, options.record_limit_bytes, options.reserve_bytes);
        let (logs, is_complete) = self.runtime.block_on(async {
            let streams = self.streams();
            let is_complete = streams.prepare(store, shards).await?;
            let logs = shards.iter().map(|shard| find(&streams, shard, &format, hints.map(|_| &*owners)));
            Ok::<_, NatsError>((try_join_all(logs).await?, is_complete))
        })?;
        let Self { runtime, requests, settings, connected } = self;
        let group_bytes = usize::try_from(options.frame_limit_bytes).unwrap_or(usize::MAX);
        let shards = logs;
        let shared =
            Shared::new(Parts { requests, settings, format, group_bytes, connected, boot, owners, shards, hints });
        let journal = Arc::new(JetStreamJournal::start(Arc::new(shared), runtime, options.clone())?);
        let found =
            JournalElsewhere { journal: Arc::<JetStreamJournal>::clone(&journal), history_is_complete: is_complete };
        Ok((journal, found))
    }

    fn streams(&self) -> Streams<'_> {
        Streams { requests: &self.requests, settings: &self.settings }
    }
}

/// How far a shard is, and whose it is if anybody wants to know.
async fn find(
    streams: &Streams<'_>,
    shard: ShardId,
    format: &MessageFormat,
    owners: Option<&Owners>,
) -> Result<Arc<ShardLog>, NatsError> {
    let end = streams.end(shard, format).await?;
    if let Some(owners) = owners
        && let Some(boot) = streams.begun_by(shard, end, format).await?
    {
        owners.learn(shard, end.epoch, boot);
    }
    Ok(Arc::new(ShardLog::new(shard, streams.stream(shard), streams.subject(shard), end)))
}

impl JetStreamJournal {
    fn start(shared: Arc<Shared>, runtime: Runtime, options: JournalOptions) -> Result<Self, NatsError> {
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

    fn handle(&self) -> Option<&tokio::runtime::Handle> {
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

    /// Whatever the limit: a node whose folder is empty, or behind the streams, can be filled from nowhere else.
    fn retain_for(&self, reader: Arc<dyn HistoryReader>, _limit_bytes: u64) {
        *self.shared.behind.lock() = Some(reader);
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

impl std::fmt::Debug for JetStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JetStream").field("deployment", &self.settings.deployment).finish_non_exhaustive()
    }
}
