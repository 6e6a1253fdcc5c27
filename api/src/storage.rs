//! Where the store is: all of it in the data folder, or the snapshots there and the journal in NATS.
//!
//! Invariant: with `nats.url` nothing is appended anywhere else; a folder with a journal of its own is refused then.

use std::{io, sync::Arc};

use holdfast_cluster::{BootId, JetStream, JetStreamJournal, Owners};
use holdfast_core::ShardCount;
use holdfast_persistence::{Replica, Store, StoreError};

use crate::{
    beside,
    serve::ServeError,
    settings::{Settings, StoreSettings},
};

/// An open store.
pub(crate) struct Storage {
    pub(crate) store: Store,
    /// The journal, if it is in NATS. It owns every shard, until another node takes them over; or none, if this node is one
    /// of several.
    pub(crate) shared_journal: Option<Arc<JetStreamJournal>>,
}

/// Opens the store the settings name; an empty data folder is restored from PostgreSQL, if that has the store.
pub(crate) async fn open(settings: &Settings) -> Result<Storage, ServeError> {
    let settings = settings.clone();
    let replica = beside::replica(&settings.postgres)?;
    let opening = tokio::task::spawn_blocking(move || {
        let replica = replica.as_ref().map(|replica| replica as &dyn Replica);
        if settings.nats.is_on() { open_over_nats(&settings, replica) } else { open_here(&settings.store, replica) }
    });
    let storage =
        opening.await.map_err(|error| ServeError::System { what: "a thread", source: io::Error::other(error) })??;
    for recovery in &storage.store.recoveries {
        tracing::warn!(?recovery, "the data folder was put right while opening");
    }
    Ok(storage)
}

fn open_here(settings: &StoreSettings, replica: Option<&dyn Replica>) -> Result<Storage, ServeError> {
    let store = Store::open_beside(&settings.path, &settings.options(), replica)?;
    Ok(Storage { store, shared_journal: None })
}

fn open_over_nats(settings: &Settings, replica: Option<&dyn Replica>) -> Result<Storage, ServeError> {
    let options = settings.store.options();
    let shards = ShardCount::new(options.shards).map_err(|error| ServeError::System {
        what: "the number of shards",
        source: io::Error::other(error.to_string()),
    })?;
    let servers = JetStream::connect(&settings.nats, &options.journal)?;
    let random = |error: getrandom::Error| ServeError::System { what: "randomness", source: io::Error::other(error) };
    let cluster = &settings.cluster;
    let mut fresh = [0; 16];
    getrandom::fill(&mut fresh).map_err(random)?;
    let ours = match Store::identity(&settings.store.path) {
        Ok((store, _)) => store,
        Err(StoreError::NotAStore { .. }) => fresh,
        Err(error) => return Err(error.into()),
    };
    // The servers name the store: of nodes that start at once only one may, and an empty folder is not to be given a name of
    // its own while the servers do not show the streams yet.
    let known = Some(servers.store_or_begin(shards, ours)?);
    let boot = BootId::random().map_err(random)?;
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
    Ok(Storage { store, shared_journal })
}
