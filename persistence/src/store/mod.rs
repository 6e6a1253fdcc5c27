//! The data directory: a lock, a meta file, a secret, the journal and the snapshots.
//!
//! ```text
//! data/
//!   lock                 one process at a time; holds its process id
//!   meta                 format, store id, number of shards; written last when the directory is made
//!   secret               32 random bytes, mode 0600
//!   journal/             segment files: the truth
//!   snapshots/           sled: rebuilt from the journal when damaged
//! ```
//!
//! Invariant: what opens fits together. Journal and snapshots carry the store id of the meta file, the number of shards
//! is the one the directory was made with, and no snapshot is ahead of the journal.

pub(crate) mod atomic_file;
mod lock;
mod meta;
mod options;
mod secret;
mod snapshots;
mod stepped;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use holdfast_core::{ShardCount, ShardId};

pub use options::{OptionError, StoreOptions};
pub use stepped::StoreParts;

use crate::{
    journal::{Journal, JournalError, SegmentJournal, SurveyedJournal, TornTail},
    snapshot::{SnapshotError, SnapshotStore},
};
use lock::DirectoryLock;
use meta::Meta;

/// An open data directory. It stays locked for as long as its journal or its snapshots are in use.
pub struct Store {
    /// The journal: the truth.
    pub journal: Arc<dyn Journal>,
    /// The snapshots: what shortens recovery.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// The number of shards the directory was made with.
    pub shards: ShardCount,
    /// What bearer tokens are derived from.
    pub secret: [u8; 32],
    /// What had to be put right while opening.
    pub recoveries: Vec<Recovery>,
}

/// Something that was put right while the directory was opened. Nothing acknowledged was lost by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recovery {
    /// The last write had not been finished when the process ended: it was never acknowledged and was cut off.
    TornTail(TornTail),
    /// The snapshots were missing or damaged. They start empty, and a replay of the whole journal rebuilds them.
    SnapshotsRebuilt {
        /// What was wrong with them.
        reason: String,
        /// Where the damaged ones were moved to.
        moved_to: Option<PathBuf>,
    },
}

/// Why a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A setting is out of range.
    #[error("a storage setting is out of range")]
    Options(#[from] OptionError),
    /// The operating system refused a file operation.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process has the directory open.
    #[error(
        "{} is locked{}: stop that process first, or choose another data directory",
        path.display(),
        holder.map_or_else(|| " by another process".to_owned(), |pid| format!(" by process {pid}"))
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it, if it could be read.
        holder: Option<u32>,
    },
    /// The directory holds something else.
    #[error("{} is not empty and has no meta file: it is not a Holdfast data directory", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// The meta file is not intact.
    #[error("{} is damaged: restore it from a copy of this data directory", path.display())]
    BadMeta {
        /// The meta file.
        path: PathBuf,
    },
    /// The directory was made by a version with another format.
    #[error("{} says directory format {format}, this version reads {known}: use the version that made it", path.display())]
    UnknownFormat {
        /// The meta file.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The format known here.
        known: u32,
    },
    /// The secret is missing or not 32 bytes.
    #[error("{} is missing or damaged: restore it from a copy, bearer tokens hang on it", path.display())]
    BadSecret {
        /// The secret's file.
        path: PathBuf,
    },
    /// The directory was made with another number of shards.
    #[error("{} says {found} shards, the settings say {configured}: the number is fixed for the life of the data", path.display())]
    ShardCount {
        /// The meta file.
        path: PathBuf,
        /// What the directory was made with.
        found: u16,
        /// What the settings say.
        configured: u16,
    },
    /// The journal's segments are gone.
    #[error("{} has no segments although snapshots were made of it: restore it from a copy", path.display())]
    JournalLost {
        /// The journal's directory.
        path: PathBuf,
    },
    /// The journal cannot be opened.
    #[error("the journal cannot be opened")]
    Journal(#[from] JournalError),
    /// The snapshots cannot be opened.
    #[error("the snapshots cannot be opened")]
    Snapshots(#[from] SnapshotError),
    /// The snapshots are gone and the journal does not reach back to the beginning.
    #[error(
        "{} is missing or damaged ({reason}), and the journal's oldest segments were purged: restore the snapshots from a copy",
        path.display()
    )]
    SnapshotsLost {
        /// The snapshots' directory.
        path: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
    /// The snapshots contain records the journal does not have.
    #[error(
        "{} contains shard {} up to record {watermark}, but the journal ends before record {next_seq}: the journal is an \
         older copy or lost its end; restore both from the same copy",
        path.display(),
        shard.0
    )]
    SnapshotsAhead {
        /// The snapshots' directory.
        path: PathBuf,
        /// The shard.
        shard: ShardId,
        /// What its snapshots contain.
        watermark: u64,
        /// Where the journal would go on.
        next_seq: u64,
    },
}

