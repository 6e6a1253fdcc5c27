//! Lets old segments go. Invariants: whole segments, oldest first, never the last one, so that what remains is gapless
//! after a crash at any point in between.

use std::collections::BTreeMap;

use holdfast_core::ShardId;

use super::{JournalError, PurgeSummary, catalog::Catalog, disk::Disk, segment};

/// Deletes the oldest segments whose records all lie below `floor`.
pub(super) fn purge_below(
    disk: &dyn Disk,
    catalog: &Catalog,
    floor: &BTreeMap<ShardId, u64>,
) -> Result<PurgeSummary, JournalError> {
    let begun = catalog.begun();
    let mut summary = PurgeSummary::default();
    for pair in begun.windows(2) {
        let [oldest, next] = pair else { break };
        if !lies_below(&oldest.next_seqs, &next.next_seqs, floor) {
            break;
        }
        let name = segment::file_name(oldest.generation);
        let io = |action| {
            let path = disk.path(&name);
            move |source| JournalError::Io { action, path, source }
        };
        let bytes = disk.open(&name).and_then(|file| file.bytes()).map_err(io("measure"))?;
        disk.remove(&name).map_err(io("remove"))?;
        // One sync per segment: the names must go in order, or a power cut could leave a gap.
        disk.sync_directory().map_err(io("sync the directory of"))?;
        catalog.forget_oldest();
        summary.segments += 1;
        summary.bytes += bytes;
    }
    Ok(summary)
}

/// Whether a segment, from its shards' sequence numbers to those of the next, has no record at or above `floor`.
fn lies_below(begins: &[u64], ends: &[u64], floor: &BTreeMap<ShardId, u64>) -> bool {
    (0..)
        .map(ShardId)
        .zip(begins.iter().zip(ends))
        .all(|(shard, (begin, end))| begin == end || floor.get(&shard).is_some_and(|floor| end <= floor))
}
