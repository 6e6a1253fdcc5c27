//! One fact about one entity, as the journal takes it and gives it back.

use holdfast_core::{EntityId, Event, Timestamp};

/// An event with what is needed to apply it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whom it is about. Its kind is the event's kind.
    pub entity: EntityId,
    /// The entity's version after the event: 1 for its first.
    pub version: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}
