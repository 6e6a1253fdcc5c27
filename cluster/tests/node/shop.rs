//! A shop to test with: a node over a data directory, and short words for what the tests do with it.

use std::{path::Path, sync::Arc, time::Duration};

use holdfast_actors::{
    CheckoutError, CheckoutOutcome, CheckoutRequest, CheckoutSource, Clock, Commerce, Mailbox, Node, NodeParts,
    RuntimeSettings,
    payment::{PaymentSettings, SandboxGateway, SandboxSettings},
    shard::Probe,
};
use holdfast_cluster::LocalRouter;
use holdfast_core::{
    BuyerId, Currency, CustomerId, Money, OrderId, Quantity, SkuId, Timestamp,
    order::{Order, OrderStatus, PaymentToken, Placement},
    product::ProductDetails,
    stock::{SalePolicy, StockLevel},
};
use holdfast_persistence::{Journal, SnapshotStore, Store, StoreError, StoreOptions, journal::JournalOptions};
use tokio::runtime::{Builder, Runtime};

/// The start of every test's time: 2026-01-01T00:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// A running node with what a test wants to look at.
pub(crate) struct Shop {
    pub(crate) node: Node,
    /// The node's own runtime: ending it ends every actor at once, as a crash does.
    runtime: Option<Runtime>,
    pub(crate) clock: Clock,
    pub(crate) gateway: Arc<SandboxGateway>,
    /// Every shard's mailbox, in order.
    pub(crate) mailboxes: Arc<[Arc<Mailbox>]>,
}

/// How a test's shop differs from the default.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) settings: RuntimeSettings,
    pub(crate) probe: Option<Probe>,
    pub(crate) late_ms: Option<u64>,
    /// When its time starts, after [`START`], in milliseconds.
    pub(crate) starts_after_ms: i64,
    /// A journal that takes only small batches, so that a test reaches the limit with little.
    pub(crate) small_batches: bool,
    /// Segments of the smallest size, of which so many bytes are kept.
    pub(crate) retain_bytes: Option<u64>,
    /// What is put around the journal.
    pub(crate) journal: Option<Around<dyn Journal>>,
    /// What is put around the snapshots.
    pub(crate) snapshots: Option<Around<dyn SnapshotStore>>,
}

/// Puts something around a journal or the snapshots.
pub(crate) type Around<T> = Box<dyn FnOnce(Arc<T>) -> Arc<T> + Send>;

impl Shop {
    pub(crate) async fn open(dir: &Path) -> Self {
        Self::open_with(dir, Setup::default()).await
    }

    pub(crate) async fn open_with(dir: &Path, setup: Setup) -> Self {
        let mut options = StoreOptions::default();
        options.journal.segment_bytes = 16 << 20;
        let mut settings = RuntimeSettings { tick_ms: 10, ..setup.settings };
        if setup.small_batches {
            options.journal.record_limit_bytes = 16 << 10;
            options.journal.frame_limit_bytes = 256 << 10;
            options.journal.reserve_bytes = 256 << 10;
            settings.turn_bytes = 64 << 10;
        }
        if let Some(retain_bytes) = setup.retain_bytes {
            options.journal.segment_bytes = JournalOptions::MIN_SEGMENT_BYTES;
            options.journal.reserve_bytes = 16 << 10;
            options.journal.frame_limit_bytes = 16 << 10;
            options.journal.record_limit_bytes = 4 << 10;
            options.journal.retain_bytes = retain_bytes;
            settings.turn_bytes = 4 << 10;
        }
        let mut store = open_store(dir, &options).await;
        if let Some(around) = setup.journal {
            store.journal = around(store.journal);
        }
        if let Some(around) = setup.snapshots {
            store.snapshots = around(store.snapshots);
        }
        let mut sandbox = SandboxSettings::default();
        sandbox.late_ms = setup.late_ms.unwrap_or(sandbox.late_ms);
        let gateway = Arc::new(SandboxGateway::new(&sandbox));
        let clock = Clock::manual(START.saturating_add_millis(setup.starts_after_ms));
        let parts = NodeParts {
            settings,
            payments: PaymentSettings::default(),
            store,
            gateway: Arc::clone(&gateway) as _,
            clock: clock.clone(),
            lease: holdfast_actors::Lease::perpetual(),
            probe: setup.probe,
        };
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let opened = runtime.spawn(async move {
            let mut seen = None;
            let node = Node::open(parts, |shards, mailboxes| {
                seen = Some(Arc::clone(&mailboxes));
                Arc::new(LocalRouter::new(shards, mailboxes))
            });
            let node = node.expect("the node opens");
            node.recover().await.expect("the node recovers");
            (node, seen.expect("the node asked for a router"))
        });
        let (node, mailboxes) = opened.await.expect("the node starts");
        Self { node, runtime: Some(runtime), clock, gateway, mailboxes }
    }

