//! Checkpoints: every so often the changed entities are put in the order of the snapshot store and snapshotted, slice by slice,
//! and the shard's watermark moves to where the checkpoint began. Recovery then starts from there.
//!
//! Invariant: when the watermark `w` is durable, every entity that had an event at or before `w` has a durable snapshot
//! that contains it. A snapshot may be newer; replay skips what it contains by version.

use holdfast_core::{EntityId, Timestamp, planted};
use holdfast_persistence::EntityState;
use tokio::sync::oneshot;

use super::{Shard, ahead::AT_ONCE, rush::Rush, table::on_table};
use crate::{
    chunked_queue::ChunkedQueue,
    message::SnapshotProgress,
    outbound::{Outgoing, SnapshotTask},
};

/// Where a shard's checkpoints stand.
#[derive(Debug)]
pub(super) struct Checkpointing {
    /// Entities changed since they were last in a checkpoint, in order of their first change; some more than once.
    dirty: ChunkedQueue<EntityId>,
    running: Option<Running>,
    /// Whether the last checkpoint's watermark is still being written.
    writing: bool,
    /// Whether the checkpoint under way met an entity that is being rebuilt or is quarantined: then the watermark stays.
    held_back: bool,
    watermark: u64,
    /// States handed out to be written that the store is not done with.
    handed_out: usize,
    last_began: Timestamp,
    last_began_sequence: u64,
    rush: Rush,
    demands: Demands,
}

/// The checkpoint under way.
#[derive(Debug)]
struct Running {
    /// The record it began at.
    sequence: u64,
    /// Whether it began after the node was told to write everything out.
    is_last: bool,
    /// Its entities yet to be handed out; `None` while they are put in order elsewhere.
    pending: Option<std::vec::IntoIter<EntityId>>,
}

/// Who waits for a checkpoint: told the watermark once everything that had happened when they asked is in snapshots.
#[derive(Debug, Default)]
struct Demands {
    /// Their checkpoint has yet to begin.
    waiting: Vec<oneshot::Sender<u64>>,
    /// The checkpoint under way is theirs.
    running: Vec<oneshot::Sender<u64>>,
}

impl Checkpointing {
    pub(super) fn new(now: Timestamp, records: u64) -> Self {
        Self {
            dirty: ChunkedQueue::default(),
            running: None,
            writing: false,
            held_back: false,
            watermark: 0,
            handed_out: 0,
            last_began: now,
            last_began_sequence: 0,
            rush: Rush::new(now, records),
            demands: Demands::default(),
        }
    }

    /// Has a checkpoint written as soon as the one under way is done. `done` is told the watermark; it stays where it was if
    /// an entity is out of service.
    pub(super) fn demand(&mut self, done: oneshot::Sender<u64>) {
        if !self.dirty.is_empty() {
            self.demands.waiting.push(done);
        } else if self.running.is_some() || self.writing {
            self.demands.running.push(done);
        } else {
            // Whoever asked may have given up waiting.
            let _ = done.send(self.watermark);
        }
    }

    /// Tells those whose checkpoint is over.
    fn meet_demands(&mut self) {
        for done in self.demands.running.drain(..) {
            let _ = done.send(self.watermark);
        }
    }

    /// Continues after a recovery that found this watermark.
    pub(super) fn resume(&mut self, watermark: u64, now: Timestamp) {
        self.watermark = watermark;
        self.last_began_sequence = watermark;
        self.last_began = now;
        if !self.dirty.is_empty() {
            // Whoever was stopped in a sale goes on with it.
            self.rush.fill();
        }
    }

    pub(super) fn note_dirty(&mut self, entity: EntityId) {
        self.dirty.push_back(entity);
    }

    /// What has changed since the last checkpoint, in order of the first change.
    pub(super) fn changed(&self) -> impl Iterator<Item = &EntityId> {
        self.dirty.iter()
    }

    /// Entities that have changed since the last checkpoint.
    pub(super) fn unsaved(&self) -> usize {
        self.dirty.len()
    }

    pub(super) fn watermark(&self) -> u64 {
        self.watermark
    }

    fn done(&mut self, watermark: u64) {
        self.watermark = self.watermark.max(watermark);
        self.writing = false;
        self.meet_demands();
    }

