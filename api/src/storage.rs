//! Where the store is: all of it in the data folder, or the snapshots there and the journal in NATS.
//!
//! Invariants: with `nats.url` nothing is appended anywhere else; a folder with a journal of its own is refused then. Where
//! the streams are bounded, the snapshots are in PostgreSQL or in the archive beside the streams, before anything is let go.

use std::{io, sync::Arc};

use holdfast_cluster::{Archive, Archivist, BootId, JetStream, JetStreamJournal, Owners};
use holdfast_persistence::{Replica, SnapshotStore, Store, StoreError, StoreId};

use crate::{beside, serve::ServeError, settings::Settings};

/// An open store.
pub(crate) struct Storage {
    pub(crate) store: Store,
    /// The journal, if it is in NATS. It owns every shard, until another node takes them over; or none, if this node is one
    /// of several.
    pub(crate) shared_journal: Option<Arc<JetStreamJournal>>,
    /// Writes this node's snapshots into NATS too, where nobody else has them.
    pub(crate) archivist: Option<Archivist>,
}

/// Opens the store the settings name; an empty data folder is restored from PostgreSQL, or from NATS, if that has the store.
pub(crate) async fn open(settings: &Settings) -> Result<Storage, ServeError> {
    let settings = settings.clone();
    let replica = beside::replica(&settings.postgres)?;
    let opening = tokio::task::spawn_blocking(move || {
        let replica = replica.as_ref().map(|replica| replica as &dyn Replica);
        if settings.nats.is_on() { open_over_nats(&settings, replica) } else { open_here(&settings, replica) }
    });
    let storage =
        opening.await.map_err(|error| ServeError::System { what: "a thread", source: io::Error::other(error) })??;
    for recovery in &storage.store.recoveries {
        tracing::warn!(?recovery, "the data folder was put right while opening");
    }
    Ok(storage)
}

fn open_here(settings: &Settings, replica: Option<&dyn Replica>) -> Result<Storage, ServeError> {
    let store = Store::open_beside(&settings.store.path, &settings.store_options(), replica)?;
    Ok(Storage { store, shared_journal: None, archivist: None })
}

fn open_over_nats(settings: &Settings, replica: Option<&dyn Replica>) -> Result<Storage, ServeError> {
    let options = settings.store_options();
    let servers = JetStream::connect(&settings.nats, &options.journal)?;
    let random = |error: getrandom::Error| ServeError::System { what: "randomness", source: io::Error::other(error) };
    let cluster = &settings.cluster;
    let fresh = StoreId::random().map_err(random)?;
    let asked = options.shards_for_new().map_err(StoreError::from)?;
    let (ours, shards) = match Store::identity(&settings.store.path) {
        Ok((store, made_with)) => (store, if options.shards == 0 { made_with } else { asked }),
        Err(StoreError::NotAStore { .. }) => (fresh, asked),
        Err(error) => return Err(error.into()),
    };
    // The servers name the store: of nodes that start at once only one may, and an empty folder is not to be given a name of
    // its own while the servers do not show the streams yet.
    let known = Some(servers.store_or_begin(shards, ours)?);
    let boot = BootId::random().map_err(random)?;
    let archive = replica.is_none().then(|| servers.archive(shards));
    let replica = replica.or_else(|| archive.as_ref().map(|archive| archive as &dyn Replica));
    let mut shared_journal = None;
    let opened = Store::open_over(&settings.store.path, &options, known, replica, |store, shards| {
        let (journal, found) = if cluster.is_on() {
            servers.join(store, shards, &options.journal, boot, Arc::new(Owners::none(shards)), cluster)?
        } else {
            servers.open(store, shards, &options.journal)?
        };
        shared_journal = Some(journal);
        Ok(found)
    });
    let store = opened?;
    let archivist = match (archive, &shared_journal) {
        (Some(archive), Some(journal)) if options.journal.retain_bytes > 0 => {
            Some(keep_archive(archive, &store, Arc::clone(journal))?)
        }
        _ => None,
    };
    Ok(Storage { store, shared_journal, archivist })
}

fn keep_archive(archive: Archive, store: &Store, journal: Arc<JetStreamJournal>) -> Result<Archivist, ServeError> {
    let started = Archivist::start(archive, store.id, journal, Arc::<dyn SnapshotStore>::clone(&store.snapshots));
    started.map_err(|source| ServeError::System { what: "a thread", source })
}
