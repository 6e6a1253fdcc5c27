//! A shard that goes to another node, or comes from one, while its journal is slow: nothing is told before it is durable, and
//! a shard that was lost is a follower soon, whatever was on its way.
#![expect(clippy::disallowed_methods, reason = "a test is the owner of what it has done beside it")]

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use holdfast_actors::{Role, RuntimeSettings};
use holdfast_core::{ShardCount, ShardId};
use holdfast_persistence::{
    AppendError, Batch, Completion, Follower, Journal, JournalError, JournalStats, PurgeSummary, Record,
    ReplayProgress, ReplaySummary, Unwritable,
};
use parking_lot::Mutex;

use crate::shop::{Setup, Shop, sku};

/// A real journal that another node may take shards from, and whose batches a test can hold up.
pub(crate) struct Shared {
    inner: Arc<dyn Journal>,
    is_ours: AtomicBool,
    is_slow: AtomicBool,
    held_up: Mutex<VecDeque<(Batch, Completion)>>,
    /// Records that another node appended, which nobody here has read.
    unread: AtomicU64,
    /// The shards come here at the end of the next replay.
    comes_after_replay: AtomicBool,
    /// Batches that nobody waited for.
    unawaited: AtomicUsize,
}

impl Shared {
    pub(crate) fn over(inner: Arc<dyn Journal>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            is_ours: AtomicBool::new(true),
            is_slow: AtomicBool::new(false),
            held_up: Mutex::default(),
            unread: AtomicU64::new(0),
            comes_after_replay: AtomicBool::new(false),
            unawaited: AtomicUsize::new(0),
        })
    }

    /// How many batches nobody waited for.
    pub(crate) fn unawaited(&self) -> usize {
        self.unawaited.load(Ordering::SeqCst)
    }

    /// Waits until a batch is held up.
    async fn wait_held_up(&self) {
        eventually("a batch is on its way", || !self.held_up.lock().is_empty()).await;
    }

    /// Appends the oldest batch that is held up.
    fn let_one_through(&self) {
        let (batch, done) = self.held_up.lock().pop_front().expect("a batch is held up");
        self.inner.append(&batch, done);
    }

    /// Another node's epoch has begun: what is held up never comes to be.
    fn overtake(&self) {
        self.is_ours.store(false, Ordering::SeqCst);
        self.is_slow.store(false, Ordering::SeqCst);
        let held_up = std::mem::take(&mut *self.held_up.lock());
        for (batch, done) in held_up {
            let (shard, given) = (batch.shard, batch.first_seq);
            done(Err(AppendError::Fenced { shard, expected: given + 1, given }));
        }
    }
}

impl Journal for Shared {
    fn append(&self, batch: &Batch, done: Completion) {
        if self.is_slow.load(Ordering::SeqCst) {
            self.held_up.lock().push_back((batch.clone(), done));
        } else {
            self.inner.append(batch, done);
        }
    }

    fn append_unawaited(&self, batch: &Batch, done: Completion) {
        self.unawaited.fetch_add(1, Ordering::SeqCst);
        self.append(batch, done);
    }

    fn writable(&self, shard: ShardId) -> Result<(), Unwritable> {
        if self.owns(shard) { self.inner.writable(shard) } else { Err(Unwritable::Overtaken) }
    }

    fn owns(&self, _shard: ShardId) -> bool {
        self.is_ours.load(Ordering::SeqCst)
    }

    fn replay(
        &self,
        from: &BTreeMap<ShardId, u64>,
        sink: &(dyn Fn(ShardId, u64, Record) + Sync),
        progress: &(dyn Fn(ReplayProgress) + Sync),
    ) -> Result<ReplaySummary, JournalError> {
        let replayed = self.inner.replay(from, sink, progress);
        if self.comes_after_replay.swap(false, Ordering::SeqCst) {
            self.unread.store(1, Ordering::SeqCst);
            self.is_ours.store(true, Ordering::SeqCst);
        }
        replayed
    }

    fn follow(&self, from: &BTreeMap<ShardId, u64>) -> Result<Box<dyn Follower>, JournalError> {
        self.inner.follow(from)
    }

    fn next_seq(&self, shard: ShardId) -> u64 {
        let held_up: usize =
            self.held_up.lock().iter().filter(|(batch, _)| batch.shard == shard).map(|(b, _)| b.records.len()).sum();
        self.inner.next_seq(shard) + held_up as u64 + self.unread.load(Ordering::SeqCst)
    }

