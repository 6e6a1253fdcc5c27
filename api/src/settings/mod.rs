//! Everything an operator can set: flags over environment over files over defaults.
//!
//! Invariant: a setting that is not known, not readable or not sensible stops the server before it touches anything,
//! and the message names the setting, where it came from and what was expected. Every limit of the product is one of
//! these fields, with its unit in its name; `config/holdfast.toml` lists and explains them all, and a test holds it to
//! the defaults here.

mod cluster;
mod deadline;
mod limit;
mod secret;
mod section;
mod source;

use holdfast_actors::{RuntimeSettings, payment::PaymentSettings};
use holdfast_cluster::{NatsSettings, settings::ClusterSettings};
use holdfast_persistence::{
    StoreOptions,
    postgres::{PostgresError, PostgresSettings},
};
use serde::{Deserialize, Serialize};

pub use deadline::DeadlineSettings;
pub use limit::LimitSettings;
pub use secret::Secret;
pub use section::{
    AdminSettings, GatewaySettings, IdempotencySettings, LogFormat, LogSettings, ServerSettings, StoreSettings,
};
pub use source::{DEFAULT_FILE, Sources};

/// The settings of one server.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The public listener.
    pub server: ServerSettings,
    /// The operators' listener.
    pub admin: AdminSettings,
    /// How long a connection may take for each thing.
    pub deadlines: DeadlineSettings,
    /// How much a request may bring and ask for.
    pub limits: LimitSettings,
    /// Where and how data is kept.
    pub store: StoreSettings,
    /// The shards.
    pub runtime: RuntimeSettings,
    /// The payment gateway.
    pub payments: PaymentSettings,
    /// The database beside it, for people; and for a node whose disk is empty.
    pub postgres: PostgresSettings,
    /// The sandbox gateway as a service of its own.
    pub gateway: GatewaySettings,
    /// The journal in NATS, if it is there.
    pub nats: NatsSettings,
    /// This node among others, if there are others.
    pub cluster: ClusterSettings,
    /// The keys that make a retry safe.
    pub idempotency: IdempotencySettings,
    /// What is logged and how.
    pub log: LogSettings,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file, variable or flag could not be read as settings.
    #[error("cannot read the settings: {0}")]
    Read(String),
    /// A file named on the command line or by a `_FILE` variable cannot be read.
    #[error("cannot read {path} (named by {named_by})")]
    File {
        /// The file.
        path: String,
        /// The flag or variable that names it.
        named_by: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A value is readable but makes no sense.
    #[error("{setting}: {problem}")]
    Value {
        /// The setting, as `section.key`.
        setting: &'static str,
        /// What is wrong and what is expected.
        problem: String,
    },
    /// A setting of the shards makes no sense.
    #[error(transparent)]
    Runtime(#[from] holdfast_actors::settings::SettingError),
    /// A setting of the database makes no sense.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The settings cannot be shown.
    #[error("cannot write the settings down")]
    Show(#[from] toml::ser::Error),
}

/// What a record adds to the body it was made from, in bytes, generously.
const RECORD_OVERHEAD: u64 = 4_096;

/// The shards of a new store in NATS that no setting gives a number, and the most that follow from a machine's processors.
const SHARDS_IN_NATS: u16 = 16;
const MOST_SHARDS_UNASKED: u16 = 16;

impl Settings {
    /// Reads and checks the settings.
    ///
    /// # Errors
    /// [`SettingsError`] naming the first setting that cannot be used.
    pub fn load(sources: &Sources) -> Result<Self, SettingsError> {
        let settings = sources.read()?;
        settings.check()?;
        Ok(settings)
    }

    /// Checks what the types cannot: ranges, and settings that contradict each other.
    ///
    /// # Errors
    /// [`SettingsError::Value`] naming the first one.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.server.check()?;
        self.deadlines.check()?;
        self.limits.check()?;
        self.idempotency.check()?;
        self.admin.check()?;
        if self.admin.listen == self.server.listen && self.admin.listen.port() != 0 {
            return Err(bad("admin.listen", "must not be server.listen: operators have an address of their own"));
        }
        self.log.check()?;
        self.store.check()?;
        self.store_options().validate().map_err(|error| bad("store", error.to_string()))?;
        self.runtime.check()?;
        self.postgres.validate()?;
        self.nats.check().map_err(|error| bad(error.setting, error.problem))?;
        self.gateway.check()?;
        self.check_gateway_url()?;
        self.check_cluster()?;
        self.check_sizes()?;
        if self.limits.stream_keep_alive_ms >= self.deadlines.idle_ms {
            return Err(bad(
                "limits.stream_keep_alive_ms",
                "must be shorter than deadlines.idle_ms, or live streams are cut",
            ));
        }
        Ok(())
    }

    /// A body becomes a journal record, records become a turn's batch, and the journal takes no batch above its
    /// reserve: what does not fit into the next would kill a shard instead of being refused here.
    fn check_sizes(&self) -> Result<(), SettingsError> {
        let journal = &self.store.journal;
        let body = u64::try_from(self.limits.body_bytes).unwrap_or(u64::MAX);
        if body.saturating_add(RECORD_OVERHEAD) > journal.record_limit_bytes {
            return Err(bad(
                "limits.body_bytes",
                "a body becomes a record: stay 4 KiB below store.journal.record_limit_bytes",
            ));
        }
        let turn = u64::try_from(self.runtime.turn_bytes).unwrap_or(u64::MAX);
        if turn.saturating_add(journal.record_limit_bytes.saturating_mul(2)) > journal.reserve_bytes {
            return Err(bad(
                "runtime.turn_bytes",
                "with two records of store.journal.record_limit_bytes it must stay below store.journal.reserve_bytes",
            ));
        }
        Ok(())
    }

    /// The settings of the data folder, as the store takes them.
    pub fn store_options(&self) -> StoreOptions {
        let StoreSettings { path: _, shards, secret_file, journal, snapshots } = self.store.clone();
        let two_a_worker = u16::try_from(self.server.workers()).unwrap_or(u16::MAX).saturating_mul(2);
        // Whichever node makes a store in NATS, its number must not follow from that one's processors.
        let shards_of_new = if self.nats.is_on() { SHARDS_IN_NATS } else { two_a_worker.min(MOST_SHARDS_UNASKED) };
        StoreOptions { shards, shards_of_new, journal, snapshots, secret_file }
    }

    /// The settings as TOML, in the form of the files, without secrets.
    ///
    /// # Errors
    /// [`SettingsError::Show`] when a value has no form in TOML.
    pub fn to_redacted_toml(&self) -> Result<String, SettingsError> {
        Ok(toml::to_string(self)?)
    }
}

impl From<config::ConfigError> for SettingsError {
    fn from(error: config::ConfigError) -> Self {
        Self::Read(error.to_string())
    }
}

/// A value that makes no sense.
fn bad(setting: &'static str, problem: impl Into<String>) -> SettingsError {
    SettingsError::Value { setting, problem: problem.into() }
}

/// Refuses `value` outside `range`.
fn within<T: PartialOrd + Copy + std::fmt::Display>(
    setting: &'static str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<(), SettingsError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(bad(setting, format!("must be from {} to {}, not {value}", range.start(), range.end())))
}

#[cfg(test)]
mod tests;
