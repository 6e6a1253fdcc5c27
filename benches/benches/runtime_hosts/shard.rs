//! Our shards, over a journal that is durable at once.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use holdfast_actors::{RuntimeSettings, message::Request};
use holdfast_benches::{
    Shop,
    sample::{hold_id, sku},
};
use holdfast_core::{Quantity, ShardId};
use holdfast_persistence::{
    Batch, Completion, Journal, JournalError, JournalStats, PurgeSummary, Record, ReplayProgress, ReplaySummary,
    Unwritable,
    journal::{FollowLimit, Followed, Follower},
};

use super::Host;

/// A journal that keeps nothing and says so at once.
struct Instantly;

impl Journal for Instantly {
    fn append(&self, _: &Batch, done: Completion) {
        done(Ok(()));
    }

    fn writable(&self, _: ShardId) -> Result<(), Unwritable> {
        Ok(())
    }

    fn replay(
        &self,
        _: &BTreeMap<ShardId, u64>,
        _: &(dyn Fn(ShardId, u64, Record) + Sync),
        _: &(dyn Fn(ReplayProgress) + Sync),
    ) -> Result<ReplaySummary, JournalError> {
        Ok(ReplaySummary::default())
    }

    fn follow(&self, _: &BTreeMap<ShardId, u64>) -> Result<Box<dyn Follower>, JournalError> {
        Ok(Box::new(Instantly))
    }

    fn next_seq(&self, _: ShardId) -> u64 {
        1
    }

    fn retain_bytes(&self) -> Option<u64> {
        None
    }

    fn purge_below(&self, _: &BTreeMap<ShardId, u64>, _: u64) -> Result<PurgeSummary, JournalError> {
        Ok(PurgeSummary::default())
    }

    fn stats(&self) -> JournalStats {
        JournalStats::default()
    }
}

/// There is never anything to read.
impl Follower for Instantly {
    fn next(&mut self, _: FollowLimit, _: Duration) -> Result<Vec<Followed>, JournalError> {
        Ok(Vec::new())
    }

    fn behind(&self) -> u64 {
        0
    }
}

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A node.
pub(crate) struct ShardHost {
    shop: Shop,
    /// Where its snapshots would go.
    folder: PathBuf,
}

impl Host for ShardHost {
    async fn start(entities: u64) -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}")).keep();
        let settings = RuntimeSettings {
            mailbox_permits: 100_000,
            checkpoint_records: u64::MAX,
            checkpoint_interval_ms: DAY_MS,
            ..RuntimeSettings::default()
        };
        let shop = Shop::open_on(&folder, settings, Some(Arc::new(Instantly))).await;
        for number in 0..entities {
            shop.stock(&sku(number), 1_000_000_000).await;
        }
        Self { shop, folder }
    }

    async fn hold(&self, entity: u64, number: u64) {
        let sku = sku(entity);
        let request = Request::HoldLine {
            hold: hold_id(number, &sku),
            sku: sku.clone(),
            quantity: Quantity::ONE,
            customer: None,
        };
        let answer = self.shop.mailbox_of(&sku).request(request, None).unwrap_or_else(|error| panic!("{error}"));
        let outcome = answer.await.unwrap_or_else(|error| panic!("{error}"));
        assert!(outcome.is_ok(), "{outcome:?}");
    }
}

impl Drop for ShardHost {
    fn drop(&mut self) {
        // What cannot be removed is in the system's temporary folder, where it is removed some day.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
