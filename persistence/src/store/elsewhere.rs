//! A data directory whose journal is elsewhere: a lock, a meta file, a secret and the snapshots are all it has. Snapshots
//! that are behind are no fault, the journal has the rest; an empty directory is filled by a replay of all of it. Where the
//! journal does not reach back so far, the snapshots come from a copy elsewhere.
//!
//! Invariant: what opens fits together. The directory is of the store whose journal that is, it has no journal of its own
//! that would be left unread, no snapshot is ahead of the journal, and the journal goes on where the snapshots end.

use std::{collections::BTreeMap, error::Error, path::Path, sync::Arc};

use holdfast_core::{ShardCount, ShardId};

use super::{
    JOURNAL_DIR, Meta, Recovery, Replica, SNAPSHOT_DIR, Store, StoreError, StoreId, StoreOptions, Witness, atomic_file,
    create, io_error,
    lock::DirectoryLock,
    meta, refuse_foreign, restore, secret,
    snapshots::{MISSING, Old, UNFINISHED, describe, move_aside, open_checked},
};
use crate::{
    journal::{Journal, JournalError, SegmentJournal},
    snapshot::{SledSnapshots, SnapshotSource},
};

/// Why snapshots that are intact are not used.
const BEHIND: &str = "they end before the first record the journal still has";

/// A journal that is kept elsewhere, as it was found.
pub struct JournalElsewhere {
    /// The journal, ready to append.
    pub journal: Arc<dyn Journal>,
    /// Whether it reaches back to the first record of every shard.
    pub history_is_complete: bool,
}

impl Store {
    /// Opens the data directory at `dir`, making it if it is not there, for a journal elsewhere: `known` is the store it is
    /// of, if it was begun. `open` is given the store and the number of shards, and opens it or begins it. `replica` has the
    /// snapshots that neither the directory nor the journal has; others may go on writing to it.
    ///
    /// # Errors
    /// [`StoreError`]; of `open` too, as [`StoreError::Elsewhere`].
    pub fn open_over<F>(
        dir: &Path,
        options: &StoreOptions,
        known: Option<StoreId>,
        replica: Option<&dyn Replica>,
        open: F,
    ) -> Result<Self, StoreError>
    where
        F: FnOnce(StoreId, ShardCount) -> Result<JournalElsewhere, Box<dyn Error + Send + Sync>>,
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
            None => create(dir, options, known.map_or_else(|| meta::new_id(dir), Ok)?)?,
        };
        if known.is_some_and(|known| known != meta.store) {
            return Err(StoreError::OtherStore { path: meta::path(dir) });
        }
        if options.refuses(meta.shards) {
            let (found, configured) = (meta.shards.get(), options.shards);
            return Err(StoreError::ShardCount { path: meta::path(dir), found, configured });
        }
        let secret = secret::read(dir)?;
        let found = open(meta.store, meta.shards).map_err(StoreError::Elsewhere)?;
        let dir = dir.join(SNAPSHOT_DIR);
        let (snapshots, rebuilt) = Opening { dir: &dir, meta, options, found: &found, replica }.open()?;
        snapshots.keep(lock);
        let recoveries: Vec<_> = rebuilt.into_iter().collect();
        for recovery in &recoveries {
            tracing::warn!(%recovery, "put right while opening the data directory");
        }
        let (journal, snapshots, id, shards) = (found.journal, Arc::new(snapshots), meta.store, meta.shards);
        Ok(Self { journal, snapshots, id, shards, secret, recoveries })
    }
}

/// What snapshots are opened with.
struct Opening<'a> {
    dir: &'a Path,
    meta: Meta,
    options: &'a StoreOptions,
    found: &'a JournalElsewhere,
    replica: Option<&'a dyn Replica>,
}

