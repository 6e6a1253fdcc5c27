//! Opening the snapshots beside the journal: they must fit it, and if they are missing or damaged they start over, as long
//! as the journal still reaches back to the beginning.
//!
//! Invariant: whatever is refused is refused while the journal is only surveyed, before its torn tail is cut.

use std::path::{Path, PathBuf};

use holdfast_core::ShardCount;

use super::{Recovery, StoreError, StoreOptions, atomic_file, io_error, meta::Meta};
use crate::{
    journal::{SurveyedJournal, VerifyOnOpen},
    snapshot::{Contents, SledSnapshots, SnapshotError, SnapshotStore},
};

const MISSING: &str = "there are none although the journal has records";

/// Snapshots that may be opened beside the journal, before anything is put right.
pub(super) enum Checked {
    /// They fit the journal.
    Fitting(Box<SledSnapshots>),
    /// There are none. `rebuild` is whether the journal has records they are to be rebuilt from.
    Empty { rebuild: bool },
    /// They are unusable and the journal can rebuild them.
    Damaged { reason: String },
}

/// Compares the snapshots in `dir` with what the journal was found to hold. Refuses what does not fit.
pub(super) fn check(
    dir: &Path,
    meta: Meta,
    journal: &SurveyedJournal,
    options: &StoreOptions,
) -> Result<Checked, StoreError> {
    // The journal's first segment is made before the snapshots' directory: here nothing is made.
    let contents = if dir.exists() { open_checked(dir, meta, options) } else { Ok(None) };
    let (checked, reason) = match contents {
        Ok(Some(snapshots)) => {
            refuse_snapshots_ahead(dir, meta.shards, journal, &snapshots)?;
            return Ok(Checked::Fitting(Box::new(snapshots)));
        }
        Ok(None) => (Checked::Empty { rebuild: journal.has_records() }, MISSING.to_owned()),
        Err(error) if error.is_damage() => {
            let reason = describe(&error);
            (Checked::Damaged { reason: reason.clone() }, reason)
        }
        Err(error) => return Err(error.into()),
    };
    if !journal.history_is_complete() {
        return Err(StoreError::SnapshotsLost { path: dir.to_path_buf(), reason });
    }
    Ok(checked)
}

impl Checked {
    /// Opens the snapshots in `dir`, starting over where that is needed. To be called once the journal is open.
    pub(super) fn open(
        self,
        dir: &Path,
        meta: Meta,
        options: &StoreOptions,
    ) -> Result<(SledSnapshots, Option<Recovery>), StoreError> {
        let rebuilt = match self {
            Self::Fitting(snapshots) => return Ok((*snapshots, None)),
            Self::Empty { rebuild } => {
                rebuild.then(|| Recovery::SnapshotsRebuilt { reason: MISSING.to_owned(), moved_to: None })
            }
            Self::Damaged { reason } => Some(Recovery::SnapshotsRebuilt { reason, moved_to: Some(move_aside(dir)?) }),
        };
        let snapshots = SledSnapshots::open(dir, options.snapshots)?;
        snapshots.claim(meta.store)?;
        Ok((snapshots, rebuilt))
    }
}

/// Opens the snapshots in `dir` and looks at them; `None` when there are none.
fn open_checked(dir: &Path, meta: Meta, options: &StoreOptions) -> Result<Option<SledSnapshots>, SnapshotError> {
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
fn move_aside(dir: &Path) -> Result<PathBuf, StoreError> {
    let free = (1_u32..=u32::MAX).map(|n| dir.with_extension(format!("damaged-{n}"))).find(|path| !path.exists());
    let aside = free.unwrap_or_else(|| dir.with_extension("damaged"));
    std::fs::rename(dir, &aside).map_err(io_error("move aside", dir))?;
    atomic_file::sync_directory(dir.parent().unwrap_or(dir))?;
    Ok(aside)
}

/// The error and what caused it, in one line.
fn describe(error: &SnapshotError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}
