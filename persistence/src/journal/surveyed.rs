//! A journal that was looked over and is not touched yet: what it holds is known, and whoever knows more about it may
//! still refuse it.
//!
//! Invariant: until [`SurveyedJournal::open`], the files are as they were found. An end that looks torn may be an
//! acknowledged frame gone bad; only what lies outside the journal, such as a snapshot's watermark, can tell, and it must
//! be asked before the end is cut.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use holdfast_core::{ShardCount, ShardId};

use super::{
    JournalError, JournalOptions, JournalSteps, SegmentJournal, TornTail, begin,
    disk::{Access, Disk, FsDisk},
    follow::{SegmentFollower, Segments},
    mark::Mark,
    prepare::{self, Identity},
    recovery::{Recovered, recover},
    survey::{Survey, survey},
};
use crate::{store::StoreId, store::atomic_file::create_directory};

/// A journal that was looked over and not changed.
#[derive(Debug)]
pub(crate) struct SurveyedJournal {
    disk: Arc<dyn Disk>,
    identity: Identity,
    options: JournalOptions,
    found: Survey,
}

impl SurveyedJournal {
    /// Looks over the journal of `store` in the directory `dir`, making the directory if there is none.
    ///
    /// # Errors
    /// [`JournalError`], naming the file, the offset and what to do.
    pub(crate) fn look_over(
        dir: &Path,
        store: StoreId,
        shards: ShardCount,
        options: JournalOptions,
    ) -> Result<Self, JournalError> {
        create_directory(dir).map_err(|source| JournalError::Io {
            action: "create",
            path: dir.to_path_buf(),
            source,
        })?;
        Self::look_over_on(Arc::new(FsDisk::new(dir, Access::Write)), store, shards, options)
    }

    /// As [`SurveyedJournal::look_over`], on a disk of the caller's.
    pub(crate) fn look_over_on(
        disk: Arc<dyn Disk>,
        store: StoreId,
        shards: ShardCount,
        options: JournalOptions,
    ) -> Result<Self, JournalError> {
        let found =
            survey(&*disk, store, shards, options.verify_on_open, &mut |scan, chunk| scan.split(chunk, |_, _, _| {}))?;
        Ok(Self { disk, identity: Identity { store, shards }, options, found })
    }

    /// Whether the journal reaches back to the first record ever.
    pub(crate) fn history_is_complete(&self) -> bool {
        self.found.begun.first().is_none_or(|first| first.header.first_lsn == 1)
    }

    /// Whether any record was ever journaled.
    pub(crate) fn has_records(&self) -> bool {
        self.found.next_lsn > 1
    }

    /// Whether no segment was ever begun: there is nothing of a journal yet.
    pub(crate) fn is_unbegun(&self) -> bool {
        self.found.begun.is_empty()
    }

    /// Begins it so that its shards go on at `next_seqs`, and looks it over again.
    ///
    /// # Errors
    /// [`JournalError`], when the segment cannot be made.
    pub(crate) fn begin_at(self, next_seqs: Vec<u64>) -> Result<Self, JournalError> {
        let Self { disk, identity, options, .. } = self;
        begin::begin_at(&*disk, identity, next_seqs, options.segment_bytes)?;
        Self::look_over_on(disk, identity.store, identity.shards, options)
    }

    /// The sequence number of the shard's oldest record, or of its next one if there is none.
    pub(crate) fn first_seq(&self, shard: ShardId) -> u64 {
        let oldest = self.found.begun.first().and_then(|first| first.header.next_seqs.get(usize::from(shard.0)));
        oldest.copied().unwrap_or(1)
    }

    /// The sequence number the shard's next batch would begin with, a torn tail not counted.
    pub(crate) fn next_seq(&self, shard: ShardId) -> u64 {
        self.found.next_seqs.get(usize::from(shard.0)).copied().unwrap_or(1)
    }

    /// Whether the journal certainly has another record than `last` where that stands, and `contained` of each shard was
    /// copied elsewhere.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub(crate) fn contradicts(&self, last: &Mark, contained: &BTreeMap<ShardId, u64>) -> Result<bool, JournalError> {
        let segments = Segments::Folder { until_lsn: self.found.next_lsn };
        let shards = self.identity.shards.get();
        let follow =
            |from: &BTreeMap<ShardId, u64>| SegmentFollower::begin(Arc::clone(&self.disk), segments, shards, from);
        last.is_contradicted(contained, follow, Duration::ZERO)
    }

    /// Cuts the torn tail, removes leftovers and starts the journal. Also says what was cut.
    ///
    /// # Errors
    /// [`JournalError`], when a file cannot be written or a thread cannot be started.
    pub(crate) fn open(self) -> Result<(SegmentJournal, Option<TornTail>), JournalError> {
        let (disk, identity, options) = (Arc::clone(&self.disk), self.identity, self.options.clone());
        let mut found = self.put_right()?;
        let torn = found.torn.take();
        Ok((SegmentJournal::start(disk, identity, options, found)?, torn))
    }

    /// As [`SurveyedJournal::open`], without threads: the caller takes every step.
    ///
    /// # Errors
    /// As [`SurveyedJournal::open`].
    pub(crate) fn open_stepped(self) -> Result<(SegmentJournal, JournalSteps, Option<TornTail>), JournalError> {
        let (disk, identity, options) = (Arc::clone(&self.disk), self.identity, self.options.clone());
        let mut found = self.put_right()?;
        let torn = found.torn.take();
        let (journal, steps) = SegmentJournal::start_stepped(disk, identity, options, found);
        Ok((journal, steps, torn))
    }

    fn put_right(self) -> Result<Recovered, JournalError> {
        let Self { disk, identity, options, found } = self;
        let mut found = recover(&*disk, found, &options)?;
        if found.active.is_none() && found.spare.is_none() {
            let generation = found.next_generation;
            found.spare = Some(prepare::make_spare(&*disk, identity, generation, options.segment_bytes, &|_| {})?);
            found.next_generation += 1;
        }
        Ok(found)
    }
}
