//! Who is in memory: the idle leave it, are written once for that, and come back when they are asked for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use holdfast_actors::{
    Role, RuntimeSettings,
    message::{Reply, Request},
};
use holdfast_core::{CartId, Currency, EntityId, OrderId, ShardCount, ShardId, cart::CartCommand, order::OrderStatus};
use holdfast_persistence::{EncodedSnapshot, EntityState, SnapshotSource, SnapshotStore, snapshot::SnapshotError};
use tokio::task::JoinSet;

use crate::{
    ownership::{self, eventually},
    recovery::busy_shop,
    shop::{Setup, Shop, quantity, sku},
};

/// Lets the time pass after which what is idle leaves, and waits until so many have.
async fn wait_until_idle_left(shop: &Shop, entities: usize) {
    let idle = u64::try_from(RuntimeSettings::default().passivate_after_ms).expect("positive");
    shop.clock.advance(idle + 1);
    let left = || shop.node.shards().iter().map(|report| report.figures.cold).sum::<usize>();
    let leave = async {
        while left() < entities {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), leave).await;
    waited.unwrap_or_else(|_| panic!("{} left memory, not {entities}", left()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_cart_leaves_memory_and_comes_back_when_it_is_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    shop.stock("HP-1", 10).await;
    let cart = CartId::from_u128(0xca57);
    shop.commerce().create_cart(cart, Currency::EUR).await.expect("created");
    shop.commerce().add_item(cart, sku("HP-1"), quantity(3), None).await.expect("added");
    for time in 1..=3 {
        wait_until_idle_left(&shop, 1).await;
        let cart = shop.commerce().cart(cart).await.expect("it comes back");
        assert_eq!(cart.lines().len(), 1, "time {time}");
        assert_eq!(cart.lines()[0].quantity, quantity(3));
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_sale_what_is_not_saved_stays_in_memory_and_leaves_after_it() {
    const CARTS: usize = 40;
    let dir = tempfile::tempdir().expect("a directory");
    let settings =
        RuntimeSettings { checkpoint_rush_records: 10, passivate_after_ms: 100, ..RuntimeSettings::default() };
    let shop = Shop::open_with(dir.path(), Setup { settings, ..Setup::default() }).await;
    for key in 0..CARTS as u128 {
        shop.commerce().create_cart(CartId::from_u128(key << 16), Currency::EUR).await.expect("created");
    }
    let left = || shop.node.shards().iter().map(|report| report.figures.cold).sum::<usize>();
    // The bucket of forty has leaked ten: the sale is on, and every cart has been idle for long enough.
    shop.clock.advance(1_000);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(left(), 0);
    shop.clock.advance(1_100);
    let leave = async {
        while left() < CARTS {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), leave).await;
    waited.unwrap_or_else(|_| panic!("{} left memory", left()));
    shop.close().await;
}

/// How often each order was written.
type Written = Arc<Mutex<BTreeMap<OrderId, u32>>>;

/// The snapshots, and how often each order was written to them.
struct Counted {
    store: Arc<dyn SnapshotStore>,
    orders: Written,
    /// Nothing is written or read while this is held.
    stuck: Arc<tokio::sync::Mutex<()>>,
}

impl Counted {
    /// The setup of a shop whose snapshots are counted in `orders` and wait for `stuck`.
    fn setup(settings: RuntimeSettings, orders: &Written, stuck: &Arc<tokio::sync::Mutex<()>>) -> Setup {
        let (orders, stuck) = (Arc::clone(orders), Arc::clone(stuck));
        let snapshots = Box::new(|store| Arc::new(Self { store, orders, stuck }) as Arc<dyn SnapshotStore>);
        Setup { settings, snapshots: Some(snapshots), ..Setup::default() }
    }
}

impl SnapshotSource for Counted {
    fn load(&self, shard: ShardId, entity: &EntityId) -> Result<Option<(u64, EntityState)>, SnapshotError> {
        drop(self.stuck.blocking_lock());
        self.store.load(shard, entity)
    }

    fn scan(&self, shard: ShardId, sink: &mut dyn FnMut(EntityId, u64, EntityState)) -> Result<(), SnapshotError> {
        self.store.scan(shard, sink)
    }

    fn watermark(&self, shard: ShardId) -> Result<u64, SnapshotError> {
        self.store.watermark(shard)
    }
}

impl SnapshotStore for Counted {
    fn write(&self, shard: ShardId, snapshots: &[EncodedSnapshot]) -> Result<(), SnapshotError> {
        drop(self.stuck.blocking_lock());
        self.store.write(shard, snapshots)?;
        let mut orders = self.orders.lock().expect("nobody panicked");
        for snapshot in snapshots {
            if let EntityId::Order(order) = snapshot.entity {
                *orders.entry(order).or_default() += 1;
            }
        }
        Ok(())
    }

    fn set_watermark(&self, shard: ShardId, seq: u64) -> Result<(), SnapshotError> {
        self.store.set_watermark(shard, seq)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_checkpoint_has_saved_leaves_memory_without_being_written_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let written = Written::default();
    let setup = Counted::setup(RuntimeSettings::default(), &written, &Arc::default());
    let shop = Shop::open_with(dir.path(), setup).await;
    let orders = busy_shop(&shop, 40).await;
    let checkpoint = shop.node.checkpoint_now(None).await;
    assert!(checkpoint.iter().all(|shard| shard.watermark.is_some()), "{checkpoint:?}");
    let by_checkpoint = written.lock().expect("nobody panicked").clone();
    assert_eq!(by_checkpoint.len(), orders.len(), "the checkpoint has every order");
    wait_until_idle_left(&shop, orders.len()).await;
    assert_eq!(*written.lock().expect("nobody panicked"), by_checkpoint);
    for order in orders {
        assert_eq!(shop.commerce().order(order).await.expect("it comes back").id(), order);
    }
    shop.close().await;
}

/// While the store was slow, whoever was idle was handed out again and again: seven gigabytes of states waited to be written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_stuck_is_handed_two_batches_and_no_more() {
    const ORDERS: u32 = 60;
    const BATCH: usize = 4;
    let dir = tempfile::tempdir().expect("a directory");
    let (written, stuck) = (Written::default(), Arc::new(tokio::sync::Mutex::new(())));
    let settings = RuntimeSettings { max_live_entities: 1, snapshot_batch: BATCH, ..RuntimeSettings::default() };
    let held = stuck.lock().await;
    let shop = Shop::open_with(dir.path(), Counted::setup(settings, &written, &stuck)).await;
    shop.stock("HP-1", 1_000).await;
    for key in 0..ORDERS {
        let order = shop.buy(key, &[("HP-1", 1)]).await.expect("placed").order.id();
        shop.wait_for(order, OrderStatus::Confirmed).await;
    }
    for _ in 0..10 {
        shop.clock.advance(1_500);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(held);
    wait_until_idle_left(&shop, ORDERS as usize).await;
    let writes: u32 = written.lock().expect("nobody panicked").values().sum();
    let most = ORDERS + 2 * u32::try_from(BATCH).expect("few");
    assert!((ORDERS..=most).contains(&writes), "{writes} writes of {ORDERS} orders");
    shop.close().await;
}

/// Lets a crowd wait for a cart that is read, and `meanwhile` happen before it is there. All of them are answered.
async fn a_crowd_waits_for_a_cart(meanwhile: impl AsyncFnOnce(&Arc<Shop>, ShardId)) {
    const CROWD: usize = 8_000;
    let long = "H".repeat(60);
    let dir = tempfile::tempdir().expect("a directory");
    let stuck = Arc::new(tokio::sync::Mutex::new(()));
    let setup = Counted::setup(RuntimeSettings::default(), &Written::default(), &stuck);
    let (shop, _) = ownership::open(dir.path(), Setup { small_batches: true, ..setup }).await;
    shop.stock(&long, 10).await;
    let cart = CartId::from_u128(0xca57);
    shop.commerce().create_cart(cart, Currency::EUR).await.expect("created");
    wait_until_idle_left(&shop, 1).await;
    let held = stuck.lock().await;
    let home = ShardCount::new(16).expect("16 shards").shard_of(cart.slot());
    let mailbox = &shop.mailboxes[usize::from(home.0)];
    let add_one = || {
        let expires_at = shop.clock.now().saturating_add_millis(60_000);
        let (sku, quantity) = (sku(&long), quantity(1));
        let command = CartCommand::AddItem { sku, quantity, expires_at, expected_version: None };
        mailbox.request(Request::Cart { cart, command }, None).expect("taken in")
    };
    let crowd = futures_util::future::join_all((0..CROWD).map(|_| add_one()));
    let let_go = async {
        eventually("all of them wait", || mailbox.depth() == CROWD).await;
        meanwhile(&shop, home).await;
        drop(held);
    };
    let (answers, ()) = tokio::join!(crowd, let_go);
    for (number, answer) in (1..).zip(answers) {
        let added = answer.expect("answered").expect("added");
        assert!(matches!(&added, Reply::Cart(cart) if cart.lines()[0].quantity == quantity(number)), "{added:?}");
    }
}

/// However many wait for it: a batch that the journal does not take ends the shard, and all of them with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_waits_for_an_entity_to_be_read_is_answered_in_turns_of_bounded_size() {
    a_crowd_waits_for_a_cart(async |_, _| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_is_not_given_up_before_a_crowd_that_it_took_in_is_answered() {
    let mut given_up = JoinSet::new();
    a_crowd_waits_for_a_cart(async |shop, home| {
        let giving = Arc::clone(shop);
        given_up.spawn(async move { giving.node.yield_shard(home, Duration::from_secs(20)).await });
        eventually("the shard is being given up", || shop.node.role(home) == Role::Follower).await;
        // Its turn of the hand-over: it asks for nothing that could be waited for.
        tokio::time::sleep(Duration::from_millis(50)).await;
    })
    .await;
    let given_up = given_up.join_next().await.expect("it was asked for");
    given_up.expect("no panic").expect("it is given up after them");
}
