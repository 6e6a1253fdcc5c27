//! A checkout in process, whole: the facade, the shard's turns, the journal's frames, the gate and the answers, the payment
//! and what follows from it, until the order is confirmed. It is the real node, stepped in one thread.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use holdfast_actors::{
    CheckoutRequest, CheckoutSource, Clock, NodeParts, RuntimeSettings,
    background::{Background, CurrentRuntime, Task},
    payment::{GatewayError, GatewayRequest, PaymentGateway, PaymentSettings, VoidOutcome},
    stepped::SteppedNode,
};
use holdfast_cluster::LocalRouter;
use holdfast_core::{
    BuyerId, Currency, EntityId, Money, Quantity, ShardCount, ShardId, SkuId,
    order::{AuthorizationOutcome, PaymentToken, SettlementOutcome},
    product::ProductDetails,
    stock::SalePolicy,
};
use holdfast_persistence::{
    EncodedSnapshot, EntityState, SnapshotError, SnapshotSource, SnapshotStore, Store, StoreId,
    journal::{JournalOptions, JournalSteps},
    store::StoreParts,
};
use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinSet, yield_now},
};

use crate::{entities::NOW, memory_disk::MemoryDisk, path::Work};

/// As many as a store has that nobody gives a number; a server makes two for each of its workers.
const SHARDS: u16 = 16;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A gateway that approves at once.
struct Approving;

#[async_trait]
impl PaymentGateway for Approving {
    fn answers_at_once(&self) -> bool {
        true
    }

    async fn authorize(&self, _: &GatewayRequest) -> Result<AuthorizationOutcome, GatewayError> {
        Ok(AuthorizationOutcome::Approved { reference: "auth_0123456789abcdef".to_owned() })
    }

    async fn capture(&self, _: &GatewayRequest) -> Result<SettlementOutcome, GatewayError> {
        Ok(SettlementOutcome::Done)
    }

    async fn void(&self, _: &GatewayRequest) -> Result<VoidOutcome, GatewayError> {
        Ok(VoidOutcome::Voided)
    }

    async fn refund(&self, _: &GatewayRequest) -> Result<SettlementOutcome, GatewayError> {
        Ok(SettlementOutcome::Done)
    }
}

/// Tokio, but that the node's short waits are over at once: they are for a real clock, and what is counted has none.
struct Prompt;

/// The node waits for less than this to gather work, and for more until it gives something up.
const SHORT: Duration = Duration::from_millis(50);

impl Background for Prompt {
    fn run(&self, task: Task) {
        CurrentRuntime.run(task);
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        CurrentRuntime.run_blocking(work);
    }

    fn sleep(&self, time: Duration) -> Task {
        if time < SHORT { Box::pin(yield_now()) } else { CurrentRuntime.sleep(time) }
    }
}

/// Snapshots that are never asked for: nothing here is idle for long or restarted.
struct NoSnapshots;

impl SnapshotSource for NoSnapshots {
    fn load(&self, _: ShardId, _: &EntityId) -> Result<Option<(u64, EntityState)>, SnapshotError> {
        Ok(None)
    }

    fn scan(&self, _: ShardId, _: &mut dyn FnMut(EntityId, u64, EntityState)) -> Result<(), SnapshotError> {
        Ok(())
    }

    fn watermark(&self, _: ShardId) -> Result<u64, SnapshotError> {
        Ok(0)
    }
}

impl SnapshotStore for NoSnapshots {
    fn write(&self, _: ShardId, _: &[EncodedSnapshot]) -> Result<(), SnapshotError> {
        Ok(())
    }

    fn set_watermark(&self, _: ShardId, _: u64) -> Result<(), SnapshotError> {
        Ok(())
    }
}

/// A shop in one thread.
struct Shop {
    // The order matters: tasks go before the node they speak of.
    runtime: Runtime,
    node: SteppedNode,
    steps: JournalSteps,
    shards: ShardCount,
    next_key: u64,
}

