//! Opening the snapshots beside the journal: they must fit it, and if they are missing or damaged they start over, as long
//! as the journal still reaches back to the beginning.

use std::path::{Path, PathBuf};

use super::{Recovery, StoreError, StoreOptions, atomic_file, io_error, meta::Meta};
use crate::{
    journal::{Journal as _, SegmentJournal, VerifyOnOpen},
    snapshot::{Contents, SledSnapshots, SnapshotError, SnapshotStore as _},
};

const MISSING: &str = "there are none although the journal has records";

/// Opens the snapshots in `dir`, starting over where that is possible and needed.
pub(super) fn open(
    dir: &Path,
    meta: Meta,
    journal: &SegmentJournal,
    options: &StoreOptions,
) -> Result<(SledSnapshots, Option<Recovery>), StoreError> {
    let reason = match open_checked(dir, meta, options) {
        Ok((snapshots, Contents::Ours)) => {
            refuse_snapshots_ahead(dir, meta, journal, &snapshots)?;
            return Ok((snapshots, None));
        }
        Ok((snapshots, Contents::Nothing)) if !journal.has_records() => {
            snapshots.claim(meta.store)?;
            return Ok((snapshots, None));
        }
        Ok((snapshots, Contents::Nothing)) if journal.history_is_complete() => {
            snapshots.claim(meta.store)?;
            return Ok((snapshots, Some(Recovery::SnapshotsRebuilt { reason: MISSING.to_owned(), moved_to: None })));
        }
        Ok((_, Contents::Nothing)) => MISSING.to_owned(),
        Err(error) if error.is_damage() => describe(&error),
        Err(error) => return Err(error.into()),
    };
    if !journal.history_is_complete() {
        return Err(StoreError::SnapshotsLost { path: dir.to_path_buf(), reason });
    }
    let moved_to = move_aside(dir)?;
    let snapshots = SledSnapshots::open(dir, options.snapshots)?;
    snapshots.claim(meta.store)?;
    Ok((snapshots, Some(Recovery::SnapshotsRebuilt { reason, moved_to: Some(moved_to) })))
}

fn open_checked(dir: &Path, meta: Meta, options: &StoreOptions) -> Result<(SledSnapshots, Contents), SnapshotError> {
    let snapshots = SledSnapshots::open(dir, options.snapshots)?;
    let contents = snapshots.contents(meta.store)?;
    if options.journal.verify_on_open == VerifyOnOpen::Whole {
        snapshots.verify()?;
    }
    Ok((snapshots, contents))
}

fn refuse_snapshots_ahead(
    dir: &Path,
    meta: Meta,
    journal: &SegmentJournal,
    snapshots: &SledSnapshots,
) -> Result<(), StoreError> {
    for shard in meta.shards.iter() {
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
