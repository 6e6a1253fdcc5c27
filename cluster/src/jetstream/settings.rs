//! `[nats]`: where the journal is when it is not in the data folder, and how long each thing may take.
//!
//! Invariant: every wait of the journal ends by one of these limits.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::settings::is_name;

/// The journal in NATS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NatsSettings {
    /// The servers, as `nats://host:port` or `tls://host:port`, with commas between them. Empty: the journal is in the data
    /// folder.
    pub url: String,
    /// The user's credentials, as `nsc` writes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
    /// The certificates of authorities that vouch for the servers, as PEM; none: the operating system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// What the deployment is called: its streams begin with it. Letters, digits, `-` and `_`, at most 32.
    pub deployment: String,
    /// On how many servers every message must be, in number. 3 survives the loss of one; 1 is for trying things out.
    pub replicas: usize,
    /// The servers' monitoring addresses, as `host:port`, with commas between them: each is asked whether it syncs before it
    /// acknowledges. Empty: not asked.
    pub monitors: String,
    /// How long an answer is waited for before the same is sent again, in milliseconds.
    pub attempt_timeout_ms: u64,
    /// When a batch is not acknowledged for so long, new commands are refused until it is, in milliseconds.
    pub unreachable_after_ms: u64,
    /// When a batch is not acknowledged for so long, the node gives up and leaves, in milliseconds.
    pub append_deadline_ms: u64,
    /// How long a start may wait for the servers, in milliseconds.
    pub start_deadline_ms: u64,
    /// How often a node looks whether another one has taken over, in milliseconds.
    pub watch_interval_ms: u64,
    /// How often a node looks whether its shards' snapshots are to be archived in the servers, in milliseconds: where
    /// `store.journal.retain_bytes` bounds the streams and there is no `PostgreSQL` that has the snapshots.
    pub archive_interval_ms: u64,
}

impl Default for NatsSettings {
    fn default() -> Self {
        Self {
            url: String::new(),
            credentials_file: None,
            ca_file: None,
            deployment: "holdfast".to_owned(),
            replicas: 3,
            monitors: String::new(),
            attempt_timeout_ms: 2_000,
            unreachable_after_ms: 1_000,
            append_deadline_ms: 120_000,
            start_deadline_ms: 30_000,
            watch_interval_ms: 1_000,
            archive_interval_ms: 10_000,
        }
    }
}

/// A setting of `[nats]` makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct NatsSettingError {
    /// The setting, as `nats.key`.
    pub setting: &'static str,
    /// What is wrong with it and what is expected.
    pub problem: String,
}

impl NatsSettings {
    /// Whether the journal is in NATS at all.
    pub fn is_on(&self) -> bool {
        !self.url.is_empty()
    }

    /// Checks ranges.
    ///
    /// # Errors
    /// [`NatsSettingError`] naming the first setting that cannot be used.
    pub fn check(&self) -> Result<(), NatsSettingError> {
        if !is_name(&self.deployment) {
            let problem = "must be 1 to 32 letters, digits, '-' or '_'".to_owned();
            return Err(NatsSettingError { setting: "nats.deployment", problem });
        }
        let hour = 3_600_000;
        within("nats.replicas", self.replicas as u64, 1, 5)?;
        within("nats.attempt_timeout_ms", self.attempt_timeout_ms, 100, 60_000)?;
        within("nats.unreachable_after_ms", self.unreachable_after_ms, 100, self.append_deadline_ms)?;
        within("nats.append_deadline_ms", self.append_deadline_ms, self.attempt_timeout_ms, hour)?;
        within("nats.start_deadline_ms", self.start_deadline_ms, self.attempt_timeout_ms, hour)?;
        within("nats.watch_interval_ms", self.watch_interval_ms, 10, 60_000)?;
        within("nats.archive_interval_ms", self.archive_interval_ms, 10, hour)
    }

    pub(super) fn attempt_timeout(&self) -> Duration {
        Duration::from_millis(self.attempt_timeout_ms)
    }

    pub(crate) fn start_deadline(&self) -> Duration {
        Duration::from_millis(self.start_deadline_ms)
    }
}

/// What is between the commas.
pub(super) fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

pub(crate) fn within(setting: &'static str, given: u64, min: u64, max: u64) -> Result<(), NatsSettingError> {
    if (min..=max).contains(&given) {
        return Ok(());
    }
    Err(NatsSettingError { setting, problem: format!("must be from {min} to {max}, not {given}") })
}
