//! What went wrong, if anything: the first violation of a run, from whoever saw it.
//!
//! Invariant: the first one stays. What follows a broken promise proves nothing.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;

/// Which promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// I1: units add up, none is sold twice, limits hold.
    Units,
    /// I2: what was acknowledged is there, exactly once.
    Acknowledged,
    /// I3: money moved as the order says, once.
    Money,
    /// I4: the state is what the journal says.
    State,
    /// Damage is refused, and what is intact opens.
    Storage,
    /// Whatever is asked comes to an end once the faults stop.
    Progress,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub promise: Promise,
    /// What was seen.
    pub what: String,
}

/// Where violations are reported. Clones are the same place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Violations(Arc<Mutex<Option<Violation>>>);

impl Violations {
    pub(crate) fn report(&self, promise: Promise, what: impl Into<String>) {
        self.0.lock().get_or_insert_with(|| Violation { promise, what: what.into() });
    }

    pub(crate) fn first(&self) -> Option<Violation> {
        self.0.lock().clone()
    }

    pub(crate) fn any(&self) -> bool {
        self.0.lock().is_some()
    }
}

impl Promise {
    /// Its number among the invariants and a word, or a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Units => "I1 units",
            Self::Acknowledged => "I2 acknowledged",
            Self::Money => "I3 money",
            Self::State => "I4 state",
            Self::Storage => "storage",
            Self::Progress => "progress",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise.name(), self.what)
    }
}
