//! Lends connections out, a bounded number of them.
//!
//! Invariant: what comes back into the pool is idle. A connection dropped in the middle of something (a time-out, a canceled
//! task) is closed: whoever had it next would wait for, or read, somebody else's answer.

use std::{
    future::Future,
    ops::{Deref, DerefMut},
    time::Duration,
};

use deadpool::managed::{self, Metrics, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts};
use deadpool_postgres::ClientWrapper;

use super::{
    connect::Connector,
    error::{ConnectError, PostgresError},
    settings::PostgresSettings,
};

/// Connections to one database.
#[derive(Clone)]
pub struct Pool {
    pool: managed::Pool<Manager>,
    wait: Duration,
}

/// A connection of the pool, with a cache of prepared statements. Give it back when what was begun with it is over;
/// dropped before that, it is closed.
pub struct Connection(Option<managed::Object<Manager>>);

struct Manager {
    connector: Connector,
}

impl Pool {
    /// A pool of connections made by `connector`. None is made yet.
    ///
    /// # Errors
    /// When the pool's settings make no sense.
    pub fn new(connector: Connector, settings: &PostgresSettings) -> Result<Self, PostgresError> {
        let wait = Duration::from_millis(settings.pool_wait_ms);
        let pool = managed::Pool::builder(Manager { connector })
            .max_size(settings.pool_connections)
            .timeouts(Timeouts { wait: Some(wait), create: None, recycle: None })
            // The connection used last is the one least likely to be dead.
            .queue_mode(QueueMode::Lifo)
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| PostgresError::setting("pool_connections", error))?;
        Ok(Self { pool, wait })
    }

    /// A connection, waiting up to `pool_wait_ms` for one to be free, and then for it to be made if there is none.
    ///
    /// # Errors
    /// [`PostgresError::PoolExhausted`] when none is free in time, [`PostgresError::Connect`] when none can be made.
    pub async fn connection(&self) -> Result<Connection, PostgresError> {
        match self.pool.get().await {
            Ok(object) => Ok(Connection(Some(object))),
            Err(PoolError::Backend(source)) => {
                Err(PostgresError::Connect { hosts: self.pool.manager().connector.hosts(), source })
            }
            Err(PoolError::Closed) => Err(PostgresError::Closed),
            Err(PoolError::Timeout(_) | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_)) => {
                let connections = self.pool.status().max_size;
                let waited_ms = u64::try_from(self.wait.as_millis()).unwrap_or(u64::MAX);
                Err(PostgresError::PoolExhausted { connections, waited_ms })
            }
        }
    }

    /// How many connections there are, and how many of them nobody uses.
    pub fn size(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size, status.available)
    }

    /// Lends out nothing more; what is lent is closed when it comes back.
    pub fn close(&self) {
        self.pool.close();
    }
}

/// `work`, but no longer than `patience`.
///
/// # Errors
/// What `work` says, or [`PostgresError::TimedOut`]. Then drop the connection it used: it may still be at it.
pub async fn within<T, E: Into<PostgresError>>(
    patience: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, PostgresError> {
    match tokio::time::timeout(patience, work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(PostgresError::TimedOut { waited: patience }),
    }
}

impl Connection {
    /// Returns the connection to the pool. Call it when nothing begun with it is unfinished.
    pub fn give_back(mut self) {
        self.0.take();
    }
}

impl Deref for Connection {
    type Target = ClientWrapper;

    #[expect(clippy::expect_used, reason = "it is there until give_back or drop takes it, and both end the value")]
    fn deref(&self) -> &ClientWrapper {
        self.0.as_deref().expect("a connection")
    }
}

impl DerefMut for Connection {
    #[expect(clippy::expect_used, reason = "it is there until give_back or drop takes it, and both end the value")]
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        self.0.as_deref_mut().expect("a connection")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            // Out of the pool, and closed.
            drop(managed::Object::take(object));
        }
    }
}

impl managed::Manager for Manager {
    type Type = ClientWrapper;
    type Error = ConnectError;

    async fn create(&self) -> Result<ClientWrapper, ConnectError> {
        let (client, task) = self.connector.first_host().await?;
        Ok(ClientWrapper::new(client, task))
    }

    async fn recycle(&self, client: &mut ClientWrapper, _: &Metrics) -> RecycleResult<ConnectError> {
        if client.is_closed() {
            return Err(RecycleError::message("the connection ended"));
        }
        Ok(())
    }
}