    /// Whether the checkpoint under way has entities to hand out.
    fn is_arranged(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.pending.is_some())
    }

    /// Takes in the entities of the checkpoint under way, in order.
    fn arranged(&mut self, entities: Vec<EntityId>) {
        if let Some(running) = &mut self.running {
            running.pending = Some(entities.into_iter());
        }
    }

    /// Keeps an entity for the next checkpoint and this one's watermark where it is.
    fn hold_back(&mut self, entity: EntityId) {
        self.dirty.push_back(entity);
        self.held_back = true;
    }

    /// Whether there is something to write and no checkpoint under way.
    fn can_begin(&self) -> bool {
        !self.dirty.is_empty() && self.running.is_none() && !self.writing
    }
}

impl Shard {
    /// How many more states may be handed out now: two batches of the store, one that it writes and one that waits.
    pub(super) fn snapshot_room(&self) -> usize {
        self.parts.settings.snapshot_batch.saturating_mul(2).saturating_sub(self.checkpointing.handed_out)
    }

    /// Has these states written once the gate lets them out.
    pub(super) fn hand_out(&mut self, states: Vec<EntityState>) {
        if !states.is_empty() {
            self.checkpointing.handed_out += states.len();
            self.ask_for_snapshots(SnapshotTask::Write(states));
        }
    }

    /// Takes in how far the snapshots' thread is. What an earlier life of this shard has asked for is none of this one's.
    pub(super) fn note_snapshots(&mut self, life: u64, progress: SnapshotProgress) {
        if life != self.parts.life {
            return;
        }
        match progress {
            SnapshotProgress::Arranged(entities) => self.checkpointing.arranged(entities),
            SnapshotProgress::Written { saved, unsaved } => {
                self.checkpointing.handed_out -= saved.len() + unsaved.len();
                self.note_unsaved(&unsaved);
                for entities in saved.chunks(AT_ONCE) {
                    self.look_ahead_to_note(entities);
                    self.note_saved(entities);
                }
            }
            SnapshotProgress::Checkpointed { watermark } => self.checkpointing.done(watermark),
        }
    }

    fn ask_for_snapshots(&mut self, task: SnapshotTask) {
        self.staged.output.outgoing.push(Outgoing::Snapshots { life: self.life(), task });
    }

    /// Whether the checkpoint under way can go on at once, or one that is waited for begin.
    pub(super) fn has_more_to_checkpoint(&self) -> bool {
        self.is_checkpoint_asked_for() || self.checkpointing.is_arranged() && self.snapshot_room() > 0
    }

    /// Begins a checkpoint when one is due and hands one slice of the one under way to the gate.
    pub(super) fn checkpoint_slice(&mut self) {
        self.begin_checkpoint_if_due();
        let slice = self.parts.settings.checkpoint_slice.min(self.snapshot_room());
        if slice == 0 {
            return;
        }
        let Some(Running { sequence, is_last, pending: Some(mut pending) }) =
            self.checkpointing.running.take_if(|running| running.pending.is_some())
        else {
            return;
        };
        let entities: Vec<EntityId> = pending.by_ref().take(slice).collect();
        let mut states = Vec::with_capacity(entities.len());
        for entities in entities.chunks(AT_ONCE) {
            self.look_ahead_to_copy(entities);
            self.copy(entities, &mut states);
        }
        if planted!(WatermarkBeforeSnapshots) {
            self.ask_for_snapshots(SnapshotTask::Watermark(sequence));
        }
        self.hand_out(states);
        if pending.len() > 0 {
            self.checkpointing.running = Some(Running { sequence, is_last, pending: Some(pending) });
            return;
        }
        if std::mem::take(&mut self.checkpointing.held_back) {
            self.checkpointing.meet_demands();
        } else {
            self.ask_for_snapshots(SnapshotTask::Watermark(sequence));
            self.checkpointing.writing = true;
        }
        if self.draining.is_some() && (is_last || self.checkpointing.dirty.is_empty()) {
            // The snapshots themselves are written before the node closes the store: what is told is that they are on
            // their way, and that is so when the gate has this turn's output.
            self.drained = self.draining.take();
        }
    }

