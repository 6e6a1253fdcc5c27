//! The schema: its migrations, and whether what a database has is what this version knows.
//!
//! Invariants: a schema that a newer version made, or that is not what its history says, is not touched, and the error names
//! the migration. Migrations run one node at a time. A schema that is up to date is only read, so that a role without the
//! right to change it can serve.

use std::collections::BTreeMap;

use refinery::{Migration, Runner};
use tokio_postgres::{Client, Row, error::SqlState};

use super::{connect::Connector, error::PostgresError, pool::within};

/// Every migration: its name, and its text. A new one is appended; none ever changes or goes.
const MIGRATIONS: [(&str, &str); 3] = [
    ("V1__projection", include_str!("../../migrations/V1__projection.sql")),
    ("V2__entity_changes", include_str!("../../migrations/V2__entity_changes.sql")),
    ("V3__entity_changes_statistics", include_str!("../../migrations/V3__entity_changes_statistics.sql")),
];

/// The table in which the runner keeps which migrations were applied.
const HISTORY: &str = "refinery_schema_history";

/// The schema as it is, migration by migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The schema.
    pub schema: String,
    /// Every migration known here or there, in order.
    pub migrations: Vec<AppliedMigration>,
}

/// One migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedMigration {
    /// Its name, such as `V1__projection`.
    pub name: String,
    /// What is known of it.
    pub state: MigrationState,
    /// When it was applied, as RFC 3339.
    pub applied_on: Option<String>,
}

/// What is known of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationState {
    /// Applied as this version knows it.
    Applied,
    /// Not applied yet; the next migration does.
    Pending,
    /// Applied, and later than any this version knows: a newer version was here.
    Newer,
    /// Applied with another text than this version knows.
    Changed,
    /// Applied, unknown here, and not newer.
    Unknown,
    /// Not applied although later ones are.
    Missing,
}

/// A row of the history.
struct Entry {
    name: String,
    checksum: Option<String>,
    applied_on: Option<String>,
}

