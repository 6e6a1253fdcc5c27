//! One batch, ready to be written: its rows, and how far they reach.
//!
//! Invariant: it is whole. A batch follows from the records and the states before them alone, so it can be made while
//! PostgreSQL still works on the one before, by whoever has the fold: no connection is needed.

use std::{collections::BTreeMap, time::Duration};

use holdfast_core::{ShardId, Timestamp};

use super::{
    error::ProjectionError,
    fold::{Fold, FoldError},
    row::Changes,
};
use crate::journal::{FollowLimit, Followed, Follower, Mark};

/// Rows and watermarks of some records.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) rows: BatchRows,
    /// Per shard, the last record: its number, and when it was decided.
    pub(super) ends: BTreeMap<ShardId, (u64, Timestamp)>,
    pub(super) records: u64,
    /// The last record of all.
    pub(super) last: Option<Mark>,
}

/// A batch's rows.
#[derive(Debug, Default)]
pub(super) struct BatchRows {
    /// Those of entities that began in the batch, and of what is only ever added: not in the tables yet, unless somebody set the
    /// watermarks back.
    pub(super) new: Changes,
    /// All others.
    pub(super) changed: Changes,
}

impl BatchRows {
    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.new.rows() + self.changed.rows()
    }
}

/// What was made while PostgreSQL worked.
pub(super) enum Ahead {
    /// There were no records.
    Nothing,
    /// The next batch.
    Made(Box<Batch>),
    /// The next records; some of their entities are to be read from the tables first.
    Read(Vec<Followed>),
}

impl Batch {
    /// Takes `records` in. Every entity of theirs is known to `fold`, or begins here.
    pub(super) fn of(records: Vec<Followed>, fold: &mut Fold, entities: usize) -> Result<Box<Self>, FoldError> {
        // On the heap: it is a list per column of every table, and goes from hand to hand.
        let mut batch = Box::new(Self { records: records.len() as u64, ..Self::default() });
        batch.last = records.last().and_then(|last| Mark::of(last.shard, last.seq, &last.record));
        for followed in records {
            batch.ends.insert(followed.shard, (followed.seq, followed.record.at));
            fold.take(followed)?;
        }
        batch.rows = fold.finish()?;
        fold.forget_above(entities);
        Ok(batch)
    }
}

/// Reads and takes in what comes next, as far as that needs no connection. Does not wait for records. Blocking.
pub(super) fn look_ahead(
    follower: &mut dyn Follower,
    limit: FollowLimit,
    fold: &mut Fold,
    entities: usize,
) -> Result<Ahead, ProjectionError> {
    let records = follower.next(limit, Duration::ZERO)?;
    if records.is_empty() {
        return Ok(Ahead::Nothing);
    }
    if !fold.missing(&records).is_empty() {
        return Ok(Ahead::Read(records));
    }
    Ok(Ahead::Made(Batch::of(records, fold, entities)?))
}
