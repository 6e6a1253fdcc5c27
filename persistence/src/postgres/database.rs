//! One database of one store: made ready in the background, then used.
//!
//! Invariant: nobody writes a row into a schema that is not up to date, or that holds another store's data. Until the
//! database is ready there are no connections to be had, and nothing waits for it but what is its own.

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_postgres::Client;

use crate::store::StoreId;

use super::{
    connect::Connector,
    error::PostgresError,
    migrate,
    pool::{Connection, Pool, within},
    projection::ProjectionProgress,
    settings::PostgresSettings,
};

/// Whose data a schema holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreIdentity {
    /// The store's id, as in the meta file of its data directory.
    pub store: StoreId,
    /// The number of shards of the deployment.
    pub shards: u16,
}

/// How a database stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It was not reached yet.
    Preparing,
    /// Its schema is up to date and ours.
    Ready,
    /// It cannot be used, and is tried again; why.
    Unusable(Arc<str>),
}

/// A database and the way to it. Cheap to clone.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    connector: Connector,
    pool: Pool,
    identity: StoreIdentity,
    migrate: bool,
    retry: Duration,
    standing: watch::Sender<Standing>,
    /// The projection into it, if there is one in this process.
    progress: Mutex<Option<Arc<ProjectionProgress>>>,
}

impl Database {
    /// The database of these settings. Nothing is connected to yet.
    ///
    /// # Errors
    /// When a setting makes no sense, or `ca_file` cannot be read.
    pub fn new(settings: &PostgresSettings, identity: StoreIdentity) -> Result<Self, PostgresError> {
        settings.validate()?;
        let connector = Connector::new(settings)?;
        let pool = Pool::new(connector.clone(), settings)?;
        let retry = Duration::from_millis(settings.retry_ms);
        let (migrate, standing) = (settings.migrate_on_start, watch::Sender::new(Standing::Preparing));
        let progress = Mutex::default();
        Ok(Self(Arc::new(Inner { connector, pool, identity, migrate, retry, standing, progress })))
    }

    /// Makes the database ready, trying again for as long as it takes. Says so in the log when something changes.
    pub async fn prepare(&self) {
        while let Err(error) = self.prepare_once().await {
            let why = causes(&error);
            let is_news = self.0.standing.send_if_modified(|standing| {
                let now = Standing::Unusable(why.as_str().into());
                let is_news = *standing != now;
                *standing = now;
                is_news
            });
            if is_news && error.is_refusal() {
                tracing::error!(why, "PostgreSQL cannot be used; orders are taken without it");
            } else if is_news {
                tracing::warn!(why, "PostgreSQL is not there; orders are taken without it");
            }
            tokio::time::sleep(self.0.retry).await;
        }
        tracing::info!(hosts = self.0.connector.hosts(), schema = self.schema(), "PostgreSQL is ready");
    }

    /// Makes the database ready, once: the schema up to date, and ours.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub async fn prepare_once(&self) -> Result<(), PostgresError> {
        let connector = &self.0.connector;
        if self.0.migrate {
            for migration in migrate::up(connector).await? {
                tracing::info!(migration, schema = connector.schema(), "migrated");
            }
        } else {
            migrate::check(connector).await?;
        }
        let client = connector.connect().await?;
        within(connector.statement_timeout(), claim(&client, connector.schema(), self.0.identity)).await?;
        self.0.standing.send_replace(Standing::Ready);
        Ok(())
    }

    /// Waits until the database is ready.
    pub async fn ready(&self) {
        // The sender lives as long as this value: waiting cannot fail.
        let _ = self.0.standing.subscribe().wait_for(|standing| *standing == Standing::Ready).await;
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.0.standing.borrow().clone()
    }

    /// A connection of the pool.
    ///
    /// # Errors
    /// When the database is not ready, no connection is free in time, or none can be made.
    pub async fn connection(&self) -> Result<Connection, PostgresError> {
        match self.standing() {
            Standing::Ready => self.0.pool.connection().await,
            Standing::Preparing => Err(PostgresError::NotReady { why: "it was not reached yet".into() }),
            Standing::Unusable(why) => Err(PostgresError::NotReady { why }),
        }
    }

    /// The projection into it says here how far it is.
    pub(super) fn is_followed_by(&self, progress: Arc<ProjectionProgress>) {
        *self.0.progress.lock() = Some(progress);
    }

    /// Whether what is journaled now is known not to be contained within `patience`.
    pub(super) fn is_out_of_reach(&self, patience: Duration) -> bool {
        self.0.progress.lock().as_ref().is_some_and(|progress| progress.is_out_of_reach(patience))
    }

    /// What makes connections outside of the pool, for work that must not be counted among the lent ones.
    pub fn connector(&self) -> &Connector {
        &self.0.connector
    }

    /// The pool, whether or not the database is ready.
    pub fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// Whose data the schema holds once it is ready.
    pub fn identity(&self) -> StoreIdentity {
        self.0.identity
    }

    /// The schema.
    pub fn schema(&self) -> &str {
        self.0.connector.schema()
    }
}

/// Enters the store into its schema, or refuses a schema that is another's.
///
/// # Errors
/// [`PostgresError::AnotherStore`].
pub async fn claim(client: &Client, schema: &str, own: StoreIdentity) -> Result<(), PostgresError> {
    let find = "SELECT store_id, shards FROM store";
    let row = if let Some(row) = client.query_opt(find, &[]).await? {
        row
    } else {
        let shards = i16::try_from(own.shards)
            .map_err(|_| PostgresError::Row { table: "store", problem: format!("{} shards", own.shards) })?;
        let enter = "INSERT INTO store (store_id, shards) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        client.execute(enter, &[&own.store.to_bytes().as_slice(), &shards]).await?;
        client.query_one(find, &[]).await?
    };
    let (store, shards): (Vec<u8>, i16) = (row.try_get(0)?, row.try_get(1)?);
    if store == own.store.to_bytes() && shards.cast_unsigned() == own.shards {
        return Ok(());
    }
    Err(PostgresError::AnotherStore {
        schema: schema.to_owned(),
        found: hex(&store),
        found_shards: shards.cast_unsigned(),
        own: own.store.to_string(),
        own_shards: own.shards,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// An error with its causes, on one line.
fn causes(error: &PostgresError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("schema", &self.schema()).field("standing", &self.standing()).finish()
    }
}
