//! What an operator can set about PostgreSQL: section `[postgres]`. Units are in the names; unknown names are refused.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{connect::Connector, error::PostgresError, projection::ProjectionSettings, url::PostgresUrl};

/// The longest wait that can be set, in milliseconds: ten minutes.
const LONGEST_MS: u64 = 600_000;

/// Settings of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresSettings {
    /// Where it is: `postgresql://user@host:5432/database`; of several hosts the first that takes writes is used. None:
    /// everything runs without PostgreSQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<PostgresUrl>,
    /// A file that holds the password, read anew for every connection, so that a new password needs no restart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Whether connections are encrypted, and the server proves who it is.
    pub tls: TlsMode,
    /// A PEM file with the authorities that may vouch for the server. None: those the operating system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The PostgreSQL schema that holds the tables. A lower-case name, so that nobody has to quote it.
    pub schema: String,
    /// Bring the schema up to date when the server starts. Without it `holdfast migrate up` does, as its owner.
    pub migrate_on_start: bool,
    /// Connections at most, in number: one for the projection, the rest for searches; far below the server's usual 100.
    pub pool_connections: usize,
    /// How long a caller waits for a connection of the pool, in milliseconds: above it the local index answers sooner.
    pub pool_wait_ms: u64,
    /// How long one host may take from the first packet until it is ready for statements, in milliseconds: a host that
    /// takes longer is as good as dead, and the next is tried.
    pub connect_timeout_ms: u64,
    /// How long one statement may take, in milliseconds. The server cancels it then.
    pub statement_timeout_ms: u64,
    /// How long a statement may wait for a lock, and a migration for another node's to end, in milliseconds: a migration that
    /// waits longer behind a long report would make everybody else wait behind it.
    pub lock_timeout_ms: u64,
    /// How long a server with an empty data folder waits for another that still writes to the schema to be gone, in
    /// milliseconds: PostgreSQL takes about 25 s to notice that a machine is dead. Then it refuses to start.
    pub take_over_wait_ms: u64,
    /// How long after a failure PostgreSQL is tried again, in milliseconds.
    pub retry_ms: u64,
    /// How long PostgreSQL may take for a search of orders, in milliseconds, until it has what was durable when it was
    /// asked included; then the local index answers. A projection with nothing else to do is about 0.2 s behind.
    pub search_wait_ms: u64,
    /// How the projection paces itself: `[postgres.projection]`.
    pub projection: ProjectionSettings,
}

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// Always, and the server's certificate must be valid and for the name in the URL.
    #[default]
    Verify,
    /// Never: for a socket of this machine, or a network nobody else is in.
    Off,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self {
            url: None,
            password_file: None,
            tls: TlsMode::default(),
            ca_file: None,
            schema: "holdfast".to_owned(),
            migrate_on_start: true,
            pool_connections: 8,
            pool_wait_ms: 1_000,
            connect_timeout_ms: 5_000,
            statement_timeout_ms: 30_000,
            lock_timeout_ms: 10_000,
            take_over_wait_ms: 30_000,
            retry_ms: 1_000,
            search_wait_ms: 1_000,
            projection: ProjectionSettings::default(),
        }
    }
}

impl PostgresSettings {
    /// Checks the settings. No file is read and nothing is connected to.
    ///
    /// # Errors
    /// [`PostgresError::Setting`] naming the first that makes no sense.
    pub fn validate(&self) -> Result<(), PostgresError> {
        within("pool_connections", u64::try_from(self.pool_connections).unwrap_or(u64::MAX), 2, 1_000)?;
        within("pool_wait_ms", self.pool_wait_ms, 1, LONGEST_MS)?;
        within("connect_timeout_ms", self.connect_timeout_ms, 1, LONGEST_MS)?;
        within("statement_timeout_ms", self.statement_timeout_ms, 1, LONGEST_MS)?;
        within("lock_timeout_ms", self.lock_timeout_ms, 1, LONGEST_MS)?;
        within("take_over_wait_ms", self.take_over_wait_ms, 0, LONGEST_MS)?;
        within("retry_ms", self.retry_ms, 1, LONGEST_MS)?;
        within("search_wait_ms", self.search_wait_ms, 0, LONGEST_MS)?;
        self.projection.validate()?;
        if !is_schema_name(&self.schema) {
            let problem = "a lower-case letter, then up to 50 lower-case letters, digits and underscores; not pg_...";
            return Err(PostgresError::setting("schema", problem));
        }
        Connector::check(self)
    }
}

/// Whether a schema may have this name: one that needs no quoting and leaves room for the endings of a rebuild.
fn is_schema_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 51
        && name.chars().all(is_plain)
        && !name.starts_with("pg_")
}

fn within(setting: &'static str, given: u64, min: u64, max: u64) -> Result<(), PostgresError> {
    if (min..=max).contains(&given) {
        return Ok(());
    }
    Err(PostgresError::setting(setting, format!("must be from {min} to {max}, not {given}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut PostgresSettings)) -> String {
        let mut settings = PostgresSettings::default();
        change(&mut settings);
        settings.validate().expect_err("refused").to_string()
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_named() {
        assert_eq!(PostgresSettings::default().validate().map_err(|error| error.to_string()), Ok(()));
        assert!(refused(|settings| settings.pool_connections = 1).contains("postgres.pool_connections"));
        assert!(refused(|settings| settings.statement_timeout_ms = 0).contains("postgres.statement_timeout_ms"));
        for name in ["", "Holdfast", "a-b", "1a", "pg_temp", "a\"; drop schema b", &"a".repeat(52)] {
            assert!(refused(|settings| settings.schema = name.to_owned()).contains("postgres.schema"), "{name}");
        }
    }

    #[test]
    fn an_address_that_contradicts_the_tls_setting_is_refused() {
        let url = |text: &str| PostgresUrl::try_from(text.to_owned()).ok();
        let plain = refused(|settings| settings.url = url("postgresql://me:hush@a/db?sslmode=disable"));
        assert!(plain.contains("postgres.tls") && !plain.contains("hush"), "{plain}");
        let encrypted = refused(|settings| {
            settings.url = url("postgresql://me@a/db?sslmode=verify-full");
            settings.tls = TlsMode::Off;
        });
        assert!(encrypted.contains("postgres.tls"), "{encrypted}");
        let unknown = refused(|settings| settings.url = url("postgresql://me:hush@a/db?sslkey=x"));
        assert!(unknown.contains("sslkey") && !unknown.contains("hush"), "{unknown}");
        let nobody = refused(|settings| settings.url = url("postgresql://a/db"));
        assert!(nobody.contains("user"), "{nobody}");
    }
}
