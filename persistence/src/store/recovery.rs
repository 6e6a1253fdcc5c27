//! What was put right while a data directory was opened, in words for whoever runs it.

use std::{fmt, path::PathBuf};

use crate::journal::TornTail;

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
    /// The snapshots were missing or damaged and the journal does not reach back to its first record. They come from a copy
    /// elsewhere; the journal has the rest.
    SnapshotsFetched {
        /// What was wrong with them.
        reason: String,
        /// Where the damaged ones were moved to.
        moved_to: Option<PathBuf>,
        /// Where they come from.
        replica: String,
        /// Entities fetched.
        entities: u64,
    },
    /// The directory was empty, or had a journal only. **What was acknowledged after what is said here is not in it.**
    Restored(Restored),
}

/// What an empty directory was filled with, and how far it reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Where the state comes from.
    pub replica: String,
    /// Entities fetched.
    pub entities: u64,
    /// How far each shard reaches, in order.
    pub shards: Vec<Reach>,
    /// Where the secret comes from.
    pub secret: SecretOrigin,
}

/// How far one shard was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// The last record that the copy elsewhere contains; 0 for none.
    pub replica: u64,
    /// The last record there is, with the journal that was found; the same if there was none.
    pub journal: u64,
}

/// Where the secret of a restored directory comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretOrigin {
    /// It was still in the directory.
    Found,
    /// From the file named in the settings.
    File,
    /// It is a new one: a retry of a checkout from before, without a buyer's token of its own, is refused as another request.
    New,
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
            Self::SnapshotsFetched { reason, moved_to, replica, entities } => {
                write!(f, "the snapshots of {entities} entities come from {replica} ({reason})")?;
                moved_to.as_ref().map_or(Ok(()), |path| write!(f, "; the old ones are in {}", path.display()))
            }
            Self::Restored(restored) => restored.fmt(f),
        }
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { replica, entities, shards, secret } = self;
        write!(f, "the data directory was empty: {entities} entities come from {replica}; the last record here is")?;
        for (shard, Reach { replica, journal }) in shards.iter().enumerate() {
            let comma = if shard == 0 { "" } else { "," };
            write!(f, "{comma} {journal} of shard {shard}")?;
            if journal > replica {
                write!(f, " ({} from the journal)", journal - replica)?;
            }
        }
        write!(f, ". What was acknowledged after that is not here")?;
        match secret {
            SecretOrigin::Found => write!(f, ". The secret was found in the directory"),
            SecretOrigin::File => write!(f, ". The secret comes from store.secret_file"),
            SecretOrigin::New => write!(
                f,
                ". The secret is new: a retry of a checkout from before that brings no buyer's token is refused"
            ),
        }
    }
}
