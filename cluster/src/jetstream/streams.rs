//! The streams of a deployment, one per shard: what they are called, how they are set up, and whose they are. How one is taken
//! over, and where it ends, is in [`super::takeover`].
//!
//! Invariants: a stream carries the store's id, and no other store's node appends to it. The stream of shard 0 is made last:
//! where it is, all of them were. A server that has just started may say of a stream that there is none, and find it a moment
//! later: nothing follows from one such answer.

use std::collections::BTreeMap;

use holdfast_core::{ShardCount, ShardId};
use holdfast_persistence::StoreId;
use tokio::time::{Instant, sleep};

use super::{
    connect::PAUSE,
    error::{NatsError, RequestError},
    requests::{Requests, StreamConfig, StreamInfo},
    settings::NatsSettings,
};

/// Metadata: the store's id, in hexadecimal.
const STORE: &str = "holdfast.store";
/// Metadata: how many shards the store has.
const SHARDS: &str = "holdfast.shards";
/// Refusals that pass by themselves while servers start: no meta leader, no peers yet, no stream leader, not available.
pub(super) const PASSING: [u64; 6] = [503, 10_005, 10_008, 10_009, 10_074, 10_023];

/// `JetStream`: there is a stream of that name with another configuration.
pub(super) const NAME_IN_USE: u64 = 10_058;

/// The streams of one deployment.
pub(super) struct Streams<'a> {
    pub(super) requests: &'a Requests,
    pub(super) settings: &'a NatsSettings,
}

