//! The bytes of one file: what a reader sees, what of it is durable, and what a power cut makes of the rest.

use std::ops::Range;

/// What a power cut leaves whole or not at all, in bytes.
const SECTOR: usize = 512;

/// What a reader sees, and of that what is not durable, with what a power cut would leave there instead.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    pub(super) seen: Vec<u8>,
    pub(super) pending: Vec<(Range<usize>, Vec<u8>)>,
    /// What a failed sync left undurable for good: these bytes read as `seen` until the power goes.
    pub(super) lost: Vec<(Range<usize>, Vec<u8>)>,
}

impl Content {
    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
        let range = offset..offset + data.len();
        if self.seen.len() < range.end {
            self.seen.resize(range.end, 0);
        }
        self.pending.push((range.clone(), self.seen[range.clone()].to_vec()));
        self.seen[range].copy_from_slice(data);
    }

    /// What was written is durable now, also where an earlier sync had failed.
    pub(super) fn settle(&mut self) {
        for (range, _) in self.pending.drain(..) {
            for (lost, before) in std::mem::take(&mut self.lost) {
                if lost.start < range.start {
                    let end = lost.end.min(range.start);
                    self.lost.push((lost.start..end, before[..end - lost.start].to_vec()));
                }
                if lost.end > range.end {
                    let start = lost.start.max(range.end);
                    self.lost.push((start..lost.end, before[start - lost.start..].to_vec()));
                }
            }
        }
    }

    /// What is left when the power goes. `stays` is asked for every sector that was not synced.
    pub(super) fn lose(&mut self, stays: &mut dyn FnMut() -> bool) {
        for (range, before) in self.pending.drain(..).rev().chain(self.lost.drain(..).rev()) {
            let mut start = range.start;
            while start < range.end {
                let end = ((start / SECTOR + 1) * SECTOR).min(range.end);
                if !stays() {
                    self.seen[start..end].copy_from_slice(&before[start - range.start..end - range.start]);
                }
                start = end;
            }
        }
    }
}