/// Brings the schema of `connector` up to date, making it if it is not there. Returns the names of the migrations applied.
/// A migration takes as long as its data needs; waiting for locks is bounded.
///
/// # Errors
/// When the schema is newer or damaged, naming the migration; when PostgreSQL fails, or another node migrates for longer than
/// `lock_timeout_ms`. What was applied before stays.
pub async fn up(connector: &Connector) -> Result<Vec<String>, PostgresError> {
    let mut client = connector.connect().await?;
    if status_of(&client, connector).await?.next()?.is_none() {
        return Ok(Vec::new());
    }
    client.batch_execute("SET statement_timeout TO 0").await?;
    let [first, second] = lock_key(connector.schema());
    client.execute("SELECT pg_advisory_lock($1, $2)", &[&first, &second]).await?;
    // Another node may have done it meanwhile.
    let status = status_of(&client, connector).await?;
    if status.next()?.is_none() {
        return Ok(Vec::new());
    }
    make_schema(&client, connector.schema()).await?;
    let report = Runner::new(&known()?).run_async(&mut client).await?;
    // The lock goes with the connection.
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

/// Refuses a schema that is not up to date. Changes nothing.
///
/// # Errors
/// As [`up`], and [`PostgresError::SchemaOlder`].
pub async fn check(connector: &Connector) -> Result<(), PostgresError> {
    let client = connector.connect().await?;
    match status_of(&client, connector).await?.next()? {
        None => Ok(()),
        Some(migration) => {
            Err(PostgresError::SchemaOlder { schema: connector.schema().to_owned(), migration: migration.to_owned() })
        }
    }
}

/// The state of every migration.
///
/// # Errors
/// When PostgreSQL cannot be asked. A strange schema is no error: [`MigrationStatus::next`] is.
pub async fn status(connector: &Connector) -> Result<MigrationStatus, PostgresError> {
    let client = connector.connect().await?;
    status_of(&client, connector).await
}

impl MigrationStatus {
    /// The next migration to apply, if one is.
    ///
    /// # Errors
    /// When the schema is newer than this version, or damaged.
    pub fn next(&self) -> Result<Option<&str>, PostgresError> {
        for migration in &self.migrations {
            let damaged = |problem| PostgresError::SchemaDamaged {
                schema: self.schema.clone(),
                migration: migration.name.clone(),
                problem,
            };
            match migration.state {
                MigrationState::Applied | MigrationState::Pending => {}
                MigrationState::Newer => {
                    let newest = MIGRATIONS.last().map_or_else(String::new, |(name, _)| (*name).to_owned());
                    let (schema, migration) = (self.schema.clone(), migration.name.clone());
                    return Err(PostgresError::SchemaNewer { schema, migration, newest });
                }
                MigrationState::Changed => return Err(damaged("is not the one this version knows under its number")),
                MigrationState::Unknown => {
                    return Err(damaged("is unknown to this version, though older than its newest"));
                }
                MigrationState::Missing => return Err(damaged("was never applied, though later ones were")),
            }
        }
        let pending = self.migrations.iter().find(|migration| migration.state == MigrationState::Pending);
        Ok(pending.map(|migration| migration.name.as_str()))
    }
}

async fn status_of(client: &Client, connector: &Connector) -> Result<MigrationStatus, PostgresError> {
    let history = within(connector.statement_timeout(), history(client, connector.schema())).await?;
    Ok(MigrationStatus { schema: connector.schema().to_owned(), migrations: compare(&known()?, &history) })
}

/// What was applied, by version. Read here and not by the runner, which takes a history that makes no sense for a reason to
/// panic.
async fn history(client: &Client, schema: &str) -> Result<BTreeMap<i32, Entry>, tokio_postgres::Error> {
    let query = format!("SELECT version, name, checksum, applied_on FROM {schema}.{HISTORY} ORDER BY version");
    let rows = match client.query(&query, &[]).await {
        Ok(rows) => rows,
        // No history, or no schema: nothing was ever applied.
        Err(error) if is_missing(&error) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    rows.iter().map(entry).collect()
}

fn is_missing(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| *code == SqlState::UNDEFINED_TABLE || *code == SqlState::INVALID_SCHEMA_NAME)
}

fn entry(row: &Row) -> Result<(i32, Entry), tokio_postgres::Error> {
    let version: i32 = row.try_get(0)?;
    let name: Option<String> = row.try_get(1)?;
    let name = format!("V{version}__{}", name.unwrap_or_default());
    Ok((version, Entry { name, checksum: row.try_get(2)?, applied_on: row.try_get(3)? }))
}

fn compare(known: &[Migration], history: &BTreeMap<i32, Entry>) -> Vec<AppliedMigration> {
    let newest_applied = history.keys().next_back().copied().unwrap_or(-1);
    let newest_known = known.iter().map(Migration::version).max().unwrap_or(-1);
    let ours = known.iter().map(|migration| {
        let (applied_on, state) = match history.get(&migration.version()) {
            None if migration.version() > newest_applied => (None, MigrationState::Pending),
            None => (None, MigrationState::Missing),
            Some(entry) => {
                let is_same = entry.checksum.as_deref() == Some(migration.checksum().to_string().as_str())
                    && entry.name == migration.to_string();
                let state = if is_same { MigrationState::Applied } else { MigrationState::Changed };
                (entry.applied_on.clone(), state)
            }
        };
        (migration.version(), AppliedMigration { name: migration.to_string(), state, applied_on })
    });
    let theirs = history.iter().filter(|(version, _)| known.iter().all(|ours| ours.version() != **version));
    let theirs = theirs.map(|(version, entry)| {
        let state = if *version > newest_known { MigrationState::Newer } else { MigrationState::Unknown };
        (*version, AppliedMigration { name: entry.name.clone(), state, applied_on: entry.applied_on.clone() })
    });
    ours.chain(theirs).collect::<BTreeMap<_, _>>().into_values().collect()
}

fn known() -> Result<Vec<Migration>, PostgresError> {
    let known = MIGRATIONS.iter().map(|(name, text)| Migration::unapplied(name, text));
    Ok(known.collect::<Result<_, _>>()?)
}

/// Makes the schema, unless it is there: making one that exists takes a right that using it does not.
async fn make_schema(client: &Client, schema: &str) -> Result<(), PostgresError> {
    let found = client.query_opt("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", &[&schema]).await?;
    if found.is_none() {
        client.batch_execute(&format!("CREATE SCHEMA {schema}")).await?;
    }
    Ok(())
}

/// Two nodes that migrate one schema meet at one advisory lock.
fn lock_key(schema: &str) -> [i32; 2] {
    ["holdfast.migrations", schema].map(|text| i32::from_ne_bytes(crc32c::crc32c(text.as_bytes()).to_ne_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, checksum: u64) -> Entry {
        Entry { name: name.to_owned(), checksum: Some(checksum.to_string()), applied_on: None }
    }

    fn states(known: &[(&str, &str)], history: Vec<(i32, Entry)>) -> Vec<(String, MigrationState)> {
        let known: Vec<_> = known.iter().map(|(name, text)| Migration::unapplied(name, text).unwrap()).collect();
        let compared = compare(&known, &history.into_iter().collect());
        compared.into_iter().map(|migration| (migration.name, migration.state)).collect()
    }

    #[test]
    fn a_history_is_compared_migration_by_migration() {
        let known = [("V1__a", "a"), ("V2__b", "b"), ("V4__d", "d"), ("V5__e", "e")];
        let checksum = |name, text| Migration::unapplied(name, text).unwrap().checksum();
        let history = vec![
            (1, entry("V1__a", checksum("V1__a", "a"))),
            (2, entry("V2__b", 7)),
            (3, entry("V3__c", 8)),
            (9, entry("V9__z", 9)),
        ];
        let expected = [
            ("V1__a", MigrationState::Applied),
            ("V2__b", MigrationState::Changed),
            ("V3__c", MigrationState::Unknown),
            ("V4__d", MigrationState::Missing),
            ("V5__e", MigrationState::Missing),
            ("V9__z", MigrationState::Newer),
        ];
        assert_eq!(states(&known, history), expected.map(|(name, state)| (name.to_owned(), state)));
        let first = vec![(1, entry("V1__a", checksum("V1__a", "a")))];
        assert_eq!(states(&known, first)[1], ("V2__b".to_owned(), MigrationState::Pending));
    }

    #[test]
    fn every_migration_in_the_folder_is_known_and_in_order() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let mut names: Vec<_> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        let mut known: Vec<_> = MIGRATIONS.iter().map(|(name, _)| (*name).to_owned()).collect();
        known.sort();
        assert_eq!(names, known);
        let versions: Vec<_> = super::known().unwrap().iter().map(Migration::version).collect();
        assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    }
}