impl Streams<'_> {
    pub(super) fn stream(&self, shard: ShardId) -> String {
        format!("HOLDFAST_{}_{}", self.settings.deployment, shard.0)
    }

    pub(super) fn subject(&self, shard: ShardId) -> String {
        format!("holdfast.{}.journal.{}", self.settings.deployment, shard.0)
    }

    /// The store whose journal this is; `None` when it was not begun, or its beginning was not finished.
    pub(super) async fn store(&self, shards: ShardCount) -> Result<Option<StoreId>, NatsError> {
        // The first that exists says it: after an interrupted beginning, that is not the one of shard 0.
        for shard in shards.iter() {
            if let Some(info) = self.info(shard).await? {
                return store_of(&info).map(Some).ok_or_else(|| self.unfit(shard, "it is not Holdfast's".to_owned()));
            }
        }
        Ok(None)
    }

    /// The store whose journal this is; begun as `proposed` where there is none. Nodes that start at once get the same answer.
    pub(super) async fn store_or_begin(&self, shards: ShardCount, proposed: StoreId) -> Result<StoreId, NatsError> {
        // The one that [`Streams::prepare`] makes first: whoever makes it says whose the others are.
        let (first, began) = (shards.iter().last().unwrap_or(ShardId(0)), Instant::now());
        loop {
            if let Some(store) = self.store(shards).await? {
                return Ok(store);
            }
            match self.create(first, proposed, shards).await {
                Ok(_) => return Ok(proposed),
                // Another node's, which not every server shows yet.
                Err(error) if is_name_in_use(&error) => {
                    if began.elapsed() + PAUSE > self.settings.start_deadline() {
                        return Err(error);
                    }
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Checks every stream, making those that are missing while the journal begins. Whether it reaches back to the beginning.
    pub(super) async fn prepare(&self, store: StoreId, shards: ShardCount) -> Result<bool, NatsError> {
        let mut all: Vec<_> = shards.iter().collect();
        all.reverse();
        let mut found = Vec::with_capacity(all.len());
        for shard in all {
            found.push((shard, self.info(shard).await?));
        }
        // Nothing is appended before every stream is there.
        let says_begun = |(shard, info): &(ShardId, Option<StreamInfo>)| {
            info.as_ref().is_some_and(|info| *shard == ShardId(0) || info.state.last_seq > 0)
        };
        let is_begun = found.iter().any(says_begun);
        let mut is_complete = true;
        for (shard, info) in found {
            let info = match info {
                Some(info) => info,
                None if is_begun => self.existing(shard).await?,
                None => match self.create(shard, store, shards).await {
                    Err(error) if is_name_in_use(&error) => self.existing(shard).await?,
                    made => made?,
                },
            };
            self.check(shard, &info, store, shards)?;
            is_complete &= info.state.first_seq <= 1;
        }
        Ok(is_complete)
    }

    /// Asks for a stream until it is answered.
    async fn info(&self, shard: ShardId) -> Result<Option<StreamInfo>, NatsError> {
        let (stream, began) = (self.stream(shard), Instant::now());
        loop {
            match self.requests.stream(&stream).await {
                Ok(info) => return Ok(info),
                Err(error) => self.again("tell of a stream", error, began).await?,
            }
        }
    }

    /// A stream that was made once: it is gone only if that is said for as long as a start may take.
    pub(super) async fn existing(&self, shard: ShardId) -> Result<StreamInfo, NatsError> {
        let began = Instant::now();
        loop {
            if let Some(info) = self.info(shard).await? {
                return Ok(info);
            }
            if began.elapsed() + PAUSE > self.settings.start_deadline() {
                return Err(NatsError::StreamLost { stream: self.stream(shard) });
            }
            sleep(PAUSE).await;
        }
    }

    async fn create(&self, shard: ShardId, store: StoreId, shards: ShardCount) -> Result<StreamInfo, NatsError> {
        let (name, subjects) = (self.stream(shard), vec![self.subject(shard)]);
        let config = StreamConfig::lossless(name, subjects, self.settings.replicas, metadata_of(store, shards));
        let began = Instant::now();
        loop {
            match self.requests.create(&config).await {
                Ok(info) => return Ok(info),
                Err(error) => self.again("make a stream (are there nats.replicas servers?)", error, began).await?,
            }
        }
    }

    fn check(&self, shard: ShardId, info: &StreamInfo, store: StoreId, shards: ShardCount) -> Result<(), NatsError> {
        let (config, wanted) = (&info.config, self.settings.replicas);
        let found = config.metadata.get(SHARDS).and_then(|count| count.parse::<u16>().ok());
        let problem = if store_of(info) != Some(store) {
            "it belongs to another store: choose another nats.deployment".to_owned()
        } else if found != Some(shards.get()) {
            format!("the store has {found:?} shards, the settings say {}", shards.get())
        } else if config.num_replicas < wanted {
            let found = config.num_replicas;
            format!("it has {found} replicas, nats.replicas is {wanted}: `nats stream edit --replicas {wanted}` it")
        } else if config.subjects != [self.subject(shard)] {
            format!("it takes {:?}", config.subjects)
        } else if config.storage != "file" || config.retention != "limits" || config.discard != "new" {
            "it does not keep what it takes: storage must be file, retention limits, discard new".to_owned()
        } else if config.has_limit() {
            "it has a limit of age or size: old messages would vanish under the store".to_owned()
        } else if config.persist_mode.as_deref() == Some("async") {
            "it acknowledges before it has written (persist_mode async)".to_owned()
        } else if !config.allow_direct {
            "it does not allow direct reads".to_owned()
        } else {
            return Ok(());
        };
        Err(self.unfit(shard, problem))
    }

    fn unfit(&self, shard: ShardId, problem: String) -> NatsError {
        NatsError::Stream { stream: self.stream(shard), problem }
    }

    /// Waits for another attempt, or gives up.
    pub(super) async fn again(
        &self,
        action: &'static str,
        error: RequestError,
        began: Instant,
    ) -> Result<(), NatsError> {
        let passes = match &error {
            RequestError::Refused { code, .. } => PASSING.contains(code),
            _ => true,
        };
        if !passes || began.elapsed() + PAUSE > self.settings.start_deadline() {
            return Err(NatsError::Request { action, source: error });
        }
        sleep(PAUSE).await;
        Ok(())
    }
}

fn is_name_in_use(error: &NatsError) -> bool {
    matches!(error, NatsError::Request { source: RequestError::Refused { code: NAME_IN_USE, .. }, .. })
}

/// What a stream says of whose it is.
pub(super) fn metadata_of(store: StoreId, shards: ShardCount) -> BTreeMap<String, String> {
    [(STORE, store.to_string()), (SHARDS, shards.get().to_string())].map(|(key, value)| (key.to_owned(), value)).into()
}

/// Whose a stream is.
pub(super) fn store_of(info: &StreamInfo) -> Option<StoreId> {
    info.config.metadata.get(STORE)?.parse().ok()
}
