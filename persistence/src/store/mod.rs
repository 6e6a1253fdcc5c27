//! The data directory: a lock, a meta file, a secret, the journal and the snapshots.
//!
//! ```text
//! data/
//!   lock                 one process at a time; holds its process id
//!   meta                 format, store id, number of shards; written last when the directory is made
//!   secret               32 random bytes, mode 0600
//!   journal/             segment files: the truth
//!   snapshots/           sled: rebuilt from the journal when damaged
//!   snapshots.fetching   a mark: they are on their way here from a copy elsewhere, and not whole yet
//! ```
//!
//! Invariant: what opens fits together. Journal and snapshots carry the store id of the meta file, the number of shards
//! is the one the directory was made with, and no snapshot is ahead of the journal, here or elsewhere.
//!
//! With a copy elsewhere (`replica`) a directory that is empty, or lost its snapshots, is restored from it (`restore`).

pub(crate) mod atomic_file;
mod audit;
mod elsewhere;
mod error;
mod id;
mod lock;
mod meta;
mod options;
mod recovery;
mod replica;
mod restore;
mod secret;
mod snapshots;
mod stepped;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use holdfast_core::ShardCount;

pub use audit::{Audit, AuditError};
pub use elsewhere::JournalElsewhere;
pub use error::StoreError;
pub use id::{StoreId, StoreIdError};
pub use options::{OptionError, StoreOptions};
pub use recovery::{Reach, Recovery, Restored, SecretOrigin};
pub use replica::{Held, Replica, ReplicaError};
pub use stepped::StoreParts;

use crate::{
    journal::{Journal, SegmentJournal, SurveyedJournal},
    snapshot::SnapshotStore,
};
use error::io_error;
use lock::DirectoryLock;
use meta::Meta;
use replica::Witness;
use snapshots::Beside;

/// An open data directory. It stays locked for as long as its journal or its snapshots are in use.
pub struct Store {
    /// The journal: the truth.
    pub journal: Arc<dyn Journal>,
    /// The snapshots: what shortens recovery.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// Whose directory it is: random, made with it, and anew when it is restored without a journal.
    pub id: StoreId,
    /// The number of shards the directory was made with.
    pub shards: ShardCount,
    /// What bearer tokens are derived from.
    pub secret: [u8; 32],
    /// What had to be put right while opening.
    pub recoveries: Vec<Recovery>,
}

impl Store {
    /// Opens the data directory at `dir`, making it if it is not there.
    ///
    /// # Errors
    /// [`StoreError`], naming the file and what to do. The journal's files are as they were then, unless the operating
    /// system failed while they were put right.
    pub fn open(dir: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        Self::open_beside(dir, options, None)
    }

    /// As [`Store::open`], with a copy of the store elsewhere: an empty directory is restored from it, snapshots that the
    /// journal cannot rebuild come from it, and a journal that lacks what it contains is refused. A directory that is whole
    /// opens without it as well, so that it may be down.
    ///
    /// # Errors
    /// As [`Store::open`]; and for an empty directory while the copy cannot be asked.
    pub fn open_beside(dir: &Path, options: &StoreOptions, replica: Option<&dyn Replica>) -> Result<Self, StoreError> {
        options.validate()?;
        atomic_file::create_directory(dir).map_err(io_error("create", dir))?;
        refuse_foreign(dir, replica.is_some())?;
        let lock = Arc::new(DirectoryLock::take(dir)?);
        let mut witness = replica.map(Witness::ask);
        let Identity { meta, restored } = identify(dir, options, witness.as_mut())?;
        let secret = secret::read(dir)?;
        let (journal_dir, snapshot_dir) = (dir.join(JOURNAL_DIR), dir.join(SNAPSHOT_DIR));
        // The journal's first segment is made before the snapshots' directory, so it was there once.
        let had_records = snapshot_dir.exists() || witness.as_ref().is_some_and(Witness::has_records);
        if restored.is_none() && had_records && !SegmentJournal::is_in(&journal_dir) {
            return Err(StoreError::JournalLost { path: journal_dir });
        }
        // All that can be refused is refused before the journal's torn tail is cut: a last frame gone bad looks torn,
        // and only watermarks, of the snapshots or of the copy elsewhere, tell that it was acknowledged.
        let mut surveyed = SurveyedJournal::look_over(&journal_dir, meta.store, meta.shards, options.journal.clone())?;
        if let Some(witness) = &witness {
            if restored.is_some() {
                surveyed = restore::begin(surveyed, witness)?;
            }
            witness.refuse_journal_behind(&journal_dir, &surveyed)?;
            witness.refuse_forked_journal(&journal_dir, &surveyed)?;
        }
        let mut beside = Beside { dir: &snapshot_dir, meta, options, witness };
        let checked = beside.check(&surveyed)?;
        let (journal, torn) = surveyed.open()?;
        let mut recoveries: Vec<_> = torn.into_iter().map(Recovery::TornTail).collect();
        let (snapshots, rebuilt) = beside.open(checked)?;
        if let Some(secret) = restored {
            recoveries.push(beside.restored(&journal, rebuilt.as_ref(), secret));
            meta.write(dir)?;
        } else {
            recoveries.extend(rebuilt);
        }
        journal.keep(lock.clone());
        snapshots.keep(lock);
        for recovery in &recoveries {
            tracing::warn!(%recovery, "put right while opening the data directory");
        }
        Ok(Self {
            journal: Arc::new(journal),
            snapshots: Arc::new(snapshots),
            id: meta.store,
            shards: meta.shards,
            secret,
            recoveries,
        })
    }