    /// Ends without an end: no drain, no checkpoint; whatever is under way is lost.
    pub(crate) async fn crash(mut self) {
        let runtime = self.runtime.take();
        let ended = tokio::task::spawn_blocking(move || {
            if let Some(runtime) = runtime {
                runtime.shutdown_timeout(Duration::from_secs(20));
            }
            drop(self);
        });
        ended.await.expect("the runtime ends");
    }

    /// Ends in order: drains, checkpoints, closes.
    pub(crate) async fn close(self) {
        assert!(self.node.shutdown(Duration::from_secs(20)).await, "the shutdown wrote everything");
        self.crash().await;
    }

    pub(crate) fn commerce(&self) -> &Commerce {
        self.node.commerce()
    }

    pub(crate) async fn stock(&self, sku: &str, units: u64) {
        self.stock_with(sku, units, SalePolicy::default()).await;
    }

    pub(crate) async fn stock_with(&self, sku: &str, units: u64, policy: SalePolicy) {
        let created = self.commerce().create_product(self::sku(sku), details(), policy, units).await;
        created.expect("the product is created");
    }

    pub(crate) fn level(&self, sku: &str) -> StockLevel {
        self.commerce().views().stock(&self::sku(sku)).expect("the SKU has stock").level
    }

    /// Buys under a key of its own.
    pub(crate) async fn buy(&self, key: u32, lines: &[(&str, i64)]) -> Result<CheckoutOutcome, CheckoutError> {
        self.commerce().checkout(request(key, lines)).await
    }

    /// Waits until the order stands where it should; the real time this takes has a bound only against hanging.
    pub(crate) async fn wait_for(&self, order: OrderId, status: OrderStatus) -> Order {
        let arrive = async {
            loop {
                let order = self.commerce().order(order).await.expect("the order is there");
                if order.status() == status {
                    return order;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let arrived = tokio::time::timeout(Duration::from_secs(20), arrive).await;
        arrived.unwrap_or_else(|_| panic!("{order} never became {status}"))
    }

    /// Waits until a SKU's stock is divided as it should be.
    pub(crate) async fn wait_for_level(&self, sku: &str, held: u64, allocated: u64) -> StockLevel {
        let arrive = async {
            loop {
                let level = self.level(sku);
                if level.held == held && level.allocated == allocated {
                    return level;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let arrived = tokio::time::timeout(Duration::from_secs(20), arrive).await;
        arrived
            .unwrap_or_else(|_| panic!("{sku} never had {held} held and {allocated} allocated: {:?}", self.level(sku)))
    }
}

/// Opens the store; waits while the journal's writer of a node that has just ended still finishes its last batch.
async fn open_store(dir: &Path, options: &StoreOptions) -> Store {
    let mut left = 2_000;
    loop {
        match Store::open(dir, options) {
            Err(StoreError::Locked { .. }) if left > 0 => left -= 1,
            opened => return opened.expect("the store opens"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) fn sku(text: &str) -> SkuId {
    SkuId::parse(text).expect("a SKU")
}

pub(crate) fn quantity(units: i64) -> Quantity {
    Quantity::new(units).expect("a quantity")
}

pub(crate) fn token(text: &str) -> PaymentToken {
    PaymentToken::parse(text).expect("a payment token")
}

pub(crate) fn customer(text: &str) -> CustomerId {
    CustomerId::parse(text).expect("a customer id")
}

pub(crate) fn details() -> ProductDetails {
    ProductDetails {
        name: String::from("Headphones"),
        description: String::new(),
        price: Money::new(4_900, Currency::EUR),
        category: String::from("audio"),
        images: Vec::new(),
        variants: Vec::new(),
        metadata: std::collections::BTreeMap::default(),
    }
}

/// A request under a key of its own: the same key with the same lines is the same request.
pub(crate) fn request(key: u32, lines: &[(&str, i64)]) -> CheckoutRequest {
    let lines: Vec<_> = lines.iter().map(|(sku, units)| (self::sku(sku), quantity(*units))).collect();
    CheckoutRequest {
        key_digest: u128::from(key) << 32,
        buyer: BuyerId::from_u128(u128::from(key)),
        customer: None,
        source: CheckoutSource::Lines(lines),
        payment_token: token("tok_approve"),
        fingerprint: Placement::OF_LINES,
    }
}

/// Names of SKUs that live in different shards of a 16-shard deployment.
pub(crate) fn skus_apart(count: usize) -> Vec<String> {
    let shards = holdfast_core::ShardCount::new(16).expect("16 is a number of shards");
    let mut homes = Vec::new();
    let mut names = Vec::new();
    for number in 0.. {
        let name = format!("PART-{number}");
        let home = shards.shard_of(sku(&name).slot());
        if !homes.contains(&home) {
            homes.push(home);
            names.push(name);
        }
        if names.len() == count {
            break;
        }
    }
    names
}
