//! A mark: the position of one record and a fingerprint of its content. It shows whether a journal has the same record there.
//!
//! Invariant: two histories that diverged have different marks from the point of divergence on. A copied data directory that
//! was used on its own has records with the same sequence numbers as the original and may be as long or longer, but the
//! content of these records differs.
//!
//! One mark is enough: the journal is one history over all shards, and a copy elsewhere contains a beginning of it.

use std::{collections::BTreeMap, time::Duration};

use holdfast_core::ShardId;

use super::{
    JournalError,
    follow::{FollowLimit, Followed, Follower},
    record,
};
use crate::{codec, record::Record};

/// Bytes of a fingerprint.
pub const FINGERPRINT_BYTES: usize = 16;

/// How much is looked through for a record that is not where it should be, in records.
const READ_AT_MOST: usize = 1 << 20;
const READ_AT_ONCE: FollowLimit = FollowLimit { records: 1_024, bytes: 1 << 20 };

/// A record by its place and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Whose record it is.
    pub shard: ShardId,
    /// Its sequence number within the shard.
    pub seq: u64,
    /// The schema version it was encoded in, and a digest of that.
    pub fingerprint: [u8; FINGERPRINT_BYTES],
}

impl Mark {
    /// The mark of a record; none for a record that cannot be encoded, which no journal has.
    pub fn of(shard: ShardId, seq: u64, record: &Record) -> Option<Self> {
        let mut bytes = Vec::with_capacity(256);
        record::encode(record, shard, seq, u64::MAX, &mut bytes).ok()?;
        let mut fingerprint = [0; FINGERPRINT_BYTES];
        blake3::Hasher::new().update(&bytes).finalize_xof().fill(&mut fingerprint);
        fingerprint[0] = codec::SCHEMA_VERSION;
        Some(Self { shard, seq, fingerprint })
    }

    /// Whether a journal certainly has another record where this one stands, which is the last of `contained`. `follow` reads the
    /// journal, and may wait so long for records that are not there yet. A record that was purged cannot be told.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn is_contradicted<F: Follower>(
        &self,
        contained: &BTreeMap<ShardId, u64>,
        follow: impl FnOnce(&BTreeMap<ShardId, u64>) -> Result<F, JournalError>,
        wait: Duration,
    ) -> Result<bool, JournalError> {
        let mut from: BTreeMap<_, _> = contained.iter().map(|(shard, seq)| (*shard, seq + 1)).collect();
        from.insert(self.shard, self.seq);
        let mut follower = match follow(&from) {
            Err(JournalError::Purged { .. }) => return Ok(false),
            follower => follower?,
        };
        let mut seen = 0;
        while seen < READ_AT_MOST {
            let records = follower.next(READ_AT_ONCE, wait)?;
            // In the history this mark is of it is the very first one.
            if let Some(found) = records.iter().find(|found| found.shard == self.shard) {
                return Ok(self.contradicts(found));
            }
            if records.is_empty() {
                break;
            }
            seen += records.len();
        }
        Ok(false)
    }

    /// Whether the record is certainly another one. One that was marked in another schema version cannot be told.
    pub fn contradicts(&self, followed: &Followed) -> bool {
        let Some(found) = Self::of(followed.shard, followed.seq, &followed.record) else { return true };
        found.fingerprint[0] == self.fingerprint[0] && found != *self
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::{EntityId, Event, Quantity, SkuId, Timestamp, stock::StockEvent};

    use super::*;

    fn followed(at: i64) -> Followed {
        let sku = SkuId::parse("MARK").unwrap();
        let event = Event::Stock(StockEvent::Received { quantity: Quantity::new(1).unwrap() });
        let record = Record { entity: EntityId::Stock(sku), version: 1, at: Timestamp::from_millis(at), event };
        Followed { shard: ShardId(3), seq: 7, record }
    }

    #[test]
    fn a_record_is_told_from_one_that_was_decided_a_moment_later() {
        let mark = Mark::of(ShardId(3), 7, &followed(1).record).unwrap();
        assert!(!mark.contradicts(&followed(1)));
        assert!(mark.contradicts(&followed(2)));
        assert!(mark.contradicts(&Followed { seq: 8, ..followed(1) }));
    }

    #[test]
    fn a_mark_of_another_schema_version_says_nothing() {
        let mut mark = Mark::of(ShardId(3), 7, &followed(1).record).unwrap();
        mark.fingerprint[0] += 1;
        assert!(!mark.contradicts(&followed(2)));
    }
}
