//! The one owner of time. Every other module is handed a [`Timestamp`].
//!
//! Invariant: a clock never goes backwards and never jumps. The wall clock is read once, when the clock is made; from
//! there it advances with the monotonic clock. Somebody setting the machine's time by +90 days or -1 h therefore
//! releases no hold early and keeps none too long. (While a machine is suspended the monotonic clock of Linux rests, so
//! deadlines rest with it.)

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use holdfast_core::Timestamp;

/// A source of the present. Clones share it; asking costs one read of the monotonic clock and nothing else.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    /// Wall time when the clock was made, and the monotonic instant of that moment.
    System { started_at: Timestamp, started: Instant },
    /// Milliseconds since the Unix epoch, moved by hand.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock, anchored on wall time now.
    #[expect(clippy::disallowed_methods, reason = "this module is the one owner of time")]
    pub fn system() -> Self {
        let started_at = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
        };
        Self(Source::System { started_at: Timestamp::from_millis(started_at), started: Instant::now() })
    }

    /// A clock that stands at `start` until [`Clock::advance`] moves it: for tests and simulation.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.as_millis()))))
    }

    /// The present, in whole milliseconds.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System { started_at, started } => {
                started_at.saturating_add_millis(i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX))
            }
            Source::Manual(millis) => Timestamp::from_millis(millis.load(Ordering::Acquire)),
        }
    }

    /// Moves a manual clock, and all its clones, `millis` milliseconds on.
    ///
    /// # Panics
    /// On the machine's clock, which nobody can move: a bug in the caller.
    pub fn advance(&self, millis: u64) {
        let Source::Manual(now) = &self.0 else { panic!("only a manual clock can be advanced") };
        let step = i64::try_from(millis).unwrap_or(i64::MAX);
        // The closure never returns None, so the update always succeeds.
        let _ = now.fetch_update(Ordering::AcqRel, Ordering::Acquire, |at| Some(at.saturating_add(step)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_stands_still_until_advanced_and_its_clones_move_with_it() {
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        let seen_by_another = clock.clone();
        assert_eq!(clock.now(), Timestamp::from_millis(1_000));
        clock.advance(250);
        assert_eq!(seen_by_another.now(), Timestamp::from_millis(1_250));
    }

    #[test]
    fn a_manual_clock_stops_at_the_end_of_time_instead_of_wrapping() {
        let clock = Clock::manual(Timestamp::from_millis(i64::MAX - 1));
        clock.advance(u64::MAX);
        clock.advance(u64::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
    }

    #[test]
    fn the_system_clock_never_goes_backwards_and_starts_in_this_century() {
        let clock = Clock::system();
        let mut last = clock.now();
        assert!(last > Timestamp::from_millis(946_684_800_000), "after the year 2000");
        for _ in 0..100_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    #[should_panic(expected = "only a manual clock")]
    fn the_system_clock_cannot_be_advanced() {
        Clock::system().advance(1);
    }
}
