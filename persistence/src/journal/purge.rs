//! Lets old segments go. Invariants: whole segments, oldest first, never the last one, so that what remains is gapless
//! after a crash at any point in between.

use std::{collections::BTreeMap, io, sync::Arc};

use holdfast_core::ShardId;

use super::{HistoryReader, JournalError, PurgeSummary, catalog::Catalog, disk::Disk, segment};

/// The most segments one purge deletes: readers wait meanwhile. The rest goes with the next one.
const SEGMENTS_PER_PURGE: usize = 64;

/// Deletes the oldest segments whose records all lie below `floor`, for as long as those behind them take `keep_bytes`. What
/// `reader` still wants stays while that takes no more than its own bytes in addition.
pub(super) fn purge_below(
    disk: &dyn Disk,
    catalog: &Catalog,
    floor: &BTreeMap<ShardId, u64>,
    keep_bytes: u64,
    reader: Option<&(Arc<dyn HistoryReader>, u64)>,
) -> Result<PurgeSummary, JournalError> {
    let begun = catalog.begun();
    let sizes = begun.iter().map(|header| measure(disk, header.generation)).collect::<Result<Vec<_>, _>>()?;
    let mut left: u64 = sizes.iter().sum();
    let mut summary = PurgeSummary::default();
    for (pair, bytes) in begun.windows(2).zip(sizes).take(SEGMENTS_PER_PURGE) {
        let [oldest, next] = pair else { break };
        left -= bytes;
        if left < keep_bytes || !lies_below(&oldest.next_seqs, &next.next_seqs, floor) {
            break;
        }
        let wanted = reader.is_some_and(|(reader, limit_bytes)| {
            left < keep_bytes.saturating_add(*limit_bytes)
                && !is_read(&oldest.next_seqs, &next.next_seqs, reader.as_ref())
        });
        if wanted {
            break;
        }
        let name = segment::file_name(oldest.generation);
        disk.remove(&name).map_err(fault("remove", disk, &name))?;
        // Gone for every reader, whatever the directory's sync says.
        catalog.forget_oldest();
        // One sync per segment: the names must go in order, or a power cut could leave a gap.
        disk.sync_directory().map_err(fault("sync the directory of", disk, &name))?;
        summary.segments += 1;
        summary.bytes += bytes;
    }
    Ok(summary)
}

fn measure(disk: &dyn Disk, generation: u64) -> Result<u64, JournalError> {
    let name = segment::file_name(generation);
    disk.open(&name).and_then(|file| file.bytes()).map_err(fault("measure", disk, &name))
}

fn fault(action: &'static str, disk: &dyn Disk, name: &str) -> impl FnOnce(io::Error) -> JournalError {
    let path = disk.path(name);
    move |source| JournalError::Io { action, path, source }
}

/// Whether the reader is done with a segment.
fn is_read(begins: &[u64], ends: &[u64], reader: &dyn HistoryReader) -> bool {
    (0..)
        .map(ShardId)
        .zip(begins.iter().zip(ends))
        .all(|(shard, (begin, end))| begin == end || *end <= reader.needs_from(shard))
}

/// Whether a segment, from its shards' sequence numbers to those of the next, has no record at or above `floor`.
fn lies_below(begins: &[u64], ends: &[u64], floor: &BTreeMap<ShardId, u64>) -> bool {
    (0..)
        .map(ShardId)
        .zip(begins.iter().zip(ends))
        .all(|(shard, (begin, end))| begin == end || floor.get(&shard).is_some_and(|floor| end <= floor))
}
