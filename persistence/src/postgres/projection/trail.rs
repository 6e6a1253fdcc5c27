//! The highest watermarks that the tables can have, as far as this process knows. A higher watermark was committed by a process
//! with another journal, or this process's journal is an older copy.
//!
//! Invariant: when the projection first connects, a shard's watermark is at most the last record that the journal had when it
//! was opened. Records journaled since do not count: an older copy that has gone on selling may be long enough by now, and
//! must be refused all the same. From then on the watermark is at most the last record that this process tried to commit. A
//! lower watermark is allowed: a promoted PostgreSQL standby may have lost the last commits.
//!
//! A journal in NATS is shared by several processes, and any of them may have projected the same records meanwhile. There the
//! watermark is at most the current end of the journal as this process has read it; a process that has not read that far yet
//! tries again.

use std::collections::BTreeMap;

use holdfast_core::{ShardCount, ShardId};

use super::error::ProjectionError;
use crate::journal::Journal;

/// Per shard, the last record that the tables may contain.
#[derive(Debug)]
pub(super) struct Trail {
    limits: BTreeMap<ShardId, u64>,
    /// Whether others project the same journal.
    is_shared: bool,
    /// Which tables it was: a rebuild puts others in their place.
    tables: Option<u32>,
}

impl Trail {
    /// Before anything was projected: anything up to the end of `journal`, which was just opened.
    pub(super) fn begin(journal: &dyn Journal, shards: ShardCount) -> Self {
        Self { limits: ends(journal, shards), is_shared: journal.is_shared(), tables: None }
    }

    /// Refuses watermarks that are further; otherwise that is where they are. `tables` tells a rebuilt set from another.
    pub(super) fn enter(
        &mut self,
        tables: u32,
        watermarks: &BTreeMap<ShardId, u64>,
        journal: &dyn Journal,
        shards: ShardCount,
    ) -> Result<(), ProjectionError> {
        if self.tables.is_some_and(|known| known != tables) {
            *self = Self::begin(journal, shards);
        }
        if self.is_shared {
            self.limits = ends(journal, shards);
            self.tables = None;
        }
        for (shard, watermark) in watermarks {
            let limit = self.limits.get(shard).copied().unwrap_or(0);
            if *watermark > limit && self.tables.is_some() {
                return Err(ProjectionError::Rival);
            }
            if *watermark > limit {
                return Err(ProjectionError::Ahead { shard: *shard, watermark: *watermark, next_seq: limit + 1 });
            }
        }
        self.tables = Some(tables);
        self.limits.clone_from(watermarks);
        Ok(())
    }

    /// Records up to these are about to be committed; whether they were may stay unknown.
    pub(super) fn attempt(&mut self, ends: impl Iterator<Item = (ShardId, u64)>) {
        for (shard, seq) in ends {
            let limit = self.limits.entry(shard).or_insert(0);
            *limit = (*limit).max(seq);
        }
    }
}

fn ends(journal: &dyn Journal, shards: ShardCount) -> BTreeMap<ShardId, u64> {
    shards.iter().map(|shard| (shard, journal.next_seq(shard).saturating_sub(1))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use holdfast_core::{EntityId, Event, Quantity, SkuId, Timestamp, stock::StockEvent};

    use super::*;
    use crate::{Batch, Record, Store, StoreOptions, journal::JournalOptions};

    const SHARD: ShardId = ShardId(0);

    fn record(version: u64) -> Record {
        let sku = SkuId::parse("TRAIL").unwrap();
        let quantity = Quantity::new(1).unwrap();
        let event = Event::Stock(StockEvent::Received { quantity });
        Record { entity: EntityId::Stock(sku), version, at: Timestamp::from_millis(1), event }
    }

    fn append(journal: &dyn Journal, count: u64) {
        let first_seq = journal.next_seq(SHARD);
        let records = (first_seq..first_seq + count).map(record).collect();
        let (sender, done) = mpsc::channel();
        let batch = Batch { shard: SHARD, first_seq, records };
        journal.append(&batch, Box::new(move |result| sender.send(result.is_ok()).unwrap()));
        assert!(done.recv().unwrap());
    }

    fn at(seq: u64) -> BTreeMap<ShardId, u64> {
        [(SHARD, seq)].into()
    }

    /// A journal of five records, opened anew.
    fn journal(dir: &std::path::Path) -> Store {
        let small = JournalOptions { segment_bytes: 1 << 20, reserve_bytes: 256 << 10, ..JournalOptions::default() };
        let small = JournalOptions { frame_limit_bytes: 64 << 10, record_limit_bytes: 64 << 10, ..small };
        let options = StoreOptions { shards: 1, journal: small, ..StoreOptions::default() };
        append(&*Store::open(dir, &options).unwrap().journal, 5);
        Store::open(dir, &options).unwrap()
    }

    #[test]
    fn an_older_copy_is_found_out_however_much_it_has_sold_since() {
        let dir = tempfile::tempdir().unwrap();
        let store = journal(dir.path());
        let (journal, shards) = (&*store.journal, store.shards);
        let mut trail = Trail::begin(journal, shards);
        append(journal, 10);
        let error = trail.enter(1, &at(6), journal, shards).unwrap_err();
        assert!(matches!(error, ProjectionError::Ahead { watermark: 6, next_seq: 6, .. }), "{error}");
        trail.enter(1, &at(5), journal, shards).unwrap();
    }

    #[test]
    fn between_two_connections_a_watermark_is_at_most_what_was_tried() {
        let dir = tempfile::tempdir().unwrap();
        let store = journal(dir.path());
        let (journal, shards) = (&*store.journal, store.shards);
        for (read, is_ours) in [(0, true), (2, true), (3, true), (4, false), (5, false)] {
            let mut trail = Trail::begin(journal, shards);
            trail.enter(1, &at(2), journal, shards).unwrap();
            trail.attempt([(SHARD, 3)].into_iter());
            let entered = trail.enter(1, &at(read), journal, shards);
            assert_eq!(entered.is_ok(), is_ours, "{read}: {entered:?}");
        }
    }

    #[test]
    fn of_a_shared_journal_others_may_have_projected_whatever_is_in_it_by_now() {
        let dir = tempfile::tempdir().unwrap();
        let store = journal(dir.path());
        let (journal, shards) = (&*store.journal, store.shards);
        let mut trail = Trail { is_shared: true, ..Trail::begin(journal, shards) };
        append(journal, 10);
        // This one waited for its turn; then it had it, and lost it to another, and has it again.
        trail.enter(1, &at(9), journal, shards).unwrap();
        trail.attempt([(SHARD, 10)].into_iter());
        trail.enter(1, &at(13), journal, shards).unwrap();
        append(journal, 1);
        trail.enter(1, &at(16), journal, shards).unwrap();
        let error = trail.enter(1, &at(17), journal, shards).unwrap_err();
        assert!(matches!(error, ProjectionError::Ahead { watermark: 17, .. }), "{error}");
    }

    #[test]
    fn rebuilt_tables_may_be_anywhere_up_to_the_journals_end() {
        let dir = tempfile::tempdir().unwrap();
        let store = journal(dir.path());
        let (journal, shards) = (&*store.journal, store.shards);
        let mut trail = Trail::begin(journal, shards);
        trail.enter(1, &at(5), journal, shards).unwrap();
        append(journal, 3);
        trail.enter(2, &at(8), journal, shards).unwrap();
        assert!(trail.enter(3, &at(9), journal, shards).is_err());
    }
}
