//! How long a peer may take: section `[deadlines]`.

use serde::{Deserialize, Serialize};

use super::{SettingsError, within};

/// The deadlines of a connection, all in milliseconds and kept to within 200 ms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadlineSettings {
    /// From accept to the first byte, in milliseconds.
    pub first_byte_ms: u64,
    /// From the first byte of a request to the end of its head, in milliseconds.
    pub header_ms: u64,
    /// For a request's whole body, in milliseconds. Answered with 408.
    pub body_ms: u64,
    /// From the moment the peer stops taking an answer until it has taken it whole, in milliseconds.
    pub write_ms: u64,
    /// Between two requests of a kept-alive connection, in milliseconds.
    pub idle_ms: u64,
    /// How long the rest of a refused request is read and dropped after the answer, in milliseconds.
    pub close_ms: u64,
    /// From SIGTERM to exit, in milliseconds: requests are finished, then the store is flushed. The hard end.
    pub drain_ms: u64,
    /// How long `/readyz` says no before the listener closes, in milliseconds, for load balancers to notice.
    pub unready_ms: u64,
}

impl Default for DeadlineSettings {
    fn default() -> Self {
        Self {
            first_byte_ms: 10_000,
            header_ms: 5_000,
            body_ms: 10_000,
            write_ms: 10_000,
            idle_ms: 60_000,
            close_ms: 2_000,
            drain_ms: 10_000,
            unready_ms: 0,
        }
    }
}

impl DeadlineSettings {
    /// The longest deadline that can be set: an hour, in milliseconds.
    const LONGEST_MS: u64 = 3_600_000;

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        within("deadlines.first_byte_ms", self.first_byte_ms, 1..=Self::LONGEST_MS)?;
        within("deadlines.header_ms", self.header_ms, 1..=Self::LONGEST_MS)?;
        within("deadlines.body_ms", self.body_ms, 1..=Self::LONGEST_MS)?;
        within("deadlines.write_ms", self.write_ms, 1..=Self::LONGEST_MS)?;
        within("deadlines.idle_ms", self.idle_ms, 1..=Self::LONGEST_MS)?;
        within("deadlines.close_ms", self.close_ms, 1..=Self::LONGEST_MS)?;
        within("deadlines.drain_ms", self.drain_ms, 1_000..=Self::LONGEST_MS)?;
        within("deadlines.unready_ms", self.unready_ms, 0..=self.drain_ms / 2)
    }
}