    /// Whose data directory `dir` is, and its number of shards. Takes no lock and changes nothing.
    ///
    /// # Errors
    /// When there is no data directory, or its meta file cannot be read.
    pub fn identity(dir: &Path) -> Result<(StoreId, ShardCount), StoreError> {
        let meta = Meta::read(dir)?.ok_or_else(|| StoreError::NotAStore { path: dir.to_path_buf() })?;
        Ok((meta.store, meta.shards))
    }

    /// Compares every snapshot in the data directory `dir` with what the journal's records lead to. Takes the directory's lock;
    /// no journal file is changed.
    ///
    /// # Errors
    /// [`AuditError`], naming the first entity that does not fit; or why there is nothing to compare.
    pub fn audit(dir: &Path) -> Result<Audit, AuditError> {
        audit::audit(dir)
    }

    /// The journal's directory within the data directory `dir`, for [`JournalReader`](crate::JournalReader).
    pub fn journal_dir(dir: &Path) -> PathBuf {
        dir.join(JOURNAL_DIR)
    }
}

const JOURNAL_DIR: &str = "journal";
const SNAPSHOT_DIR: &str = "snapshots";

/// Whose directory this is.
struct Identity {
    meta: Meta,
    /// Where the secret of a directory comes from that is being restored; its meta file is still to be written.
    restored: Option<SecretOrigin>,
}

/// Reads whose directory this is, or makes a new one; or takes the identity of the store that `witness` has a copy of.
fn identify(dir: &Path, options: &StoreOptions, witness: Option<&mut Witness<'_>>) -> Result<Identity, StoreError> {
    if let Some(meta) = Meta::read(dir)? {
        if options.refuses(meta.shards) {
            let (found, configured) = (meta.shards.get(), options.shards);
            return Err(StoreError::ShardCount { path: meta::path(dir), found, configured });
        }
        witness.map_or(Ok(()), |witness| witness.refuse_foreign(dir, meta.store))?;
        return Ok(Identity { meta, restored: None });
    }
    if let Some(witness) = witness {
        if let Some(source) = witness.take_silence() {
            return Err(StoreError::ReplicaUnknown { path: dir.to_path_buf(), source });
        }
        if let Some(meta) = restore::adopt(dir, options, witness, SegmentJournal::is_in(&dir.join(JOURNAL_DIR)))? {
            let secret = secret::keep_or_create(dir, options.secret_file.as_deref())?;
            return Ok(Identity { meta, restored: Some(secret) });
        }
        // What only a restoration may find there is foreign to a new directory.
        refuse_foreign(dir, false)?;
    }
    let store = meta::new_id(dir)?;
    Ok(Identity { meta: create(dir, options, store)?, restored: None })
}

/// Makes a new directory for `store`. The meta file comes last: an interrupted attempt is simply repeated.
fn create(dir: &Path, options: &StoreOptions, store: StoreId) -> Result<Meta, StoreError> {
    let meta = Meta { store, shards: options.shards_for_new()? };
    secret::create(dir, options.secret_file.as_deref())?;
    meta.write(dir)?;
    Ok(meta)
}

/// Refuses a directory that is not empty and not ours, before anything is put into it. One that may be restored may have a
/// journal, and snapshots beside it.
fn refuse_foreign(dir: &Path, may_be_restored: bool) -> Result<(), StoreError> {
    if meta::path(dir).exists() {
        return Ok(());
    }
    let has_journal = may_be_restored && SegmentJournal::is_in(&dir.join(JOURNAL_DIR));
    for entry in std::fs::read_dir(dir).map_err(io_error("read", dir))? {
        let name = entry.map_err(io_error("read", dir))?.file_name();
        let leftovers = [lock::FILE, secret::FILE, "secret.new", "meta.new", meta::FILE];
        let is_ours = leftovers.iter().any(|leftover| name == *leftover)
            || may_be_restored && name == JOURNAL_DIR
            || has_journal && name.as_encoded_bytes().starts_with(SNAPSHOT_DIR.as_bytes());
        if !is_ours {
            return Err(StoreError::NotAStore { path: dir.to_path_buf() });
        }
    }
    Ok(())
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret stays out of logs.
        f.debug_struct("Store")
            .field("shards", &self.shards)
            .field("recoveries", &self.recoveries)
            .finish_non_exhaustive()
    }
}
