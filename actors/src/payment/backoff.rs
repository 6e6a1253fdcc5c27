//! When a gateway is asked again. Pure: the wait follows from the key and the number of failed attempts, so a run can be
//! replayed, and yet the orders that failed together do not come back together.
//!
//! Invariant: a wait is at least half of, and never more than, `min(initial * 2^attempt, max)`, and never zero.

use holdfast_core::order::{GatewayCall, GatewayKey};

use super::settings::PaymentSettings;

/// Exponential waits with a cap and a jitter that is a function of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    initial_ms: u64,
    max_ms: u64,
}

impl Backoff {
    /// Waits of at most `retry_initial_ms`, doubling up to `retry_max_ms`.
    pub fn new(settings: &PaymentSettings) -> Self {
        Self { initial_ms: settings.retry_initial_ms.get(), max_ms: settings.retry_max_ms.get() }
    }

    /// How long to wait after `failed` attempts in a row (from 1) under `key`, in milliseconds.
    pub fn delay_ms(&self, key: GatewayKey, failed: u32) -> u64 {
        let doublings = failed.saturating_sub(1).min(63);
        let longest = self.initial_ms.saturating_mul(1 << doublings).min(self.max_ms);
        let shortest = longest.div_ceil(2);
        shortest.saturating_add(noise(key, failed) % (longest - shortest).saturating_add(1))
    }
}

/// A number that looks random and is always the same for the same key and attempt (the finalizer of `SplitMix64`).
#[expect(clippy::cast_possible_truncation, reason = "both halves of the order id are mixed in")]
fn noise(key: GatewayKey, failed: u32) -> u64 {
    let call = match key.call {
        GatewayCall::Authorize => 1,
        GatewayCall::Capture => 2,
        GatewayCall::Void => 3,
        GatewayCall::Refund(refund) => 4 + u64::from(refund),
    };
    let bits = key.order.as_u128();
    let mut mixed = (bits as u64) ^ ((bits >> 64) as u64).rotate_left(32) ^ (call << 32) ^ u64::from(failed);
    mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, num::NonZeroU64};

    use holdfast_core::OrderId;
    use proptest::prelude::*;

    use super::*;

    fn backoff(initial_ms: u64, max_ms: u64) -> Backoff {
        let positive = |millis| NonZeroU64::new(millis).expect("positive");
        Backoff::new(&PaymentSettings {
            retry_initial_ms: positive(initial_ms),
            retry_max_ms: positive(max_ms),
            ..PaymentSettings::default()
        })
    }

    fn key(order: u128) -> GatewayKey {
        GatewayKey { order: OrderId::from_u128(order), call: GatewayCall::Capture }
    }

    proptest! {
        #[test]
        fn a_wait_stays_between_half_and_all_of_the_capped_exponential(
            order: u128, initial in 1..10_000_u64, max in 1..1_000_000_u64, failed in 1..100_u32,
        ) {
            let longest = u128::from(initial).saturating_mul(1 << (failed - 1).min(100)).min(u128::from(max));
            let delay = u128::from(backoff(initial, max).delay_ms(key(order), failed));
            prop_assert!(delay >= 1 && delay <= longest && delay * 2 >= longest, "{delay} of {longest}");
        }
    }

    #[test]
    fn the_same_key_and_attempt_always_wait_the_same() {
        let backoff = backoff(200, 30_000);
        assert_eq!(backoff.delay_ms(key(7), 3), backoff.delay_ms(key(7), 3));
    }

    #[test]
    fn orders_that_failed_together_come_back_apart() {
        let backoff = backoff(200, 30_000);
        let waits: BTreeSet<u64> = (0..1_000).map(|order| backoff.delay_ms(key(order << 16), 8)).collect();
        assert!(waits.len() > 900, "only {} different waits", waits.len());
    }

    #[test]
    fn no_number_of_failures_overflows() {
        assert!(backoff(u64::MAX, u64::MAX).delay_ms(key(1), u32::MAX) >= u64::MAX / 2);
    }
}
