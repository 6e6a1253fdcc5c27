//! Begins a journal that goes on where another one was lost: its first record follows what a copy elsewhere contains.
//!
//! Invariant: the first segment says so in its header, durably, before anything else relies on it. Nothing of an earlier
//! journal may be there; a segment that was made and never begun is replaced.

use super::{
    JournalError,
    disk::Disk,
    prepare::{self, Identity},
    segment::{self, Header},
};

/// The number of the record with which a journal begins whose shards go on at `next_seqs`.
pub(super) fn first_lsn(next_seqs: &[u64]) -> u64 {
    1 + next_seqs.iter().map(|next_seq| next_seq - 1).sum::<u64>()
}

/// Makes the first segment of a journal whose shards go on at `next_seqs`, and begins it.
pub(super) fn begin_at(
    disk: &dyn Disk,
    identity: Identity,
    next_seqs: Vec<u64>,
    segment_bytes: u64,
) -> Result<(), JournalError> {
    let generation = 1;
    let spare = prepare::make_spare(disk, identity, generation, segment_bytes, &|_| {})?;
    let header = Header { store: identity.store, generation, first_lsn: first_lsn(&next_seqs), next_seqs };
    let begun = spare.file.write_at(&header.encode(), 0).and_then(|()| spare.file.sync_data());
    begun.map_err(|source| JournalError::Io {
        action: "begin",
        path: disk.path(&segment::file_name(generation)),
        source,
    })
}
