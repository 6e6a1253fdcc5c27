//! The small sections: `[server]`, `[admin]`, `[gateway]`, `[store]`, `[idempotency]`, `[log]`.

use std::{net::SocketAddr, path::PathBuf};

use holdfast_core::Currency;
use holdfast_persistence::{StoreOptions, journal::JournalOptions, snapshot::SnapshotOptions};
use serde::{Deserialize, Serialize};

use super::{Secret, SettingsError, bad, within};

/// The public listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSettings {
    /// The address and port buyers reach. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The currency of a cart that names none: an ISO 4217 code.
    pub currency: String,
    /// Threads that serve connections and shards; 0 for one less than there are processors, and at least one.
    pub worker_threads: usize,
}

/// The operators' listener: metrics, shards, settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminSettings {
    /// The address and port operators reach; keep it off the internet. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Open connections of this listener; the next is answered 503 and closed. They come on top of `limits.connections`.
    pub connections: usize,
    /// The bearer token of admin calls, at least 32 bytes. Without one every admin call is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
}

/// The sandbox gateway as a service of its own: `holdfast gateway`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewaySettings {
    /// The address and port the nodes reach it at (`payments.sandbox.url`); keep it off the internet. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Open connections, in number; the next is answered 503 and closed. A node takes `payments.max_concurrent_calls` at most.
    pub connections: usize,
}

/// Where and how data is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSettings {
    /// The data folder; it is created, and locked while the server runs.
    pub path: PathBuf,
    /// Number of shards, 1 to 1,024, fixed when the folder is made. 0: the number it has; a new folder gets two for each worker
    /// thread and at most 16, and always 16 where the journal is in NATS.
    pub shards: u16,
    /// A copy of the `secret` of an earlier data folder, for one that is made anew or restored. None: a random secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// The journal: `[store.journal]`.
    pub journal: JournalOptions,
    /// The snapshots: `[store.snapshots]`.
    pub snapshots: SnapshotOptions,
}

/// The keys that make a retry safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdempotencySettings {
    /// The shortest Idempotency-Key, in characters: whoever knows the key of an order can read the order's answer.
    pub min_key_bytes: usize,
    /// The longest Idempotency-Key, in characters.
    pub max_key_bytes: usize,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// `text` for people, `json` for machines.
    pub format: LogFormat,
    /// Levels, as `level` or `target=level,...`: `info`, `warn,holdfast_api=debug`. Requests are logged at `debug`.
    pub filter: String,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), currency: "EUR".to_owned(), worker_threads: 0 }
    }
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9090)), connections: 64, token: None }
    }
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9095)), connections: 16_384 }
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        let StoreOptions { journal, snapshots, secret_file, .. } = StoreOptions::default();
        Self { path: PathBuf::from("data"), shards: 0, journal, snapshots, secret_file }
    }
}

impl Default for IdempotencySettings {
    fn default() -> Self {
        Self { min_key_bytes: 16, max_key_bytes: 255 }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

impl ServerSettings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        within("server.worker_threads", self.worker_threads, 0..=1_024)?;
        self.default_currency().map(|_| ())
    }

    /// How many threads serve connections and shards.
    pub fn workers(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        if self.worker_threads > 0 { self.worker_threads } else { processors.saturating_sub(1).max(1) }
    }

    /// The currency of a cart that names none.
    pub(crate) fn default_currency(&self) -> Result<Currency, SettingsError> {
        Currency::parse(&self.currency).map_err(|error| bad("server.currency", error.to_string()))
    }
}

impl AdminSettings {
    /// The shortest admin token, in bytes.
    const MIN_TOKEN_BYTES: usize = 32;

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        within("admin.connections", self.connections, 1..=1_024)?;
        match &self.token {
            Some(token) if token.len() < Self::MIN_TOKEN_BYTES => {
                Err(bad("admin.token", format!("must have at least {} bytes", Self::MIN_TOKEN_BYTES)))
            }
            Some(token) if !token.is_bearer() => {
                Err(bad("admin.token", "must be printable ASCII without spaces, and not written like a buyer's token"))
            }
            _ => Ok(()),
        }
    }
}

impl GatewaySettings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        within("gateway.connections", self.connections, 2..=1_000_000)
    }
}

impl StoreSettings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        if self.path.as_os_str().is_empty() {
            return Err(bad("store.path", "must name a folder"));
        }
        Ok(())
    }
}

impl LogSettings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let read = tracing_subscriber::EnvFilter::try_new(&self.filter);
        read.map(|_| ()).map_err(|error| bad("log.filter", format!("{:?} cannot be read: {error}", self.filter)))
    }
}

impl IdempotencySettings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        within("idempotency.min_key_bytes", self.min_key_bytes, 1..=255)?;
        within("idempotency.max_key_bytes", self.max_key_bytes, self.min_key_bytes..=1_024)
    }
}
