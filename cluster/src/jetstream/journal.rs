//! The journal in `JetStream`, put together: a lane per shard in front of its stream, a runtime of its own under them, and a
//! watch for other owners.
//!
//! Invariant: opening it takes every shard over; from then on no node that had one before can commit. Dropping it sends what
//! is queued and tells everyone before it returns, or tells them that it could not.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::Duration,
};

use holdfast_core::{ShardCount, ShardId};
use holdfast_persistence::{
    AppendError, Batch, Completion, Follower, Journal, JournalElsewhere, JournalError, JournalStats, PurgeSummary,
    Record, ReplayProgress, ReplaySummary, Unwritable,
    journal::{JournalOptions, MessageFormat},
};
use parking_lot::Mutex;
use tokio::{runtime::Runtime, sync::mpsc, task::JoinSet};

use super::{
    blocking, connect::connect, error::NatsError, flight::Entry, follow::StreamFollower, lane::Lane, purge, replay,
    requests::Requests, settings::NatsSettings, shared::Shared, streams::Streams, watch,
};

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
    queues: Vec<mpsc::UnboundedSender<Entry>>,
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

    /// Takes every shard of `store` over and opens the journal, beginning it where there is none. Blocking.
    ///
    /// # Errors
    /// [`NatsError`], naming the stream and what to do.
    pub fn open(
        self,
        store: [u8; 16],
        shards: ShardCount,
        options: &JournalOptions,
    ) -> Result<(Arc<JetStreamJournal>, JournalElsewhere), NatsError> {
        let format = MessageFormat::new(store, shards, options.record_limit_bytes, options.reserve_bytes);
        let mut boot = [0; 16];
        let system = |error: getrandom::Error| NatsError::System { what: "randomness", problem: error.to_string() };
        getrandom::fill(&mut boot).map_err(system)?;
        let (logs, is_complete) = self.runtime.block_on(async {
            let streams = self.streams();
            let is_complete = streams.prepare(store, shards).await?;
            let taken =
                futures_util::future::try_join_all(shards.iter().map(|shard| streams.take_over(shard, boot, &format)));
            Ok::<_, NatsError>((taken.await?, is_complete))
        })?;
        for log in &logs {
            tracing::info!(shard = log.shard.0, epoch = log.epoch, next_seq = log.next_durable(), "shard taken over");
        }
        let Self { runtime, requests, settings, connected } = self;
        let shared = Arc::new(Shared::new(requests, settings, format, connected, logs));
        let journal = Arc::new(JetStreamJournal::start(shared, runtime, options.clone())?);
        let found =
            JournalElsewhere { journal: Arc::<JetStreamJournal>::clone(&journal), history_is_complete: is_complete };
        Ok((journal, found))
    }

    fn streams(&self) -> Streams<'_> {
        Streams { requests: &self.requests, settings: &self.settings }
    }
}

impl JetStreamJournal {
    fn start(shared: Arc<Shared>, runtime: Runtime, options: JournalOptions) -> Result<Self, NatsError> {
        let (mut tasks, mut queues) = (JoinSet::new(), Vec::new());
        for log in &shared.shards {
            let (sender, queue) = mpsc::unbounded_channel();
            let client = &shared.requests.client;
            let inbox = client.new_inbox();
            let acks = runtime.block_on(client.subscribe(format!("{inbox}.*"))).map_err(|error| {
                let source = super::error::RequestError::Connection(error.to_string());
                NatsError::Request { action: "take a subscription", source }
            })?;
            tasks.spawn_on(Lane::new(Arc::clone(&shared), log, queue, inbox, acks).run(), runtime.handle());
            queues.push(sender);
        }
        let (finished, lanes) = std::sync::mpsc::channel();
        let watching = Arc::clone(&shared);
        runtime.spawn(async move {
            tokio::select! {
                () = async { while tasks.join_next().await.is_some() {} } => {}
                () = watch::watch(&watching) => while tasks.join_next().await.is_some() {},
            }
            drop(finished);
        });
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

    /// The epoch in which this node owns the shard; 0 for a shard there is none of.
    pub fn epoch(&self, shard: ShardId) -> u64 {
        self.shared.log(shard).map_or(0, |log| log.epoch)
    }

    /// Requests over the journal's connection, for whatever else nodes tell one another.
    pub fn requests(&self) -> &Requests {
        &self.shared.requests
    }

    /// How many batches were sent more than once.
    pub fn resent(&self) -> u64 {
        self.shared.counts.resent.load(std::sync::atomic::Ordering::Relaxed)
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
        let Some((log, queue)) = self.shared.log(shard).zip(self.queues.get(usize::from(shard.0))) else {
            let shards = u16::try_from(self.queues.len()).unwrap_or(u16::MAX);
            return done(Err(refused(holdfast_persistence::journal::BatchRefusal::UnknownShard { shards })));
        };
        let (mut bytes, mut refusal) = (Vec::new(), None);
        if !batch.records.is_empty() {
            match self.shared.format.encode(batch, log.epoch) {
                Ok(encoded) => bytes = encoded,
                Err(reason) => refusal = Some(refused(reason)),
            }
        }
        // The lock keeps the queue in the order of the sequence.
        let mut next = log.next_seq.lock();
        let mut records = 0;
        if !bytes.is_empty() {
            if *next == first_seq {
                records = batch.records.len() as u64;
                *next += records;
            } else {
                refusal = Some(AppendError::Fenced { shard, expected: *next, given: first_seq });
                bytes.clear();
            }
        }
        let sent = queue.send(Entry { bytes: bytes.into(), records, first_seq, refusal, done });
        drop(next);
        if let Err(mpsc::error::SendError(entry)) = sent {
            (entry.done)(Err(AppendError::Failed(Arc::new(self.closed()))));
        }
    }

    fn writable(&self, _shard: ShardId) -> Result<(), Unwritable> {
        self.shared.writable()
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
        self.shared.log(shard).map_or(1, |log| *log.next_seq.lock())
    }

    fn retain_bytes(&self) -> Option<u64> {
        (self.options.retain_bytes > 0).then_some(self.options.retain_bytes)
    }

    fn purge_below(&self, floor: &BTreeMap<ShardId, u64>, keep_bytes: u64) -> Result<PurgeSummary, JournalError> {
        let handle = self.handle().ok_or_else(|| self.closed())?;
        blocking::wait(handle, purge::purge_below(&self.shared, floor, keep_bytes))
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
