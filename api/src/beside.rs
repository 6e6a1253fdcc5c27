//! PostgreSQL beside the server: the database that is made ready, and the projection that follows the journal into it.
//!
//! Invariant: nothing here is waited for, neither by the start of the server nor by an order; and by its end only for as long
//! as the drain leaves.

use std::{future::Future, sync::Arc, time::Duration};

use holdfast_persistence::{
    Store,
    postgres::{
        Database, PostgresSettings, StoreIdentity,
        projection::{Projection, ProjectionError},
    },
};

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
