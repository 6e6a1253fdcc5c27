//! The load generator's one look at the clock.
//!
//! Latency is measured outside the server, so it cannot come from the server's time-as-a-value; everything in
//! [`crate::load`] that measures does it with this type, and nothing else here reads a clock.

use std::time::{Duration, Instant};

/// A point in time to measure from.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "the load generator measures from outside; this is its one owner")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(self) -> Duration {
        Self::start().0.saturating_duration_since(self.0)
    }

    /// Microseconds since `earlier` on this watch's own time line; 0 if `earlier` lies ahead.
    pub fn micros_since(self, earlier: Duration) -> u64 {
        u64::try_from(self.elapsed().saturating_sub(earlier).as_micros()).unwrap_or(u64::MAX)
    }
}