impl Shop {
    fn open() -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let shards = ShardCount::new(SHARDS)?;
        let journal = JournalOptions { segment_bytes: 64 << 20, ..JournalOptions::default() };
        let (disk, snapshots) = (Arc::new(MemoryDisk::default()), Arc::new(NoSnapshots));
        let parts = StoreParts { disk, snapshots, store: StoreId::from_bytes(*b"hot paths' store"), shards, journal };
        let (store, steps) = Store::open_stepped(parts)?;
        let settings = RuntimeSettings {
            checkpoint_records: u64::MAX,
            checkpoint_interval_ms: DAY_MS,
            ..RuntimeSettings::default()
        };
        let parts = NodeParts {
            settings,
            payments: PaymentSettings::default(),
            store,
            gateway: Arc::new(Approving),
            clock: Clock::manual(NOW),
            lease: holdfast_actors::Lease::perpetual(),
            probe: None,
        };
        let router = |shards, mailboxes| Arc::new(LocalRouter::new(shards, mailboxes)) as _;
        let mut node = SteppedNode::open(parts, Arc::new(Prompt), router)?;
        let entered = runtime.enter();
        node.recover()?;
        drop(entered);
        Ok(Self { runtime, node, steps, shards, next_key: 0 })
    }

    fn stock(&mut self, sku: &SkuId) -> anyhow::Result<()> {
        let commerce = self.node.commerce().clone();
        let (sku, details) = (sku.clone(), details());
        let created = async move { commerce.create_product(sku, details, SalePolicy::default(), 1_000_000_000).await };
        let mut tasks = JoinSet::new();
        tasks.spawn_on(created, self.runtime.handle());
        self.settle(&mut tasks).pop().context("no answer")?.map(|_| ()).context("the product was refused")
    }

    /// Places one order a request, all at once, and sees them through. How many were placed.
    fn sell(&mut self, orders: usize, lines: &[(SkuId, Quantity)]) -> anyhow::Result<usize> {
        let mut tasks = JoinSet::new();
        for _ in 0..orders {
            self.next_key += 1;
            let request = request(self.next_key, lines)?;
            let commerce = self.node.commerce().clone();
            tasks.spawn_on(async move { commerce.checkout(request).await.is_ok() }, self.runtime.handle());
        }
        Ok(self.settle(&mut tasks).into_iter().filter(|placed| *placed).count())
    }

    /// Takes every step there is to take, until the tasks are answered and nothing is owed.
    fn settle<T: 'static>(&mut self, tasks: &mut JoinSet<T>) -> Vec<T> {
        let mut answers = Vec::with_capacity(tasks.len());
        loop {
            self.runtime.block_on(yield_now());
            let entered = self.runtime.enter();
            let mut moved = false;
            for shard in self.shards.iter() {
                while self.node.wants_turn(shard) {
                    self.node.turn(shard);
                    moved = true;
                }
            }
            while self.steps.next_step().is_some() {
                self.steps.step();
                moved = true;
            }
            drop(entered);
            while let Some(answer) = tasks.try_join_next() {
                answers.extend(answer);
                moved = true;
            }
            if !moved && tasks.is_empty() && self.owes_nothing() {
                return answers;
            }
        }
    }

    fn owes_nothing(&self) -> bool {
        self.shards.iter().all(|shard| self.node.figures(shard).is_some_and(|figures| figures.pursuits == 0))
    }
}

/// [`crate::path::Path::CheckoutAlone`] and [`crate::path::Path::CheckoutCrowd`].
pub(crate) fn one_line(orders: usize, calls: u64) -> anyhow::Result<Work> {
    let sku = crate::entities::sku()?;
    selling(orders, calls, vec![(sku, Quantity::ONE)])
}

/// [`crate::path::Path::CheckoutFiveLines`].
pub(crate) fn five_lines(calls: u64) -> anyhow::Result<Work> {
    let shards = ShardCount::new(SHARDS)?;
    let mut lines: Vec<(SkuId, Quantity)> = Vec::new();
    // The first names that fall into five shards.
    for number in 0.. {
        let sku = SkuId::parse(&format!("SHIRT-{number}"))?;
        let shard = shards.shard_of(sku.slot());
        if lines.iter().all(|(other, _)| shards.shard_of(other.slot()) != shard) {
            lines.push((sku, Quantity::ONE));
        }
        if lines.len() == 5 {
            break;
        }
    }
    selling(1, calls, lines)
}

fn selling(orders: usize, calls: u64, lines: Vec<(SkuId, Quantity)>) -> anyhow::Result<Work> {
    let mut shop = Shop::open()?;
    for (sku, _) in &lines {
        shop.stock(sku)?;
    }
    ensure!(shop.sell(orders, &lines)? == orders, "not every order was placed");
    let call = move || {
        let placed = shop.sell(orders, &lines);
        assert_eq!(placed.ok(), Some(orders), "not every order was placed");
    };
    Ok(Work { call: Box::new(call), per_call: orders as u64, calls })
}

/// An order under a key of its own.
fn request(key: u64, lines: &[(SkuId, Quantity)]) -> anyhow::Result<CheckoutRequest> {
    let key = u128::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    Ok(CheckoutRequest {
        key_digest: key,
        buyer: BuyerId::from_u128(key),
        customer: None,
        source: CheckoutSource::Lines(lines.to_vec()),
        payment_token: PaymentToken::parse("tok_approve")?,
        fingerprint: key,
    })
}

fn details() -> ProductDetails {
    ProductDetails {
        name: "Headphones".to_owned(),
        description: String::new(),
        price: Money::new(4_900, Currency::EUR),
        category: "audio".to_owned(),
        images: Vec::new(),
        variants: Vec::new(),
        metadata: std::collections::BTreeMap::default(),
    }
}