impl Store {
    /// Opens the data directory at `dir`, making it if it is not there.
    ///
    /// # Errors
    /// [`StoreError`], naming the file and what to do. The journal's files are as they were then, unless the operating
    /// system failed while they were put right.
    pub fn open(dir: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        options.validate()?;
        atomic_file::create_directory(dir).map_err(io_error("create", dir))?;
        refuse_foreign(dir)?;
        let lock = Arc::new(DirectoryLock::take(dir)?);
        let meta = match Meta::read(dir)? {
            Some(meta) => meta,
            None => create(dir, options)?,
        };
        if meta.shards.get() != options.shards {
            let (found, configured) = (meta.shards.get(), options.shards);
            return Err(StoreError::ShardCount { path: meta::path(dir), found, configured });
        }
        let secret = secret::read(dir)?;
        let (journal_dir, snapshot_dir) = (dir.join(JOURNAL_DIR), dir.join(SNAPSHOT_DIR));
        // The journal's first segment is made before the snapshots' directory, so it was there once.
        if snapshot_dir.exists() && !SegmentJournal::is_in(&journal_dir) {
            return Err(StoreError::JournalLost { path: journal_dir });
        }
        // All that can be refused is refused before the journal's torn tail is cut: a last frame gone bad looks torn,
        // and only the snapshots' watermarks tell that it was acknowledged and is to be repaired.
        let surveyed = SurveyedJournal::look_over(&journal_dir, meta.store, meta.shards, options.journal.clone())?;
        let checked = snapshots::check(&snapshot_dir, meta, &surveyed, options)?;
        let (journal, torn) = surveyed.open()?;
        let mut recoveries: Vec<_> = torn.into_iter().map(Recovery::TornTail).collect();
        let (snapshots, rebuilt) = checked.open(&snapshot_dir, meta, options)?;
        recoveries.extend(rebuilt);
        journal.keep(lock.clone());
        snapshots.keep(lock);
        for recovery in &recoveries {
            tracing::warn!(%recovery, "put right while opening the data directory");
        }
        Ok(Self { journal: Arc::new(journal), snapshots: Arc::new(snapshots), shards: meta.shards, secret, recoveries })
    }

    /// The journal's directory within the data directory `dir`, for [`JournalReader`](crate::JournalReader).
    pub fn journal_dir(dir: &Path) -> PathBuf {
        dir.join(JOURNAL_DIR)
    }
}

const JOURNAL_DIR: &str = "journal";
const SNAPSHOT_DIR: &str = "snapshots";

/// Makes a new directory. The meta file comes last: an interrupted attempt is simply repeated.
fn create(dir: &Path, options: &StoreOptions) -> Result<Meta, StoreError> {
    let range =
        |_| OptionError { setting: "shards", given: options.shards.into(), min: 1, max: ShardCount::MAX.into() };
    let shards = ShardCount::new(options.shards).map_err(range)?;
    let meta = Meta { store: secret::random(&meta::path(dir))?, shards };
    secret::create(dir)?;
    meta.write(dir)?;
    Ok(meta)
}

/// Refuses a directory that is not empty and not ours, before anything is put into it.
fn refuse_foreign(dir: &Path) -> Result<(), StoreError> {
    if meta::path(dir).exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir).map_err(io_error("read", dir))? {
        let name = entry.map_err(io_error("read", dir))?.file_name();
        let leftovers = [lock::FILE, secret::FILE, "secret.new", "meta.new", meta::FILE];
        if !leftovers.iter().any(|leftover| name == *leftover) {
            return Err(StoreError::NotAStore { path: dir.to_path_buf() });
        }
    }
    Ok(())
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError::Io { action, path, source }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TornTail(torn) => torn.fmt(f),
            Self::SnapshotsRebuilt { reason, moved_to: None } => {
                write!(f, "the snapshots are rebuilt from the journal ({reason})")
            }
            Self::SnapshotsRebuilt { reason, moved_to: Some(path) } => {
                write!(
                    f,
                    "the snapshots are rebuilt from the journal ({reason}); the old ones are in {}",
                    path.display()
                )
            }
        }
    }
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
