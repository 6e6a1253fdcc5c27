//! The state of an entity as the tables have it: a snapshot and, of a large entity, the events that came after it.
//!
//! Invariant: what is read is the state as of the watermarks, whichever of its parts are how old, or an error: events that are
//! missing between two parts are noticed, and events that are there twice are applied once.

use holdfast_core::EntityId;

use crate::{
    codec::CodecError,
    snapshot::{apply_changes, decode_snapshot},
    state::EntityState,
};

/// What is selected of an entity's row `t` in `entity_snapshots`: the snapshot, and the events behind it in order.
pub(super) const PARTS: &str = "t.state, ARRAY(SELECT c.events FROM entity_changes AS c WHERE c.shard = t.shard \
     AND c.kind = t.kind AND c.entity = t.entity AND c.version > t.version ORDER BY c.first)";

/// How much of an entity is stored where, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Its snapshot; 0 without one.
    pub(super) snapshot: usize,
    /// The events behind it.
    pub(super) changes: usize,
}

/// Puts the parts of `entity` together.
pub(super) fn read(entity: &EntityId, snapshot: &[u8], changes: &[&[u8]]) -> Result<(EntityState, Extent), CodecError> {
    let (_, mut state) = decode_snapshot(entity, snapshot)?;
    let mut extent = Extent { snapshot: snapshot.len(), changes: 0 };
    for stretch in changes {
        apply_changes(&mut state, stretch)?;
        extent.changes += stretch.len();
    }
    Ok((state, extent))
}
