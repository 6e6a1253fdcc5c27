//! A connection to servers that were found fit, and how the journal begins on it: alone, or among other nodes.
//!
//! Invariant: nothing is taken over before the streams of all shards were seen to be this store's and fit.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use futures_util::future::try_join_all;
use holdfast_core::{ShardCount, ShardId};
use holdfast_persistence::{
    JournalElsewhere, StoreId,
    journal::{JournalOptions, MessageFormat},
};
use tokio::runtime::Runtime;

use super::{
    archive::Archive,
    connect::connect,
    error::NatsError,
    hint::Hints,
    journal::JetStreamJournal,
    log::ShardLog,
    requests::Requests,
    settings::NatsSettings,
    shared::{Parts, Shared},
    streams::Streams,
};
use crate::{boot::BootId, owners::Owners, settings::ClusterSettings};

/// Threads of the journal's own runtime.
const THREADS: usize = 2;
/// What they are called.
pub(super) const THREAD_NAME: &str = "journal-nats";

/// A connection to servers that were found fit, before any shard was taken over.
pub struct JetStream {
    runtime: Runtime,
    requests: Requests,
    settings: NatsSettings,
    connected: Arc<AtomicBool>,
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

    /// The store whose journal the deployment has; begun as the store `proposed` where there is none. Nodes that start at once
    /// get the same answer. Blocking.
    ///
    /// # Errors
    /// [`NatsError`], when the servers do not say, or the streams are somebody else's.
    pub fn store_or_begin(&self, shards: ShardCount, proposed: StoreId) -> Result<StoreId, NatsError> {
        self.runtime.block_on(self.streams().store_or_begin(shards, proposed))
    }

    /// The snapshots that nodes without `PostgreSQL` keep in the servers. To be used for as long as this, or the journal that is
    /// opened of it, is there.
    pub fn archive(&self, shards: ShardCount) -> Archive {
        Archive::new(self.requests.clone(), self.runtime.handle().clone(), &self.settings, shards)
    }

    /// Opens the journal of `store` and takes every shard over, beginning it where there is none: for a node that is alone.
    /// When it loses a shard it takes nothing more, and says so. Blocking.
    ///
    /// # Errors
    /// [`NatsError`], naming the stream and what to do.
    pub fn open(
        self,
        store: StoreId,
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
        store: StoreId,
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
        store: StoreId,
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
    if let Some(owners) = owners {
        match streams.begun_by(shard, end, format).await? {
            Some(boot) => owners.learn(shard, end.epoch, boot),
            // Purged, or never begun.
            None => owners.learn_epoch(shard, end.epoch),
        }
    }
    Ok(Arc::new(ShardLog::new(shard, streams.stream(shard), streams.subject(shard), end)))
}

impl std::fmt::Debug for JetStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JetStream").field("deployment", &self.settings.deployment).finish_non_exhaustive()
    }
}
