//! What can go wrong with PostgreSQL. None of it stops the sale.
//!
//! Invariant: no message holds a password, and what the server said is not lost: it is the source.

use std::{fmt::Display, io, path::PathBuf, sync::Arc, time::Duration};

/// Why PostgreSQL did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// A setting makes no sense.
    #[error("postgres.{setting}: {problem}")]
    Setting {
        /// The setting, without its section.
        setting: &'static str,
        /// What is wrong and what is expected.
        problem: String,
    },
    /// A file a setting names cannot be read.
    #[error("cannot read {} (postgres.{setting})", path.display())]
    File {
        /// The setting, without its section.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS to PostgreSQL cannot be set up")]
    Tls(#[from] rustls::Error),
    /// No host took the connection. The source is what the last of them said.
    #[error("no connection to PostgreSQL at {hosts}")]
    Connect {
        /// All hosts that were tried, with their ports.
        hosts: String,
        /// What the last one said.
        #[source]
        source: ConnectError,
    },
    /// Every connection of the pool was in use for too long.
    #[error("all {connections} connections to PostgreSQL are in use: none was free within {waited_ms} ms")]
    PoolExhausted {
        /// `postgres.pool_connections`.
        connections: usize,
        /// `postgres.pool_wait_ms`.
        waited_ms: u64,
    },
    /// The database is not ready to be used.
    #[error("PostgreSQL is not ready: {why}")]
    NotReady {
        /// Why.
        why: Arc<str>,
    },
    /// It does not contain yet what was durable when it was asked.
    #[error("PostgreSQL is behind the journal, after {} ms still, and for longer than a search waits", waited.as_millis())]
    Behind {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The pool was closed: the server stops.
    #[error("the connections to PostgreSQL are closed")]
    Closed,
    /// PostgreSQL did not answer in time. Whether it did what was asked is not known.
    #[error("PostgreSQL did not answer within {} ms", waited.as_millis())]
    TimedOut {
        /// How long it was waited for.
        waited: Duration,
    },
    /// PostgreSQL refused or broke off.
    #[error("PostgreSQL failed")]
    Server(#[from] tokio_postgres::Error),
    /// The schema was made by a newer version.
    #[error(
        "the schema {schema} has migration {migration}, which this version does not know (its newest is {newest}): use the newer version"
    )]
    SchemaNewer {
        /// The schema.
        schema: String,
        /// The migration.
        migration: String,
        /// The newest known here.
        newest: String,
    },
    /// The schema is not what its history says.
    #[error(
        "the schema {schema} is damaged: migration {migration} {problem}; restore the schema, or drop it and let it be rebuilt"
    )]
    SchemaDamaged {
        /// The schema.
        schema: String,
        /// The migration.
        migration: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The schema is older than this version, and nobody told it to bring it up to date.
    #[error(
        "the schema {schema} lacks migration {migration}: run `holdfast migrate up`, or set postgres.migrate_on_start"
    )]
    SchemaOlder {
        /// The schema.
        schema: String,
        /// The first migration it lacks.
        migration: String,
    },
    /// A migration failed. The schema is as it was before it.
    #[error("migration failed")]
    Migration(#[from] refinery::Error),
    /// The tables hold another store's data.
    #[error(
        "the schema {schema} holds the data of store {found} with {found_shards} shards, this is store {own} with {own_shards}: \
         choose another database or schema (postgres.schema)"
    )]
    AnotherStore {
        /// The schema.
        schema: String,
        /// Whose data it is.
        found: String,
        /// Its shards.
        found_shards: u16,
        /// This store.
        own: String,
        /// Its shards.
        own_shards: u16,
    },
    /// Another server writes to the schema.
    #[error(
        "another server writes to the schema {schema}: only one may. Stop it, or choose another schema (postgres.schema)"
    )]
    InUse {
        /// The schema.
        schema: String,
    },
    /// A row is not what this version writes.
    #[error("a row of {table} cannot be read: {problem}")]
    Row {
        /// The table.
        table: &'static str,
        /// What is wrong.
        problem: String,
    },
}

/// Why one host did not take the connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It refused, or broke off.
    #[error("{host}")]
    Refused {
        /// Which host.
        host: String,
        /// What it or the system said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// It did not answer in time.
    #[error("{host} did not answer within {} ms", waited.as_millis())]
    TimedOut {
        /// Which host.
        host: String,
        /// `postgres.connect_timeout_ms`.
        waited: Duration,
    },
    /// The password file cannot be read.
    #[error("cannot read {} (postgres.password_file)", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The URL names no host.
    #[error("postgres.url names no host")]
    NoHost,
}

impl PostgresError {
    /// A setting that makes no sense.
    pub(super) fn setting(setting: &'static str, problem: impl Display) -> Self {
        Self::Setting { setting, problem: problem.to_string() }
    }

    /// Whether trying again later cannot help until somebody changes something.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Setting { .. }
                | Self::SchemaNewer { .. }
                | Self::SchemaDamaged { .. }
                | Self::SchemaOlder { .. }
                | Self::AnotherStore { .. }
        )
    }
}
