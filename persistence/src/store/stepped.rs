//! A store over a disk and snapshots of the caller's, without a directory and without threads: what a simulation opens.
//!
//! Invariant: what opens fits together, as for a directory, and whatever is refused is refused before anything is changed.

use std::{path::Path, sync::Arc};

use holdfast_core::ShardCount;

use super::{Recovery, Store, StoreError, StoreId, snapshots::refuse_snapshots_ahead};
use crate::{
    journal::{JournalOptions, JournalSteps, SurveyedJournal, disk::Disk},
    snapshot::SnapshotStore,
};

/// What a store without a directory is opened on.
pub struct StoreParts {
    /// Where the journal's segments are.
    pub disk: Arc<dyn Disk>,
    /// The snapshots.
    pub snapshots: Arc<dyn SnapshotStore>,
    /// Whose segments these are.
    pub store: StoreId,
    /// The number of shards: the same at every opening.
    pub shards: ShardCount,
    /// The journal's settings.
    pub journal: JournalOptions,
}

impl Store {
    /// Opens a store whose journal takes its steps when the caller says so.
    ///
    /// # Errors
    /// [`StoreError`], as for a directory: a damaged journal, or snapshots ahead of it. Nothing is changed then.
    pub fn open_stepped(parts: StoreParts) -> Result<(Self, JournalSteps), StoreError> {
        let StoreParts { disk, snapshots, store, shards, journal } = parts;
        journal.validate()?;
        let surveyed = SurveyedJournal::look_over_on(disk, store, shards, journal)?;
        refuse_snapshots_ahead(Path::new("snapshots"), shards, &surveyed, snapshots.as_ref())?;
        let (journal, steps, torn) = surveyed.open_stepped()?;
        let recoveries = torn.into_iter().map(Recovery::TornTail).collect();
        Ok((Self { journal: Arc::new(journal), snapshots, id: store, shards, secret: [0; 32], recoveries }, steps))
    }
}
