//! The journal without threads: whoever drives it takes the writer's and the preparer's steps one by one, in any order the
//! threads could take them. That is how a simulation, in one thread, gets between a write and its sync.
//!
//! Invariant: the steps are the threads' own. Nothing here writes, syncs or tells; it only says when.

use std::sync::Arc;

use super::{
    prepare::Preparer,
    queue::PendingFrame,
    writer::{Synced, Writer, Written},
};

/// A step of the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterStep {
    /// A frame is written, and may be on disk or not.
    Write,
    /// It is synced.
    Sync,
    /// Everyone whose batch is in it is told.
    Tell,
}

/// The writer and the preparer of a stepped journal.
pub struct JournalSteps {
    writer: Writer,
    preparer: Arc<Preparer>,
    /// What was taken from the queue: those before `next` are done with.
    frames: Vec<PendingFrame>,
    next: usize,
    under_way: UnderWay,
}

/// How far the frame at `next` is.
enum UnderWay {
    Nothing,
    Written(Written),
    Synced(Synced),
}

impl JournalSteps {
    pub(super) fn new(writer: Writer, preparer: Arc<Preparer>) -> Self {
        Self { writer, preparer, frames: Vec::new(), next: 0, under_way: UnderWay::Nothing }
    }

    /// The writer's next step; `None` while there is nothing to write.
    pub fn next_step(&self) -> Option<WriterStep> {
        match &self.under_way {
            UnderWay::Written(_) => Some(WriterStep::Sync),
            UnderWay::Synced(_) => Some(WriterStep::Tell),
            UnderWay::Nothing => {
                let waits = self.next < self.frames.len() || self.writer.shared.queue.lock().batches() > 0;
                waits.then_some(WriterStep::Write)
            }
        }
    }

    /// Takes the writer's next step, if there is one.
    pub fn step(&mut self) {
        if self.next >= self.frames.len() {
            self.next = 0;
            self.writer.shared.queue.lock().swap(&mut self.frames);
        }
        let Some(frame) = self.frames.get_mut(self.next) else { return };
        self.under_way = match std::mem::replace(&mut self.under_way, UnderWay::Nothing) {
            UnderWay::Nothing => UnderWay::Written(self.writer.write(frame)),
            UnderWay::Written(written) => UnderWay::Synced(self.writer.sync(frame, written)),
            UnderWay::Synced(synced) => {
                self.writer.tell(frame, &synced);
                self.next += 1;
                UnderWay::Nothing
            }
        };
    }

    /// Whether a segment is to be made ahead. True too while the disk is full: how often that is tried again is the
    /// caller's choice.
    pub fn wants_spare(&self) -> bool {
        self.preparer.is_wanted()
    }

    /// Makes a segment ahead, if one is wanted.
    pub fn prepare(&self) {
        self.preparer.step();
    }
}

impl std::fmt::Debug for JournalSteps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalSteps").field("next", &self.next_step()).finish_non_exhaustive()
    }
}
