//! Fills a data directory from a replica: the identity of a directory that is empty, the journal's beginning, and the
//! snapshots.
//!
//! Invariant: a mark stands beside snapshots that are being fetched until they are whole and durable, and snapshots beside
//! a mark are not used; the meta file of a restored directory is written last. So an interrupted restoration is simply
//! repeated.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use holdfast_core::ShardId;

use super::{Held, Meta, ReplicaError, StoreError, StoreOptions, Witness, atomic_file, io_error, meta};
use crate::{
    journal::SurveyedJournal,
    snapshot::{EncodedSnapshot, SledSnapshots, SnapshotError, SnapshotSource, SnapshotStore as _, encode_snapshot},
};

/// The ending of the mark's name.
const MARK: &str = "fetching";
/// Snapshots written, and synced, at once: in number.
const BATCH: usize = 8_192;

/// The mark beside snapshots that are being fetched into `dir`.
fn mark(dir: &Path) -> PathBuf {
    dir.with_extension(MARK)
}

/// Whether the snapshots in `dir` were being fetched when the process ended.
pub(super) fn is_unfinished(dir: &Path) -> bool {
    mark(dir).exists()
}

/// Removes snapshots whose fetching was not finished.
pub(super) fn discard(dir: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", dir)(error)),
        _ => Ok(()),
    }
}

/// The snapshots in `dir` are whole: takes the mark away.
pub(super) fn finish(dir: &Path) -> Result<(), StoreError> {
    let mark = mark(dir);
    match fs::remove_file(&mark) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error("remove", &mark)(error)),
        Ok(()) => atomic_file::sync_directory(dir.parent().unwrap_or(dir)),
    }
}

/// The identity of an empty directory, from a replica that now is this process's own. With a journal (`has_journal`) it is
/// the journal's; without one the store gets a new name, so that the disk that was lost is refused if it turns up again.
pub(super) fn adopt(
    dir: &Path,
    options: &StoreOptions,
    witness: &mut Witness<'_>,
    has_journal: bool,
) -> Result<Option<Meta>, StoreError> {
    let Some(Held { store, shards, .. }) = witness.held() else { return Ok(None) };
    let (store, shards, replica) = (*store, *shards, witness.replica);
    // Refused before it is taken from anybody.
    if options.refuses(shards) {
        let (replica, found, configured) = (replica.name(), shards.get(), options.shards);
        return Err(StoreError::ReplicaShardCount { replica, found, configured });
    }
    let successor = if has_journal { store } else { meta::new_id(dir)? };
    let explain = |source| StoreError::Replica { path: dir.to_path_buf(), source };
    replica.take_over(store, successor).map_err(explain)?;
    // What the owner before wrote up to its last moment counts as well.
    let held = replica.held().map_err(explain)?;
    let Some(held) = held.filter(|held| held.store == successor) else {
        let (replica, what) = (replica.name(), "the store it had is gone".to_owned());
        return Err(explain(ReplicaError::Inconsistent { replica, what }));
    };
    witness.answer = Ok(Some(held));
    Ok(Some(Meta { store: successor, shards }))
}

/// Begins the journal of a restored directory behind what the replica contains, unless there is one.
pub(super) fn begin(journal: SurveyedJournal, witness: &Witness<'_>) -> Result<SurveyedJournal, StoreError> {
    match witness.held() {
        Some(held) if journal.is_unbegun() && witness.has_records() => {
            let next_seqs = held.watermarks.iter().map(|watermark| watermark + 1).collect();
            Ok(journal.begin_at(next_seqs)?)
        }
        _ => Ok(journal),
    }
}

/// Fetches every snapshot and watermark of `source` into `dir`, where nothing may be. Also gives how many entities there were.
pub(super) fn fetch(
    dir: &Path,
    meta: Meta,
    options: &StoreOptions,
    source: &dyn SnapshotSource,
) -> Result<(SledSnapshots, u64), StoreError> {
    let mark = mark(dir);
    let name = mark.file_name().and_then(|name| name.to_str()).unwrap_or(MARK);
    atomic_file::write(dir.parent().unwrap_or(dir), name, b"", 0o644)?;
    let snapshots = SledSnapshots::open(dir, options.snapshots)?;
    let mut entities = 0;
    for shard in meta.shards.iter() {
        entities += fetch_shard(shard, source, &snapshots).map_err(|error| {
            let source = ReplicaError::Snapshot(error);
            StoreError::Replica { path: dir.to_path_buf(), source }
        })?;
    }
    snapshots.claim(meta.store)?;
    finish(dir)?;
    Ok((snapshots, entities))
}

fn fetch_shard(shard: ShardId, source: &dyn SnapshotSource, target: &SledSnapshots) -> Result<u64, SnapshotError> {
    let mut batch: Vec<EncodedSnapshot> = Vec::with_capacity(BATCH);
    let (mut entities, mut fault) = (0, None);
    source.scan(shard, &mut |_, _, state| {
        if fault.is_some() {
            return;
        }
        match encode_snapshot(&state.as_ref()) {
            Ok(encoded) => batch.push(encoded),
            Err(error) => fault = Some(SnapshotError::from(error)),
        }
        entities += 1;
        if batch.len() == BATCH {
            fault = fault.take().or_else(|| target.write(shard, &batch).err());
            batch.clear();
        }
    })?;
    fault.map_or(Ok(()), Err)?;
    target.write(shard, &batch)?;
    let watermark = source.watermark(shard)?;
    if watermark > 0 {
        target.set_watermark(shard, watermark)?;
    }
    Ok(entities)
}
