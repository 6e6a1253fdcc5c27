//! The snapshots: in memory, with the promises of [`SnapshotStore`] and no more. They can fail, be lost as a whole, or be put
//! back to an older state that was complete when it was taken. sled itself is tested elsewhere.
//!
//! Invariant: an entry is durable when `write` returned, and what is put back is what the store held at one instant.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use holdfast_core::{EntityId, ShardId};
use holdfast_persistence::{
    CodecError, EncodedSnapshot, EntityState, SnapshotError, SnapshotSource, SnapshotStore, decode_snapshot,
};
use parking_lot::Mutex;

use crate::{dice::Dice, trace::Trace};

/// Older states kept.
const KEPT: usize = 4;

/// The snapshots. Clones are the same.
#[derive(Clone)]
pub(crate) struct SimSnapshots {
    state: Arc<Mutex<State>>,
    dice: Dice,
    trace: Trace,
}

#[derive(Default)]
struct State {
    now: Contents,
    older: Vec<Contents>,
    /// The process dies at the operation after so many further ones.
    die_after: Option<u64>,
    fail_next: bool,
    dead: bool,
    failed: u64,
}

#[derive(Debug, Clone, Default)]
struct Contents {
    entries: BTreeMap<(ShardId, EntityId), EncodedSnapshot>,
    watermarks: BTreeMap<ShardId, u64>,
}

impl SimSnapshots {
    pub(crate) fn new(dice: Dice, trace: Trace) -> Self {
        Self { state: Arc::default(), dice, trace }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state.lock().dead
    }

    /// Writes that failed so far.
    pub(crate) fn failures(&self) -> u64 {
        self.state.lock().failed
    }

    /// The next write fails, and leaves each entry old or new.
    pub(crate) fn fail_next(&self) {
        self.state.lock().fail_next = true;
    }

    /// The process dies at the operation after so many further ones.
    pub(crate) fn die_after(&self, operations: u64) {
        self.state.lock().die_after = Some(operations);
    }

    /// As the next process finds them.
    pub(crate) fn revive(&self) {
        let mut state = self.state.lock();
        state.dead = false;
        state.die_after = None;
        state.fail_next = false;
    }

    /// Everything is gone.
    pub(crate) fn lose(&self) {
        self.state.lock().now = Contents::default();
    }

    /// Remembers how things are, to be put back later.
    pub(crate) fn remember(&self) {
        let mut state = self.state.lock();
        let now = state.now.clone();
        if state.older.len() == KEPT {
            state.older.remove(0);
        }
        state.older.push(now);
    }

    /// Puts back an older state. Whether there was one.
    pub(crate) fn put_back(&self) -> bool {
        let mut state = self.state.lock();
        if state.older.is_empty() {
            return false;
        }
        let which = self.dice.index(state.older.len());
        state.now = state.older[which].clone();
        true
    }

    fn begin(state: &mut State) -> Result<(), SnapshotError> {
        if let Some(left) = &mut state.die_after {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => state.dead = true,
            }
        }
        if state.dead { Err(fault("answer: the process has died")) } else { Ok(()) }
    }
}

fn fault(action: &'static str) -> SnapshotError {
    SnapshotError::Io { action, path: PathBuf::from("/simulated/snapshots"), source: io::Error::from_raw_os_error(5) }
}

fn decode(shard: ShardId, snapshot: &EncodedSnapshot) -> Result<(u64, EntityState), SnapshotError> {
    decode_snapshot(&snapshot.entity, &snapshot.bytes).map_err(|error| match error {
        CodecError::Checksum | CodecError::CutShort => SnapshotError::Damaged { shard, what: "a checksum" },
        other => SnapshotError::Codec(other),
    })
}

impl SnapshotSource for SimSnapshots {
    fn load(&self, shard: ShardId, entity: &EntityId) -> Result<Option<(u64, EntityState)>, SnapshotError> {
        let mut state = self.state.lock();
        Self::begin(&mut state)?;
        state.now.entries.get(&(shard, entity.clone())).map(|entry| decode(shard, entry)).transpose()
    }

    fn scan(&self, shard: ShardId, sink: &mut dyn FnMut(EntityId, u64, EntityState)) -> Result<(), SnapshotError> {
        let entries: Vec<EncodedSnapshot> = {
            let mut state = self.state.lock();
            Self::begin(&mut state)?;
            let of_shard = state.now.entries.iter().filter(|((of, _), _)| *of == shard);
            of_shard.map(|(_, entry)| entry.clone()).collect()
        };
        for entry in entries {
            let (version, state) = decode(shard, &entry)?;
            sink(entry.entity, version, state);
        }
        Ok(())
    }

    fn watermark(&self, shard: ShardId) -> Result<u64, SnapshotError> {
        let mut state = self.state.lock();
        Self::begin(&mut state)?;
        Ok(state.now.watermarks.get(&shard).copied().unwrap_or(0))
    }
}

impl SnapshotStore for SimSnapshots {
    fn write(&self, shard: ShardId, snapshots: &[EncodedSnapshot]) -> Result<(), SnapshotError> {
        let mut state = self.state.lock();
        if state.dead {
            return Err(fault("write"));
        }
        let died = Self::begin(&mut state).is_err();
        let fails = died || std::mem::take(&mut state.fail_next);
        state.failed += u64::from(fails && !died);
        for snapshot in snapshots {
            if !fails || self.dice.coin() {
                state.now.entries.insert((shard, snapshot.entity.clone()), snapshot.clone());
            }
        }
        self.trace.note("snapshots: write", u64::from(shard.0), snapshots.len() as u64);
        if fails { Err(fault("write")) } else { Ok(()) }
    }

    fn set_watermark(&self, shard: ShardId, seq: u64) -> Result<(), SnapshotError> {
        let mut state = self.state.lock();
        Self::begin(&mut state)?;
        if std::mem::take(&mut state.fail_next) {
            state.failed += 1;
            return Err(fault("move the watermark"));
        }
        state.now.watermarks.insert(shard, seq);
        self.trace.note("snapshots: watermark", u64::from(shard.0), seq);
        Ok(())
    }
}
