//! The streams of a deployment, one per shard: what they are called, how they are set up, whose they are, and taking one
//! over.
//!
//! Invariants: a stream carries the store's id, and no other store's node appends to it; a takeover is one append, barrier
//! and fence in one: it expects the very message that was read last, so whatever the owner before still has on its way is
//! refused from then on. The stream of shard 0 is made last: where it is, all of them were. A server that has just started
//! may say of a stream that there is none, and find it a moment later: nothing follows from one such answer.

use std::collections::BTreeMap;

use holdfast_core::{ShardCount, ShardId};
use holdfast_persistence::{JournalError, StoreId, journal::MessageFormat};
use tokio::time::{Instant, sleep};

use super::{
    connect::PAUSE,
    error::{NatsError, RequestError},
    log::End,
    requests::{Appended, Requests, Stored, StreamConfig, StreamInfo},
    settings::NatsSettings,
};
use crate::boot::BootId;

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

    /// Begins a new epoch of a shard, whoever had it before: the record of the epoch is the end.
    pub(super) async fn take_over(
        &self,
        shard: ShardId,
        boot: BootId,
        format: &MessageFormat,
        not_after: u64,
    ) -> Result<End, NatsError> {
        let (stream, subject) = (self.stream(shard), self.subject(shard));
        let (began, limit) = (Instant::now(), self.settings.start_deadline());
        // The epoch that was tried to begin here: earlier ones of this boot are over.
        let mut tried = None;
        loop {
            let end = match self.requests.last(&stream, &subject).await {
                Ok(Some(stored)) => read_end(shard, &stream, &stored, format)?,
                Ok(None) => (End::NONE, None),
                Err(error) => {
                    self.pause(shard, began, &error).await?;
                    continue;
                }
            };
            let (end, begun_by) = end;
            if begun_by == Some(boot) && tried == Some(end.epoch) {
                return Ok(end);
            }
            if end.epoch > not_after {
                return Err(NatsError::Overtaken { shard });
            }
            let epoch = end.epoch + 1;
            tried = Some(epoch);
            let record = format.encode_epoch(shard, epoch, boot.to_bytes(), end.next_seq);
            let last = match self.requests.append(&subject, end.message, record.into()).await {
                Appended::At(message) if message == end.message + 1 => return Ok(End { message, epoch, ..end }),
                Appended::At(message) => RequestError::Malformed(format!("it was appended as message {message}")),
                // An owner that is alive was faster: at once again, or a busy one would never be overtaken.
                Appended::WrongLast(Some(found)) if found > end.message && began.elapsed() < limit => continue,
                // A replica that is behind was read, or it was this one's own record, whose answer was lost.
                Appended::WrongLast(found) => RequestError::Malformed(format!("the stream ends with {found:?}")),
                Appended::NotNow(error) => error,
            };
            self.pause(shard, began, &last).await?;
        }
    }

    /// Where a shard's stream ends now, as its leader says.
    pub(super) async fn end(&self, shard: ShardId, format: &MessageFormat) -> Result<End, NatsError> {
        let stream = self.stream(shard);
        loop {
            let info = self.existing(shard).await?;
            if info.state.last_seq == 0 {
                return Ok(End::NONE);
            }
            // Otherwise it is not the last one any more.
            if let Some(stored) = self.message(&stream, info.state.last_seq).await? {
                return Ok(read_end(shard, &stream, &stored, format)?.0);
            }
        }
    }

    /// Who began the epoch in which a shard's stream ends; `None` when that was purged, or never was.
    pub(super) async fn begun_by(
        &self,
        shard: ShardId,
        end: End,
        format: &MessageFormat,
    ) -> Result<Option<BootId>, NatsError> {
        if end.message == 0 {
            return Ok(None);
        }
        let stream = self.stream(shard);
        let info = self.existing(shard).await?;
        // `high` is of the epoch; what is before `low` is not, or is gone.
        let (mut low, mut high) = (info.state.first_seq, end.message);
        while low < high {
            let middle = low + (high - low) / 2;
            let epoch = match self.message(&stream, middle).await? {
                Some(stored) => Some(read_end(shard, &stream, &stored, format)?.0.epoch),
                None => None,
            };
            if epoch.is_none_or(|epoch| epoch < end.epoch) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let stored = self.message(&stream, high).await?;
        Ok(stored.map(|stored| read_end(shard, &stream, &stored, format)).transpose()?.and_then(|(_, boot)| boot))
    }

    /// A message that was there; `None` once its owner has let it go.
    async fn message(&self, stream: &str, sequence: u64) -> Result<Option<Stored>, NatsError> {
        let began = Instant::now();
        loop {
            let error = match self.requests.message(stream, sequence).await {
                Ok(Some(stored)) => return Ok(Some(stored)),
                Ok(None) => match self.requests.stream(stream).await {
                    Ok(Some(info)) if info.state.first_seq > sequence => return Ok(None),
                    _ => RequestError::Malformed(format!("message {sequence} is not there")),
                },
                Err(error) => error,
            };
            self.again("read a stream", error, began).await?;
        }
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
    async fn existing(&self, shard: ShardId) -> Result<StreamInfo, NatsError> {
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
    async fn again(&self, action: &'static str, error: RequestError, began: Instant) -> Result<(), NatsError> {
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

    async fn pause(&self, shard: ShardId, began: Instant, last: &RequestError) -> Result<(), NatsError> {
        if began.elapsed() + PAUSE > self.settings.start_deadline() {
            let (waited_ms, last) = (self.settings.start_deadline_ms, last.to_string());
            return Err(NatsError::Takeover { shard, waited_ms, last });
        }
        sleep(PAUSE).await;
        Ok(())
    }
}

/// Where a message leaves its stream, and who begins an epoch with it.
fn read_end(
    shard: ShardId,
    stream: &str,
    stored: &Stored,
    format: &MessageFormat,
) -> Result<(End, Option<BootId>), JournalError> {
    let sequence = stored.sequence;
    let damaged = |source| JournalError::Message { log: stream.to_owned(), sequence, source };
    let message = format.read(shard, &stored.payload).map_err(damaged)?;
    let end = End { message: sequence, epoch: message.epoch, next_seq: message.next_seq() };
    Ok((end, message.boot.map(BootId::from_bytes)))
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

#[cfg(test)]
mod tests {
    use holdfast_persistence::journal::JournalOptions;
    use holdfast_servers::{Nats, NatsOptions};

    use super::*;
    use crate::jetstream::JetStream;

    #[test]
    fn who_began_an_epoch_is_not_known_once_that_was_purged_even_while_it_was_looked_for() {
        let nats = Nats::start(&NatsOptions { sync_always: false, ..NatsOptions::default() }).unwrap();
        let settings =
            NatsSettings { url: nats.url(), replicas: 1, start_deadline_ms: 1_500, ..NatsSettings::default() };
        let (options, count, shard) = (JournalOptions::default(), ShardCount::new(1).unwrap(), ShardId(0));
        let (journal, _) = JetStream::connect(&settings, &options)
            .unwrap()
            .open(StoreId::from_bytes(*b"a store of tests"), count, &options)
            .unwrap();
        let inner = journal.shared();
        let streams = Streams { requests: &inner.requests, settings: &settings };
        journal.handle().unwrap().block_on(async {
            let first = streams.end(shard, &inner.format).await.unwrap();
            assert_eq!(streams.begun_by(shard, first, &inner.format).await.unwrap(), Some(inner.boot));
            let boots: Vec<_> = (2..6).map(|boot| BootId::from_bytes([boot; 16])).collect();
            for boot in &boots {
                streams.take_over(shard, *boot, &inner.format, u64::MAX).await.unwrap();
            }
            inner.requests.purge(&streams.stream(shard), 4).await.unwrap();
            assert_eq!(streams.begun_by(shard, first, &inner.format).await.unwrap(), None);
            let last = streams.end(shard, &inner.format).await.unwrap();
            assert_eq!(streams.begun_by(shard, last, &inner.format).await.unwrap(), boots.last().copied());
        });
    }
}
