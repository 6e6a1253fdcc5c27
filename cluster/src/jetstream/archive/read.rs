//! The archive as the copy of the store that an empty data folder is filled from.
//!
//! Invariants: every call about a shard speaks of the edition that was chosen first, unless that was replaced while it was
//! read: then of the one that did, from its beginning. A shard that had none has none until all is asked anew: a watermark is
//! never that of another edition than the snapshots. What is given is a whole edition or an error. Any replica may answer,
//! also one that is behind: it is asked again.

use holdfast_core::{EntityId, ShardId};
use holdfast_persistence::{
    CodecError, EntityState, Held, Replica, ReplicaError, SnapshotError, SnapshotSource, StoreId,
    snapshot::{PageTitle, read_page},
};
use tokio::time::{Instant, sleep};

use super::{
    Archive,
    edition::{Edition, Part},
    write::End,
};
use crate::jetstream::{blocking, connect::PAUSE, error::RequestError, requests::Stored};

/// Why an edition cannot be read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    /// The servers do not give it.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// It is damaged.
    #[error("page {number} of shard {} as of record {} is damaged", edition.shard.0, edition.watermark)]
    Damaged {
        edition: Edition,
        number: u32,
        #[source]
        source: CodecError,
    },
    /// It does not have what its end says.
    #[error("shard {} as of record {} has {found} snapshots, its end says {expected}", edition.shard.0, edition.watermark)]
    Incomplete { edition: Edition, found: u64, expected: u64 },
}

/// What was found of an edition.
enum Next {
    /// Its next message.
    Message(Stored),
    /// This newer one has taken its place.
    Replaced(Edition),
}

impl Archive {
    /// The edition that is read of a shard; `None` when there is none.
    fn chosen(&self, shard: ShardId) -> Result<Option<Edition>, RequestError> {
        if let Some(edition) = self.chosen.lock().get(&shard) {
            return Ok(*edition);
        }
        let contents = blocking::wait(&self.handle, self.contents_patiently())?;
        Ok(self.choose(shard, contents.newest(shard)))
    }

    fn choose(&self, shard: ShardId, edition: Option<Edition>) -> Option<Edition> {
        self.chosen.lock().insert(shard, edition);
        edition
    }

    /// Gives every snapshot of the chosen edition.
    fn read(&self, shard: ShardId, sink: &mut dyn FnMut(EntityId, u64, EntityState)) -> Result<(), ReadError> {
        let Some(mut edition) = self.chosen(shard)? else { return Ok(()) };
        while let Some(newer) = self.read_edition(edition, sink)? {
            tracing::info!(shard = shard.0, "a newer edition took the place of the one that was being read");
            self.choose(shard, Some(newer));
            edition = newer;
        }
        Ok(())
    }

    /// The newer one that has taken its place, if one has: then what was given is not all.
    fn read_edition(
        &self,
        edition: Edition,
        sink: &mut dyn FnMut(EntityId, u64, EntityState),
    ) -> Result<Option<Edition>, ReadError> {
        let wait = |part, from| blocking::wait(&self.handle, self.message(edition, part, from));
        let end = match wait(Part::End, 1)? {
            Next::Message(end) => end.payload,
            Next::Replaced(newer) => return Ok(Some(newer)),
        };
        let end: End = serde_json::from_slice(&end).map_err(|error| RequestError::Malformed(error.to_string()))?;
        let store = blocking::wait(&self.handle, self.contents_patiently())?.store;
        let store = store.ok_or_else(|| RequestError::Malformed("the archive does not say whose it is".to_owned()))?;
        let (mut from, mut entities) = (1, 0);
        for number in 0..end.pages {
            let mut page = Vec::new();
            loop {
                let Stored { sequence, payload } = match wait(Part::Pages, from)? {
                    Next::Message(stored) => stored,
                    Next::Replaced(newer) => return Ok(Some(newer)),
                };
                from = sequence + 1;
                page.extend_from_slice(&payload);
                if payload.len() < end.message_bytes {
                    break;
                }
            }
            let title = PageTitle { store, shard: edition.shard, watermark: edition.watermark, number };
            let count = read_page(&page, &title, sink);
            entities += u64::from(count.map_err(|source| ReadError::Damaged { edition, number, source })?);
        }
        if entities == end.entities {
            return Ok(None);
        }
        Err(ReadError::Incomplete { edition, found: entities, expected: end.entities })
    }

    /// The first message of the part from number `from` on, which is there as long as the edition is.
    async fn message(&self, edition: Edition, part: Part, from: u64) -> Result<Next, RequestError> {
        let (subject, began) = (edition.subject(&self.root, part), Instant::now());
        loop {
            let missing = match self.requests.next(&self.stream, &subject, from).await {
                Ok(Some(stored)) => return Ok(Next::Message(stored)),
                Ok(None) => RequestError::Malformed(format!("{subject} has nothing from message {from} on")),
                Err(error) => error,
            };
            let newest = self.contents_patiently().await?.newest(edition.shard);
            if let Some(newer) = newest.filter(|newest| *newest > edition) {
                return Ok(Next::Replaced(newer));
            }
            if began.elapsed() + PAUSE > self.deadline {
                return Err(missing);
            }
            sleep(PAUSE).await;
        }
    }

    fn unreachable(&self, action: &'static str, source: RequestError) -> ReplicaError {
        ReplicaError::Unreachable { action, replica: self.name(), source: Box::new(source) }
    }
}

impl Replica for Archive {
    fn name(&self) -> String {
        format!("the archive in NATS ({})", self.stream)
    }

    fn held(&self) -> Result<Option<Held>, ReplicaError> {
        let contents = blocking::wait(&self.handle, self.contents_patiently());
        let contents = contents.map_err(|error| self.unreachable("ask", error))?;
        let Some(store) = contents.store else { return Ok(None) };
        self.chosen.lock().clear();
        let newest = |shard| self.choose(shard, contents.newest(shard)).map_or(0, |edition| edition.watermark);
        Ok(Some(Held { store, shards: self.shards, watermarks: self.shards.iter().map(newest).collect(), last: None }))
    }

    /// Nobody has to be kept out: whoever writes, adds. Who may write the store is the journal's to say.
    fn take_over(&self, _store: StoreId, _successor: StoreId) -> Result<(), ReplicaError> {
        Ok(())
    }

    fn snapshots(&self) -> &dyn SnapshotSource {
        self
    }
}

impl SnapshotSource for Archive {
    fn load(&self, shard: ShardId, entity: &EntityId) -> Result<Option<(u64, EntityState)>, SnapshotError> {
        let mut found = None;
        self.scan(shard, &mut |id, version, state| {
            if id == *entity {
                found = Some((version, state));
            }
        })?;
        Ok(found)
    }

    fn scan(&self, shard: ShardId, sink: &mut dyn FnMut(EntityId, u64, EntityState)) -> Result<(), SnapshotError> {
        self.read(shard, sink).map_err(|error| SnapshotError::Elsewhere(Box::new(error)))
    }

    fn watermark(&self, shard: ShardId) -> Result<u64, SnapshotError> {
        let chosen = self.chosen(shard).map_err(|error| SnapshotError::Elsewhere(Box::new(error)))?;
        Ok(chosen.map_or(0, |edition| edition.watermark))
    }
}
