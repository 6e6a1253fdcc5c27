//! Compares the snapshots of a data directory with what its journal leads to, entity by entity.
//!
//! What it shows: every snapshot is the state that its entity's records give at that version, and the snapshots contain
//! everything up to their watermarks. So a recovery from snapshots and the journal's tail comes to what the whole journal
//! comes to. It takes the directory's lock, changes no journal file, and needs memory for every entity twice.

use std::{collections::BTreeMap, ops::ControlFlow, path::Path};

use holdfast_core::{EntityId, ShardCount, ShardId};

use super::{DirectoryLock, JOURNAL_DIR, Meta, SNAPSHOT_DIR, StoreError};
use crate::{
    codec::CodecError,
    journal::{JournalError, JournalReader, RecordInfo},
    record::Record,
    snapshot::{Contents, SledSnapshots, SnapshotError, SnapshotOptions, SnapshotSource as _},
    state::{AdvanceError, EntityState},
};

/// What was compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Audit {
    /// Records of the journal, in number.
    pub records: u64,
    /// Entities they lead to, in number.
    pub entities: u64,
    /// Snapshots, each of them found to be what its entity's records give, in number.
    pub snapshots: u64,
}

/// Snapshots and journal do not fit, or cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The data directory cannot be looked at.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The snapshots cannot be read.
    #[error(transparent)]
    Snapshots(#[from] SnapshotError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The first part of the journal was purged, so that what led to the snapshots is not known.
    #[error("the journal begins at record {first}: what came before was purged, and only the snapshots have it")]
    Purged {
        /// The first record there is, over all shards.
        first: u64,
    },
    /// A record cannot be read.
    #[error("record {lsn} cannot be read")]
    Record {
        /// Its number over all shards.
        lsn: u64,
        /// Why.
        #[source]
        source: CodecError,
    },
    /// A record does not follow the one before it.
    #[error("record {lsn} does not follow")]
    Follows {
        /// Its number over all shards.
        lsn: u64,
        /// Why.
        #[source]
        source: AdvanceError,
    },
    /// A snapshot is not what the journal leads to.
    #[error("the snapshot of {entity} at version {version} is not what its records lead to")]
    Differs {
        /// Whose.
        entity: EntityId,
        /// Its version.
        version: u64,
    },
    /// A snapshot has a version that the journal does not lead to.
    #[error("the snapshot of {entity} is at version {version}, which the journal does not reach")]
    Ahead {
        /// Whose.
        entity: EntityId,
        /// Its version.
        version: u64,
    },
    /// The snapshots lack a record that their watermark says they contain.
    #[error(
        "record {seq} of shard {} made version {version} of {entity}, the watermark is {watermark}, but the snapshot has not got it",
        shard.0
    )]
    Missing {
        /// The shard.
        shard: ShardId,
        /// The record's number within the shard.
        seq: u64,
        /// Whose record it is.
        entity: EntityId,
        /// The version it made.
        version: u64,
        /// The shard's watermark.
        watermark: u64,
    },
}

/// The comparison under way.
struct Auditor {
    /// Snapshots, with their versions; each is let go once it was compared.
    snapshots: BTreeMap<EntityId, EntityState>,
    versions: BTreeMap<EntityId, u64>,
    watermarks: Vec<u64>,
    /// What the records have led to so far.
    states: BTreeMap<EntityId, EntityState>,
    audit: Audit,
}

/// Compares the snapshots in the data directory `dir` with its journal.
pub(super) fn audit(dir: &Path) -> Result<Audit, AuditError> {
    let meta = Meta::read(dir)?.ok_or_else(|| StoreError::NotAStore { path: dir.to_path_buf() })?;
    let _lock = DirectoryLock::take(dir)?;
    let mut auditor = Auditor::read(&dir.join(SNAPSHOT_DIR), meta)?;
    let mut outcome = Ok(());
    JournalReader::open(&dir.join(JOURNAL_DIR))?.records(&mut |info| {
        outcome = auditor.take_in(info);
        if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    outcome?;
    auditor.finish()
}

impl Auditor {
    fn read(dir: &Path, meta: Meta) -> Result<Self, AuditError> {
        let (mut snapshots, mut versions) = (BTreeMap::new(), BTreeMap::new());
        let shards: ShardCount = meta.shards;
        let mut watermarks = vec![0; usize::from(shards.get())];
        if dir.exists() {
            let store = SledSnapshots::open(dir, SnapshotOptions::default())?;
            if store.contents(meta.store)? == Contents::Ours {
                for (shard, watermark) in shards.iter().zip(&mut watermarks) {
                    *watermark = store.watermark(shard)?;
                    store.scan(shard, &mut |entity, version, state| {
                        versions.insert(entity.clone(), version);
                        snapshots.insert(entity, state);
                    })?;
                }
            }
        }
        let audit = Audit { snapshots: versions.len() as u64, ..Audit::default() };
        Ok(Self { snapshots, versions, watermarks, states: BTreeMap::new(), audit })
    }

    fn take_in(&mut self, info: RecordInfo) -> Result<(), AuditError> {
        let lsn = info.lsn;
        if self.audit.records == 0 && lsn > 1 {
            return Err(AuditError::Purged { first: lsn });
        }
        let record = info.record.map_err(|source| AuditError::Record { lsn, source })?;
        self.audit.records += 1;
        self.check_contained(info.shard, info.seq, &record)?;
        let vacant = || EntityState::before_anything(&record.entity);
        let state = self.states.entry(record.entity.clone()).or_insert_with(vacant);
        state.advance(&record).map_err(|source| AuditError::Follows { lsn, source })?;
        if self.versions.get(&record.entity) == Some(&record.version)
            && self.snapshots.remove(&record.entity).is_none_or(|snapshot| snapshot != *state)
        {
            return Err(AuditError::Differs { entity: record.entity, version: record.version });
        }
        Ok(())
    }

    /// Whether a snapshot contains the record, if the shard's watermark says so.
    fn check_contained(&self, shard: ShardId, seq: u64, record: &Record) -> Result<(), AuditError> {
        let watermark = self.watermarks.get(usize::from(shard.0)).copied().unwrap_or(0);
        let is_contained = self.versions.get(&record.entity).is_some_and(|version| *version >= record.version);
        if seq <= watermark && !is_contained {
            let (entity, version) = (record.entity.clone(), record.version);
            return Err(AuditError::Missing { shard, seq, entity, version, watermark });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Audit, AuditError> {
        if let Some((entity, state)) = self.snapshots.pop_first() {
            return Err(AuditError::Ahead { entity, version: state.version() });
        }
        self.audit.entities = self.states.len() as u64;
        Ok(self.audit)
    }
}