    /// Adds the states of these entities to `states`, but for those that are saved or on their way.
    fn copy(&mut self, entities: &[EntityId], states: &mut Vec<EntityState>) {
        for entity in entities {
            self.clear_dirty(entity);
            match on_table!(entity, self.tables, |table, key| table.hand_out(key)) {
                Some(state) => states.push(state),
                None if self.is_troubled(entity) => self.checkpointing.hold_back(entity.clone()),
                // Its latest version is on its way already, or it left after a snapshot of that was durable.
                None => {}
            }
        }
    }

    /// Whether somebody waits for a checkpoint that can begin now.
    fn is_checkpoint_asked_for(&self) -> bool {
        let is_asked = self.draining.is_some() || !self.checkpointing.demands.waiting.is_empty();
        is_asked && self.checkpointing.can_begin()
    }

    /// When the next checkpoint begins if nobody asks for one and nothing more happens; `None` when nothing changed or one is under way.
    pub(super) fn checkpoint_due(&self) -> Option<Timestamp> {
        let state = &self.checkpointing;
        if !state.can_begin() {
            return None;
        }
        let by_time = state.last_began.saturating_add_millis(self.parts.settings.checkpoint_interval_ms);
        Some(self.checkpoint_due_by_records().map_or(by_time, |due| due.min(by_time)))
    }

    /// When the records since the last checkpoint are reason for the next; `None` as long as they are too few, or too little has changed.
    fn checkpoint_due_by_records(&self) -> Option<Timestamp> {
        let (state, settings) = (&self.checkpointing, &self.parts.settings);
        // Records of this turn are not yet numbered; the checkpoint covers those before it.
        let since = self.sequence - state.last_began_sequence;
        if since < settings.checkpoint_records {
            return None;
        }
        if since >= settings.checkpoint_records_at_most {
            return Some(self.now);
        }
        // What changed lies spread over the snapshots of everything there is.
        let changed = state.dirty.len().saturating_mul(100);
        if changed < self.tables.count().saturating_mul(usize::from(settings.checkpoint_changed_percent)) {
            return None;
        }
        // What is not saved cannot leave memory, so that half of the room has to do for it.
        let is_half_full = self.parts.census.unsaved() >= settings.max_live_entities / 2;
        Some(if is_half_full { self.now } else { state.rush.ends(settings.checkpoint_rush_records) })
    }

    /// Whether a sale is on, as of this turn.
    pub(super) fn is_rush(&self) -> bool {
        self.checkpointing.rush.ends(self.parts.settings.checkpoint_rush_records) > self.now
    }

    fn begin_checkpoint_if_due(&mut self) {
        let rush_records = self.parts.settings.checkpoint_rush_records;
        self.checkpointing.rush.look(self.parts.census.records(), self.now, rush_records);
        let is_asked = self.is_checkpoint_asked_for();
        let is_due = self.checkpoint_due().is_some_and(|due| due <= self.now);
        let state = &mut self.checkpointing;
        if is_asked || is_due {
            state.demands.running.append(&mut state.demands.waiting);
            state.last_began = self.now;
            state.last_began_sequence = self.sequence;
            let sequence = self.sequence + u64::from(planted!(WatermarkTooFar));
            state.running = Some(Running { sequence, is_last: self.draining.is_some(), pending: None });
            let entities = std::mem::take(&mut state.dirty);
            self.ask_for_snapshots(SnapshotTask::Arrange(entities));
        }
    }

    /// Writes everything out; `done` is told when the gate has all that was left to write.
    pub(super) fn begin_draining(&mut self, done: oneshot::Sender<()>) {
        if self.checkpointing.dirty.is_empty() && self.checkpointing.running.is_none() {
            self.drained = Some(done);
        } else {
            self.draining = Some(done);
        }
    }

    fn is_troubled(&mut self, entity: &EntityId) -> bool {
        on_table!(entity, self.tables, |table, key| table.troubled.contains_key(key))
    }

    fn clear_dirty(&mut self, entity: &EntityId) {
        on_table!(entity, self.tables, |table, key| if let Some(live) = table.live.get_mut(key) {
            live.dirty = false;
        });
    }
}
