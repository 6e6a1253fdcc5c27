//! Opening the snapshots beside the journal: they must fit it, and if they are missing or damaged they start over, as long
//! as the journal still reaches back to the beginning; or come from a copy elsewhere that reaches the journal's first record.
//!
//! Invariant: whatever is refused is refused while the journal is only surveyed, before its torn tail is cut.

use std::path::{Path, PathBuf};

use holdfast_core::{ShardCount, ShardId};

use super::{
    Meta, Reach, Recovery, Restored, SecretOrigin, StoreError, StoreOptions, Witness, atomic_file, io_error, restore,
};
use crate::{
    journal::{Journal, SurveyedJournal, VerifyOnOpen},
    snapshot::{Contents, SledSnapshots, SnapshotError, SnapshotStore},
};

pub(super) const MISSING: &str = "there are none although the journal has records";
pub(super) const UNFINISHED: &str = "they were being fetched when the process ended";

/// Snapshots that may be opened beside the journal, before anything is put right.
pub(super) enum Checked {
    /// They fit the journal.
    Fitting(Box<SledSnapshots>),
    /// There are none, and the journal has no record: nothing is missing.
    New,
    /// They are missing or unusable.
    Unusable {
        /// What is wrong with them.
        reason: String,
        /// What becomes of the files there are.
        old: Old,
        /// Whether they come from the copy elsewhere; otherwise the journal rebuilds them.
        fetched: bool,
    },
}

/// What becomes of the files of unusable snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    /// There are none, or an empty database.
    None,
    /// They are moved aside: somebody may want to look at them.
    Aside,
    /// They are removed: a copy that was not finished.
    Removed,
}

/// What snapshots are opened with.
pub(super) struct Beside<'a> {
    /// Their directory.
    pub(super) dir: &'a Path,
    pub(super) meta: Meta,
    pub(super) options: &'a StoreOptions,
    /// The copy elsewhere, if there is to be one.
    pub(super) witness: Option<Witness<'a>>,
}