impl Opening<'_> {
    /// Opens the snapshots, or begins with none where the journal can rebuild them, or has them fetched.
    fn open(&self) -> Result<(SledSnapshots, Option<Recovery>), StoreError> {
        let dir = self.dir;
        let is_unfinished = restore::is_unfinished(dir);
        let has_files = dir.exists() && !is_unfinished;
        let contents = if has_files { open_checked(dir, self.meta, self.options) } else { Ok(None) };
        let (reason, old) = match contents {
            _ if is_unfinished => (UNFINISHED.to_owned(), Old::Removed),
            Ok(Some(snapshots)) => {
                self.refuse_ahead(&snapshots)?;
                if self.gap_behind(&snapshots)?.is_none() {
                    return Ok((snapshots, None));
                }
                (BEHIND.to_owned(), Old::Aside)
            }
            Ok(None) => (MISSING.to_owned(), Old::None),
            Err(error) if error.is_damage() => (describe(&error), Old::Aside),
            Err(error) => return Err(error.into()),
        };
        if self.found.history_is_complete {
            return self.begin_empty(reason, old);
        }
        self.fetch(reason, old)
    }

    /// No snapshots: the journal has everything.
    fn begin_empty(&self, reason: String, old: Old) -> Result<(SledSnapshots, Option<Recovery>), StoreError> {
        let has_records = self.meta.shards.iter().any(|shard| self.found.journal.next_seq(shard) > 1);
        let moved_to = self.clear(old)?;
        restore::finish(self.dir)?;
        let snapshots = SledSnapshots::open(self.dir, self.options.snapshots)?;
        snapshots.claim(self.meta.store)?;
        let is_news = has_records || moved_to.is_some();
        Ok((snapshots, is_news.then_some(Recovery::SnapshotsRebuilt { reason, moved_to })))
    }

    /// The snapshots of the copy elsewhere, if the journal goes on where they end.
    fn fetch(&self, reason: String, old: Old) -> Result<(SledSnapshots, Option<Recovery>), StoreError> {
        let path = self.dir.to_path_buf();
        let Some(replica) = self.replica else {
            return Err(StoreError::SnapshotsLost { path, reason, replica: None });
        };
        let mut witness = Witness::ask(replica);
        if let Some(silence) = witness.take_silence() {
            return Err(StoreError::SnapshotsLost { path, reason, replica: Some(silence) });
        }
        witness.refuse_foreign(self.dir, self.meta.store)?;
        if !witness.has_records() {
            return Err(StoreError::SnapshotsLost { path, reason, replica: None });
        }
        // Of one instant, whoever writes meanwhile.
        let source = replica.snapshots();
        if let Some((shard, watermark, first)) = self.gap_behind(source)? {
            let replica = replica.name();
            return Err(StoreError::ReplicaTooOld { path, reason, replica, shard, watermark, first });
        }
        let moved_to = self.clear(old)?;
        let (snapshots, entities) = restore::fetch(self.dir, self.meta, self.options, source)?;
        let replica = replica.name();
        Ok((snapshots, Some(Recovery::SnapshotsFetched { reason, moved_to, replica, entities })))
    }

    fn clear(&self, old: Old) -> Result<Option<std::path::PathBuf>, StoreError> {
        match old {
            Old::None => Ok(None),
            Old::Aside => move_aside(self.dir).map(Some),
            Old::Removed => restore::discard(self.dir).map(|()| None),
        }
    }

    /// Refuses snapshots that speak of records the journal does not have: the journal lost its end, or they are another's.
    fn refuse_ahead(&self, snapshots: &SledSnapshots) -> Result<(), StoreError> {
        for shard in self.meta.shards.iter() {
            let (watermark, next_seq) = (snapshots.watermark(shard)?, self.found.journal.next_seq(shard));
            if watermark >= next_seq {
                let path = self.dir.to_path_buf();
                return Err(StoreError::SnapshotsAhead { path, shard, watermark, next_seq });
            }
        }
        Ok(())
    }

    /// A shard whose snapshots end before the journal's first record, where they end, and that record.
    fn gap_behind(&self, snapshots: &dyn SnapshotSource) -> Result<Option<(ShardId, u64, u64)>, StoreError> {
        if self.found.history_is_complete {
            return Ok(None);
        }
        let mut from = BTreeMap::new();
        for shard in self.meta.shards.iter() {
            from.insert(shard, snapshots.watermark(shard)? + 1);
        }
        match self.found.journal.follow(&from) {
            Ok(_) => Ok(None),
            Err(JournalError::Purged { shard, from, first }) => Ok(Some((shard, from - 1, first))),
            Err(error) => Err(StoreError::Journal(error)),
        }
    }
}

impl std::fmt::Debug for JournalElsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalElsewhere")
            .field("history_is_complete", &self.history_is_complete)
            .finish_non_exhaustive()
    }
}
