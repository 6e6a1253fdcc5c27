//! PostgreSQL beside the server: the copy of the store it may have at the start, the database that is made ready, and the
//! projection that follows the journal into it.
//!
//! Invariant: no order waits for anything here, and the server's end only for as long as the drain leaves. Its start asks once
//! whether the data folder is what PostgreSQL knows of it; a folder that is whole opens without an answer.

use std::{future::Future, sync::Arc, time::Duration};

use holdfast_persistence::{
    Store,
    postgres::{
        Database, PostgresReplica, PostgresSettings, StoreIdentity,
        projection::{Projection, ProjectionError},
    },
};

/// The copy of the store that an empty data folder is restored from, if the settings name a database.
///
/// # Errors
/// When a setting makes no sense.
pub(crate) fn replica(settings: &PostgresSettings) -> Result<Option<PostgresReplica>, ProjectionError> {
    let replica = || PostgresReplica::new(tokio::runtime::Handle::current(), settings);
    Ok(settings.url.is_some().then(replica).transpose()?)
}

/// The database of the settings, and what runs into it.
pub(crate) struct Beside {
    database: Database,
    projection: Projection,
}

impl Beside {
    /// The database the settings name, if they name one; the projection of `store` into it begins once it is ready.
    ///
    /// # Errors
    /// When a setting makes no sense, or the system gives no thread.
    pub(crate) fn of(settings: &PostgresSettings, store: &Store) -> Result<Option<Self>, ProjectionError> {
        if settings.url.is_none() {
            return Ok(None);
        }
        let identity = StoreIdentity { store: store.id, shards: store.shards.get() };
        let database = Database::new(settings, identity)?;
        let journal = Arc::clone(&store.journal);
        let projection = Projection::start(journal, database.clone(), store.shards, settings.projection.clone())?;
        Ok(Some(Self { database, projection }))
    }

    /// The database.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Makes the database ready, however long that takes.
    pub(crate) fn prepare(&self) -> impl Future<Output = ()> + Send + 'static {
        let database = self.database.clone();
        async move { database.prepare().await }
    }

    /// Stops the projection, waiting for its last batch up to `patience`. What it did not do is in the journal.
    pub(crate) async fn stop(self, patience: Duration) {
        let projection = self.projection;
        let stopping = tokio::task::spawn_blocking(move || projection.stop());
        if tokio::time::timeout(patience, stopping).await.is_err() {
            tracing::info!(
                "the projection was not waited for any longer: it goes on from its watermark at the next start"
            );
        }
        self.database.pool().close();
    }
}