impl Beside<'_> {
    /// Compares the snapshots with what the journal was found to hold. Refuses what does not fit.
    pub(super) fn check(&mut self, journal: &SurveyedJournal) -> Result<Checked, StoreError> {
        let Self { dir, meta, options, .. } = *self;
        // The journal's first segment is made before the snapshots' directory: here nothing is made.
        let unfinished = restore::is_unfinished(dir);
        let contents = if dir.exists() && !unfinished { open_checked(dir, meta, options) } else { Ok(None) };
        let (reason, old) = match contents {
            _ if unfinished => (UNFINISHED.to_owned(), Old::Removed),
            Ok(Some(snapshots)) => {
                refuse_snapshots_ahead(dir, meta.shards, journal, &snapshots)?;
                return Ok(Checked::Fitting(Box::new(snapshots)));
            }
            Ok(None) if !journal.has_records() => return Ok(Checked::New),
            Ok(None) => (MISSING.to_owned(), Old::None),
            Err(error) if error.is_damage() => (describe(&error), Old::Aside),
            Err(error) => return Err(error.into()),
        };
        let fetched = !journal.history_is_complete();
        if fetched {
            self.refuse_unfetchable(journal, &reason)?;
        }
        Ok(Checked::Unusable { reason, old, fetched })
    }

    /// Refuses snapshots that neither the journal nor the copy elsewhere can replace.
    fn refuse_unfetchable(&mut self, journal: &SurveyedJournal, reason: &str) -> Result<(), StoreError> {
        let (path, reason) = (self.dir.to_path_buf(), reason.to_owned());
        let Some(witness) = self.witness.as_mut().filter(|witness| !matches!(witness.answer, Ok(None))) else {
            return Err(StoreError::SnapshotsLost { path, reason, replica: None });
        };
        if let Some(replica) = witness.take_silence() {
            return Err(StoreError::SnapshotsLost { path, reason, replica: Some(replica) });
        }
        match witness.gap_before(journal) {
            None => Ok(()),
            Some((shard, watermark, first)) => {
                let replica = witness.replica.name();
                Err(StoreError::ReplicaTooOld { path, reason, replica, shard, watermark, first })
            }
        }
    }

    /// Opens the snapshots, starting over where that is needed. To be called once the journal is open.
    pub(super) fn open(&self, checked: Checked) -> Result<(SledSnapshots, Option<Recovery>), StoreError> {
        let Self { dir, meta, options, witness } = self;
        let (reason, old, fetched) = match checked {
            Checked::Fitting(snapshots) => return Ok((*snapshots, None)),
            Checked::New => return Ok((self.begin_empty()?, None)),
            Checked::Unusable { reason, old, fetched } => (reason, old, fetched),
        };
        let moved_to = match old {
            Old::None => None,
            Old::Aside => Some(move_aside(dir)?),
            Old::Removed => {
                restore::discard(dir)?;
                None
            }
        };
        let Some(witness) = witness.as_ref().filter(|_| fetched) else {
            restore::finish(dir)?;
            return Ok((self.begin_empty()?, Some(Recovery::SnapshotsRebuilt { reason, moved_to })));
        };
        let (snapshots, entities) = restore::fetch(dir, *meta, options, witness.replica.snapshots())?;
        let replica = witness.replica.name();
        Ok((snapshots, Some(Recovery::SnapshotsFetched { reason, moved_to, replica, entities })))
    }

    fn begin_empty(&self) -> Result<SledSnapshots, StoreError> {
        let snapshots = SledSnapshots::open(self.dir, self.options.snapshots)?;
        snapshots.claim(self.meta.store)?;
        Ok(snapshots)
    }

    /// What to say of a directory that was empty.
    pub(super) fn restored(
        &self,
        journal: &dyn Journal,
        snapshots: Option<&Recovery>,
        secret: SecretOrigin,
    ) -> Recovery {
        let entities = match snapshots {
            Some(Recovery::SnapshotsFetched { entities, .. }) => *entities,
            _ => 0,
        };
        let watermarks = self.witness.as_ref().and_then(Witness::held).map(|held| held.watermarks.as_slice());
        let reach = |shard: ShardId| Reach {
            replica: watermarks.and_then(|all| all.get(usize::from(shard.0))).copied().unwrap_or(0),
            journal: journal.next_seq(shard).saturating_sub(1),
        };
        let shards = self.meta.shards.iter().map(reach).collect();
        let replica = self.witness.as_ref().map(|witness| witness.replica.name()).unwrap_or_default();
        Recovery::Restored(Restored { replica, entities, shards, secret })
    }
}

/// Opens the snapshots in `dir` and looks at them; `None` when there are none.
pub(super) fn open_checked(
    dir: &Path,
    meta: Meta,
    options: &StoreOptions,
) -> Result<Option<SledSnapshots>, SnapshotError> {
    let snapshots = SledSnapshots::open(dir, options.snapshots)?;
    let contents = snapshots.contents(meta.store)?;
    if options.journal.verify_on_open == VerifyOnOpen::Whole {
        snapshots.verify()?;
    }
    Ok((contents == Contents::Ours).then_some(snapshots))
}

/// Refuses snapshots that speak of records the journal does not have: one of the two is an older copy.
pub(super) fn refuse_snapshots_ahead(
    dir: &Path,
    shards: ShardCount,
    journal: &SurveyedJournal,
    snapshots: &dyn SnapshotStore,
) -> Result<(), StoreError> {
    for shard in shards.iter() {
        let (watermark, next_seq) = (snapshots.watermark(shard)?, journal.next_seq(shard));
        if watermark >= next_seq {
            return Err(StoreError::SnapshotsAhead { path: dir.to_path_buf(), shard, watermark, next_seq });
        }
    }
    Ok(())
}

/// Renames the directory to the first free `snapshots.damaged-N`, so that nothing is destroyed.
pub(super) fn move_aside(dir: &Path) -> Result<PathBuf, StoreError> {
    let free = (1_u32..=u32::MAX).map(|n| dir.with_extension(format!("damaged-{n}"))).find(|path| !path.exists());
    let aside = free.unwrap_or_else(|| dir.with_extension("damaged"));
    std::fs::rename(dir, &aside).map_err(io_error("move aside", dir))?;
    atomic_file::sync_directory(dir.parent().unwrap_or(dir))?;
    Ok(aside)
}

/// The error and what caused it, in one line.
pub(super) fn describe(error: &SnapshotError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}
