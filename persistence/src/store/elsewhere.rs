//! A data directory whose journal is elsewhere: a lock, a meta file, a secret and the snapshots are all it has. Snapshots
//! that are behind are no fault, the journal has the rest; an empty directory is filled by a replay of all of it.
//!
//! Invariant: what opens fits together. The directory is of the store whose journal that is, it has no journal of its own
//! that would be left unread, and no snapshot is ahead of the journal.

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
};

use holdfast_core::ShardCount;

use super::{
    JOURNAL_DIR, Meta, Recovery, SNAPSHOT_DIR, Store, StoreError, StoreOptions, atomic_file, create, io_error,
    lock::DirectoryLock,
    meta, refuse_foreign, secret,
    snapshots::{MISSING, describe, move_aside, open_checked},
};
use crate::{
    journal::{Journal, SegmentJournal},
    snapshot::{SledSnapshots, SnapshotSource as _},
};

/// A journal that is kept elsewhere, as it was found.
pub struct JournalElsewhere {
    /// The journal, ready to append.
    pub journal: Arc<dyn Journal>,
    /// Whether it reaches back to the first record of every shard.
    pub history_is_complete: bool,
}

impl Store {
    /// Opens the data directory at `dir`, making it if it is not there, for a journal elsewhere: `known` is the store it is
    /// of, if it was begun. `open` is given the store and the number of shards, and opens it or begins it.
    ///
    /// # Errors
    /// [`StoreError`]; of `open` too, as [`StoreError::Elsewhere`].
    pub fn open_over<F>(
        dir: &Path,
        options: &StoreOptions,
        known: Option<[u8; 16]>,
        open: F,
    ) -> Result<Self, StoreError>
    where
        F: FnOnce([u8; 16], ShardCount) -> Result<JournalElsewhere, Box<dyn Error + Send + Sync>>,
    {
        options.validate()?;
        atomic_file::create_directory(dir).map_err(io_error("create", dir))?;
        refuse_foreign(dir, false)?;
        let lock = Arc::new(DirectoryLock::take(dir)?);
        let own_journal = dir.join(JOURNAL_DIR);
        if SegmentJournal::is_in(&own_journal) {
            return Err(StoreError::JournalHere { path: own_journal });
        }
        let meta = match Meta::read(dir)? {
            Some(meta) => meta,
            None => create(dir, options, known.map_or_else(|| secret::random(&meta::path(dir)), Ok)?)?,
        };
        if known.is_some_and(|known| known != meta.store) {
            return Err(StoreError::OtherStore { path: meta::path(dir) });
        }
        if meta.shards.get() != options.shards {
            let (found, configured) = (meta.shards.get(), options.shards);
            return Err(StoreError::ShardCount { path: meta::path(dir), found, configured });
        }
        let secret = secret::read(dir)?;
        let found = open(meta.store, meta.shards).map_err(StoreError::Elsewhere)?;
        let (snapshots, rebuilt) = open_snapshots(&dir.join(SNAPSHOT_DIR), meta, options, &found)?;
        snapshots.keep(lock);
        let recoveries: Vec<_> = rebuilt.into_iter().collect();
        for recovery in &recoveries {
            tracing::warn!(%recovery, "put right while opening the data directory");
        }
        let (journal, snapshots, id, shards) = (found.journal, Arc::new(snapshots), meta.store, meta.shards);
        Ok(Self { journal, snapshots, id, shards, secret, recoveries })
    }
}

/// Opens the snapshots in `dir`, or begins with none where the journal can rebuild them.
fn open_snapshots(
    dir: &Path,
    meta: Meta,
    options: &StoreOptions,
    found: &JournalElsewhere,
) -> Result<(SledSnapshots, Option<Recovery>), StoreError> {
    let has_records = meta.shards.iter().any(|shard| found.journal.next_seq(shard) > 1);
    let contents = if dir.exists() { open_checked(dir, meta, options) } else { Ok(None) };
    let (reason, is_damaged) = match contents {
        Ok(Some(snapshots)) => {
            refuse_ahead(dir, meta, found, &snapshots)?;
            return Ok((snapshots, None));
        }
        Ok(None) => (MISSING.to_owned(), false),
        Err(error) if error.is_damage() => (describe(&error), true),
        Err(error) => return Err(error.into()),
    };
    if !found.history_is_complete {
        return Err(StoreError::SnapshotsLost { path: dir.to_path_buf(), reason, replica: None });
    }
    let moved_to: Option<PathBuf> = is_damaged.then(|| move_aside(dir)).transpose()?;
    let snapshots = SledSnapshots::open(dir, options.snapshots)?;
    snapshots.claim(meta.store)?;
    let rebuilt = (has_records || is_damaged).then_some(Recovery::SnapshotsRebuilt { reason, moved_to });
    Ok((snapshots, rebuilt))
}

/// Refuses snapshots that speak of records the journal does not have: the journal lost its end, or they are another's.
fn refuse_ahead(dir: &Path, meta: Meta, found: &JournalElsewhere, snapshots: &SledSnapshots) -> Result<(), StoreError> {
    for shard in meta.shards.iter() {
        let (watermark, next_seq) = (snapshots.watermark(shard)?, found.journal.next_seq(shard));
        if watermark >= next_seq {
            return Err(StoreError::SnapshotsAhead { path: dir.to_path_buf(), shard, watermark, next_seq });
        }
    }
    Ok(())
}

impl std::fmt::Debug for JournalElsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalElsewhere")
            .field("history_is_complete", &self.history_is_complete)
            .finish_non_exhaustive()
    }
}
