//! Makes a journal directory ready to be written after whatever ended the last process: cuts the torn tail, removes
//! leftovers, and says where the journal goes on.
//!
//! Invariants: nothing is changed before the whole survey succeeded and nobody who saw it objected, and then only bytes
//! that were never acknowledged. What is cut is copied aside first, if there is room: a last frame that was acknowledged and
//! went bad where no watermark covers it looks like an unfinished write, and somebody may want to look at it.

use std::{path::PathBuf, sync::Arc};

use holdfast_core::planted;

use super::{
    JournalError, JournalOptions,
    disk::{Disk, SegmentFile},
    prepare::{Spare, is_no_space, write_zeros},
    segment::{self, Header},
    survey::{Begun, Survey, TornTail},
};

/// The segment that is being written.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) file: Arc<dyn SegmentFile>,
    pub(super) generation: u64,
    /// Where the next frame goes, in bytes.
    pub(super) offset: u64,
    /// The file's length, in bytes.
    pub(super) capacity: u64,
}

/// Where the journal goes on.
#[derive(Debug)]
pub(super) struct Recovered {
    /// Headers of all begun segments, oldest first.
    pub(super) begun: Vec<Header>,
    pub(super) active: Option<Active>,
    pub(super) spare: Option<Spare>,
    pub(super) next_generation: u64,
    pub(super) next_lsn: u64,
    pub(super) next_seqs: Vec<u64>,
    pub(super) torn: Option<TornTail>,
}

/// Puts right what may be of what the survey found.
pub(super) fn recover(disk: &dyn Disk, mut found: Survey, options: &JournalOptions) -> Result<Recovered, JournalError> {
    remove_leftovers(disk, &found)?;
    if let (Some(torn), Some(last)) = (&mut found.torn, found.begun.last()) {
        torn.kept_in = keep_copy(disk, last, torn)?;
    }
    let active = match found.begun.last() {
        Some(last) => Some(reopen(last, &found, options)?),
        None => None,
    };
    let spare = found.spare.take().map(|spare| Spare {
        file: spare.segment.file,
        generation: spare.header.generation,
        capacity: spare.segment.file_bytes,
    });
    let newest = spare.as_ref().map(|spare| spare.generation).or(active.as_ref().map(|active| active.generation));
    Ok(Recovered {
        begun: found.begun.into_iter().map(|begun| begun.header).collect(),
        active,
        spare,
        next_generation: newest.map_or(1, |newest| newest + 1),
        next_lsn: found.next_lsn,
        next_seqs: found.next_seqs,
        torn: found.torn,
    })
}

fn remove_leftovers(disk: &dyn Disk, found: &Survey) -> Result<(), JournalError> {
    let preparing = disk
        .list()
        .map_err(|source| JournalError::Io { action: "list", path: disk.path(""), source })?
        .into_iter()
        .find(|name| name == segment::PREPARING);
    for name in preparing.iter().chain(&found.stillborn) {
        disk.remove(name).map_err(|source| JournalError::Io { action: "remove", path: disk.path(name), source })?;
    }
    Ok(())
}

/// Copies what is to be cut into the first free `segment-N.journal.torn-N`. None when the disk has no room: a disk that was
/// filled up must not keep a node from starting, and the log says that there is no copy.
fn keep_copy(disk: &dyn Disk, last: &Begun, torn: &TornTail) -> Result<Option<PathBuf>, JournalError> {
    let names = disk.list().map_err(|source| JournalError::Io { action: "list", path: disk.path(""), source })?;
    let segment = segment::file_name(last.header.generation);
    let free = (1_u32..=u32::MAX).map(|n| format!("{segment}.torn-{n}")).find(|name| !names.contains(name));
    let name = free.unwrap_or_else(|| format!("{segment}.torn"));
    let bytes = last.segment.read(torn.offset, usize::try_from(torn.bytes).unwrap_or(usize::MAX))?;
    let copied = disk.create(&name).and_then(|file| {
        file.write_at(&bytes, 0)?;
        file.sync_data()?;
        disk.sync_directory()
    });
    match copied {
        Ok(()) => Ok(Some(disk.path(&name))),
        Err(source) => {
            let error = JournalError::Io { action: "keep a copy in", path: disk.path(&name), source };
            if !is_no_space(&error) {
                return Err(error);
            }
            tracing::warn!(%error, %torn, "no room for a copy of what is cut off");
            // What little was written gives its room back; if not, it is a short copy.
            let _ = disk.remove(&name);
            Ok(None)
        }
    }
}

/// Makes the last begun segment ready for its next frame: zeros behind its end, its full length, and its last frame
/// durable for certain. If the last process ended because a sync failed, the kernel may show that frame from memory and
/// never write it; so what was last written is written again, byte for byte, and synced.
fn reopen(last: &Begun, found: &Survey, options: &JournalOptions) -> Result<Active, JournalError> {
    let segment = &last.segment;
    let capacity = segment.file_bytes.max(options.segment_bytes);
    let len = usize::try_from(found.end - found.last_frame).unwrap_or(usize::MAX);
    let written_last = segment.read(found.last_frame, len)?;
    let torn_bytes = found.torn.as_ref().map_or(0, |torn| torn.bytes);
    segment
        .file
        .write_at(if planted!(PageCacheTrusted) { &[] } else { &written_last }, found.last_frame)
        .and_then(|()| write_zeros(&*segment.file, found.end, found.end + torn_bytes, &|_| {}))
        .and_then(|()| write_zeros(&*segment.file, segment.file_bytes, capacity, &|_| {}))
        .map_err(|source| segment.io("write", source))?;
    segment.file.sync_data().map_err(|source| segment.io("sync", source))?;
    let end = if planted!(TornTailKept) { found.end + torn_bytes } else { found.end };
    Ok(Active { file: segment.file.clone(), generation: last.header.generation, offset: end, capacity })
}
