//! The limits of payment, each with its unit. A zero where it would stop everything cannot be expressed.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

/// How the gateway is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PaymentSettings {
    /// How long one call may take, in milliseconds. Then its outcome is unknown and it is repeated under the same key.
    pub attempt_timeout_ms: NonZeroU64,
    /// The longest wait before the first repeat, in milliseconds; it doubles with every further one.
    pub retry_initial_ms: NonZeroU64,
    /// The longest wait before any repeat, in milliseconds. With the time-out it bounds how long after the gateway is back
    /// a payment is settled.
    pub retry_max_ms: NonZeroU64,
    /// How many calls may be under way at once; further ones wait for one to end.
    pub max_concurrent_calls: NonZeroUsize,
    /// The sandbox gateway: in the process, or a service that several nodes ask.
    pub sandbox: SandboxSettings,
}

/// How the sandbox behaves where its test tokens leave it open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxSettings {
    /// How late `tok_late` is answered, in milliseconds.
    pub late_ms: u64,
    /// How many orders the ledger remembers. It forgets none: at the limit a new order is answered "unavailable". An order
    /// takes about 80 bytes of memory, and 72 more once it is captured or refunded.
    pub max_orders: NonZeroUsize,
    /// A file that gets every call, and is read at the start: then the gateway remembers what a real one would. Without one
    /// it forgets everything at a restart. A call takes about 120 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub book: Option<PathBuf>,
    /// Where the gateway is when it is a service of its own, as `http://host:port`; empty: it is in the process. Several nodes
    /// must ask the same one: a ledger that dies with its node has forgotten what was paid.
    pub url: String,
    /// How long the service may take to accept a connection, in milliseconds. Then nothing was sent, and nothing happened.
    pub connect_timeout_ms: NonZeroU64,
}

impl Default for PaymentSettings {
    fn default() -> Self {
        Self {
            attempt_timeout_ms: positive(10_000),
            retry_initial_ms: positive(200),
            retry_max_ms: positive(30_000),
            max_concurrent_calls: NonZeroUsize::MIN.saturating_add(1_023),
            sandbox: SandboxSettings::default(),
        }
    }
}

impl Default for SandboxSettings {
    fn default() -> Self {
        Self {
            late_ms: 2_000,
            max_orders: NonZeroUsize::MIN.saturating_add(9_999_999),
            book: None,
            url: String::new(),
            connect_timeout_ms: positive(1_000),
        }
    }
}

/// `millis`, or 1 when it is 0.
const fn positive(millis: u64) -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(millis.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_numbers_the_documentation_names() {
        let settings = PaymentSettings::default();
        assert_eq!(settings.attempt_timeout_ms.get(), 10_000);
        assert_eq!(settings.retry_initial_ms.get(), 200);
        assert_eq!(settings.retry_max_ms.get(), 30_000);
        assert_eq!(settings.max_concurrent_calls.get(), 1_024);
        assert_eq!(settings.sandbox.max_orders.get(), 10_000_000);
        assert_eq!(settings.sandbox.connect_timeout_ms.get(), 1_000);
    }
}
