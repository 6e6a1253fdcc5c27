//! For how long a node may answer from memory without asking anybody.
//!
//! In a cluster another node may take a shard over once this one has been silent for long enough. The one that was cut off
//! or stopped must by then have ceased to answer reads, and it can only know that by its own clock: so it answers while its
//! lease lasts, and whoever hears that a majority still knows this node renews it.
//!
//! Invariant: a lease is renewed to a time after what proved it was *sent*, never after the answer came.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use holdfast_core::Timestamp;

use crate::clock::Clock;

/// A node's lease. Clones share it.
#[derive(Debug, Clone)]
pub struct Lease(Term);

#[derive(Debug, Clone)]
enum Term {
    /// Nobody else could own anything.
    Perpetual,
    /// Until then, in milliseconds since the epoch.
    Until { millis: Arc<AtomicI64>, clock: Clock },
}

impl Lease {
    /// The lease of a node that is alone.
    pub fn perpetual() -> Self {
        Self(Term::Perpetual)
    }

    /// A lease by `clock` that has run out until it is renewed.
    pub fn lasting(clock: Clock) -> Self {
        Self(Term::Until { millis: Arc::new(AtomicI64::new(i64::MIN)), clock })
    }

    /// Lets it last until `until`, if it does not last longer already.
    pub fn renew_until(&self, until: Timestamp) {
        if let Term::Until { millis, .. } = &self.0 {
            millis.fetch_max(until.as_millis(), Ordering::AcqRel);
        }
    }

    /// Whether it lasts.
    pub fn is_valid(&self) -> bool {
        match &self.0 {
            Term::Perpetual => true,
            Term::Until { millis, clock } => clock.now().as_millis() < millis.load(Ordering::Acquire),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_by_the_clock_and_a_late_proof_does_not_shorten_it() {
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        let lease = Lease::lasting(clock.clone());
        assert!(!lease.is_valid(), "nothing proved it yet");
        lease.renew_until(Timestamp::from_millis(3_000));
        lease.renew_until(Timestamp::from_millis(2_000));
        clock.advance(1_999);
        assert!(lease.is_valid());
        clock.advance(1);
        assert!(!lease.is_valid());
        assert!(Lease::perpetual().is_valid());
    }
}