    fn retain_bytes(&self) -> Option<u64> {
        self.inner.retain_bytes()
    }

    fn purge_below(&self, floor: &BTreeMap<ShardId, u64>, keep_bytes: u64) -> Result<PurgeSummary, JournalError> {
        self.inner.purge_below(floor, keep_bytes)
    }

    fn stats(&self) -> JournalStats {
        self.inner.stats()
    }
}

/// The shard of `HP-1`.
fn home() -> ShardId {
    ShardCount::new(16).expect("16 is a number of shards").shard_of(sku("HP-1").slot())
}

/// Waits until something is so; the real time this takes has a bound only against hanging.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

pub(crate) async fn open(dir: &Path, setup: Setup) -> (Arc<Shop>, Arc<Shared>) {
    let journal: Arc<OnceLock<Arc<Shared>>> = Arc::default();
    let seen = Arc::clone(&journal);
    let around = Box::new(move |inner| {
        let shared = Shared::over(inner);
        let _ = seen.set(Arc::clone(&shared));
        shared as Arc<dyn Journal>
    });
    let shop = Shop::open_with(dir, Setup { journal: Some(around), ..setup }).await;
    (Arc::new(shop), Arc::clone(journal.get().expect("the journal was opened")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_was_given_up_lets_out_nothing_of_a_batch_on_its_way() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = RuntimeSettings { checkpoint_interval_ms: 60_000, ..RuntimeSettings::default() };
    let (shop, journal) = open(dir.path(), Setup { settings, ..Setup::default() }).await;
    shop.stock("HP-1", 10).await;
    journal.is_slow.store(true, Ordering::SeqCst);
    let buy = |key| {
        let shop = Arc::clone(&shop);
        tokio::spawn(async move { shop.buy(key, &[("HP-1", 1)]).await })
    };
    let first = buy(1);
    journal.wait_held_up().await;
    // It waits behind the batch on its way. With the hand-over there are two, enough for a turn: the second order's batch is on its
    // way too when the shard goes.
    let second = buy(2);
    eventually("the second order waits", || shop.mailboxes[usize::from(home().0)].depth() == 2).await;
    let giving = Arc::clone(&shop);
    let given_up = tokio::spawn(async move { giving.node.yield_shard(home(), Duration::from_secs(20)).await });
    eventually("the shard is being given up", || shop.node.role(home()) == Role::Follower).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    journal.let_one_through();
    first.await.expect("no panic").expect("the first order is durable");
    journal.wait_held_up().await;
    let watermark = || shop.node.shard(home()).expect("there is one").figures.watermark;
    let before = watermark();
    // The follower writes a checkpoint: a turn with something to let out.
    shop.clock.advance(120_000);
    for _ in 0..100 {
        assert!(!second.is_finished(), "an order was told that is on its way");
        assert_eq!(watermark(), before, "a snapshot was written of what is on its way");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    journal.overtake();
    second.await.expect("no panic").expect_err("the order never came to be");
    // Whether it was given up before it was lost is no matter.
    let _ = given_up.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_is_demoted_before_its_batch_is_refused_follows_all_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let (shop, journal) = open(dir.path(), Setup::default()).await;
    shop.stock("HP-1", 10).await;
    journal.is_slow.store(true, Ordering::SeqCst);
    let buyer = Arc::clone(&shop);
    let order = tokio::spawn(async move { buyer.buy(1, &[("HP-1", 1)]).await });
    journal.wait_held_up().await;
    // A look at the stream found another epoch; what that means for the batch on its way is found out a moment later.
    shop.node.demote(home());
    eventually("the shard is being recovered", || shop.node.role(home()) == Role::Away).await;
    journal.overtake();
    eventually("the shard follows", || shop.node.role(home()) == Role::Follower).await;
    order.await.expect("no panic").expect_err("the order never came to be");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_comes_while_it_is_recovered_is_not_open_before_it_has_every_record() {
    let dir = tempfile::tempdir().expect("a directory");
    let (shop, journal) = open(dir.path(), Setup::default()).await;
    shop.stock("HP-1", 10).await;
    let has = shop.node.position(home());
    journal.comes_after_replay.store(true, Ordering::SeqCst);
    journal.overtake();
    shop.node.demote(home());
    eventually("the shard came here", || journal.is_ours.load(Ordering::SeqCst)).await;
    eventually("the shard is recovered", || shop.node.is_ready()).await;
    assert_eq!((shop.node.role(home()), shop.node.position(home())), (Role::Follower, has));
}
