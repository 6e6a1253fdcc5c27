//! Nodes over one NATS server, and short words for what the tests do with them.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use holdfast_actors::{
    CheckoutRequest, CheckoutSource, Clock, CommandError, Commerce, Lease, Node, NodeParts, Router as _,
    RuntimeSettings, Unavailable,
    message::Request,
    payment::{PaymentSettings, SandboxGateway, SandboxSettings},
};
use holdfast_cluster::{
    BootId, ClusterRouter, ClusterSettings, Link, LinkParts, Living, NatsSettings, Owners,
    jetstream::connect_link,
    wire::{Answer, Header, Kind, framed},
};
use holdfast_core::{
    BuyerId, Currency, Money, OrderId, Quantity, ShardCount, ShardId, SkuId, Slot, Timestamp,
    order::{Order, OrderStatus, PaymentToken},
    product::ProductDetails,
    stock::{SalePolicy, StockLevel},
};
use holdfast_persistence::{Store, StoreOptions};
use holdfast_servers::{Nats, NatsOptions};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// How long anything may take before something is wrong, on however slow a machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A NATS server without streams.
pub(crate) fn nats() -> Nats {
    let options = NatsOptions { jetstream: false, ..NatsOptions::default() };
    Nats::start(&options).unwrap_or_else(|error| panic!("{error:#}"))
}

/// Everybody lives but for who is named.
#[derive(Default)]
pub(crate) struct Dead(Mutex<HashSet<BootId>>);

impl Living for Dead {
    fn is_alive(&self, boot: BootId) -> bool {
        !self.0.lock().expect("nobody panicked").contains(&boot)
    }
}

/// A node among others.
pub(crate) struct Member {
    pub(crate) node: Node,
    pub(crate) router: Arc<ClusterRouter>,
    pub(crate) owners: Arc<Owners>,
    pub(crate) boot: BootId,
    pub(crate) dead: Arc<Dead>,
    _tasks: JoinSet<()>,
    _folder: TempDir,
}

/// Short times, so that tests that wait for one to pass are quick.
pub(crate) fn settings() -> ClusterSettings {
    ClusterSettings { attempt_timeout_ms: 100, request_deadline_ms: 60_000, ..ClusterSettings::default() }
}

impl Member {
    pub(crate) async fn open(url: &str, number: u8) -> Self {
        Self::open_with(url, number, settings()).await
    }

    /// A node whose lease has run out.
    pub(crate) async fn open_isolated(url: &str, number: u8) -> Self {
        Self::open_until(url, number, settings(), Timestamp::from_millis(0)).await
    }

    pub(crate) async fn open_with(url: &str, number: u8, settings: ClusterSettings) -> Self {
        Self::open_until(url, number, settings, Timestamp::MAX).await
    }

    async fn open_until(url: &str, number: u8, settings: ClusterSettings, lease_until: Timestamp) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), &StoreOptions::default()).expect("the store opens");
        let nats = NatsSettings { url: url.to_owned(), ..NatsSettings::default() };
        let (incoming, unwritten) = (settings.incoming_messages, settings.unwritten_messages);
        let client = connect_link(&nats, incoming, unwritten).await.expect("the server answers");
        let clock = Clock::system();
        let lease = Lease::lasting(clock.clone());
        lease.renew_until(lease_until);
        let boot = BootId::from_bytes([number; 16]);
        let owners = Arc::new(Owners::none(store.shards));
        let dead = Arc::<Dead>::default();
        let parts = NodeParts {
            settings: RuntimeSettings { tick_ms: 10, ..RuntimeSettings::default() },
            payments: PaymentSettings::default(),
            store,
            gateway: Arc::new(SandboxGateway::new(&SandboxSettings::default())),
            clock: clock.clone(),
            lease: lease.clone(),
            probe: None,
        };
        let mut link = None;
        let node = Node::open(parts, |_, mailboxes| {
            let made = Link::new(LinkParts {
                settings,
                deployment: "test".to_owned(),
                boot,
                client,
                mailboxes,
                owners: Arc::clone(&owners),
                living: Arc::clone(&dead) as _,
                lease: lease.clone(),
                clock,
                retry_after_ms: 1_000,
            });
            let router = Arc::clone(made.router());
            link = Some(made);
            router
        });
        let node = node.expect("the node opens");
        let mut tasks = JoinSet::new();
        let router = link.expect("a router was asked for").start(&mut tasks).await.expect("the link begins");
        node.recover().await.expect("the node recovers");
        Self { node, router, owners, boot, dead, _tasks: tasks, _folder: folder }
    }

    pub(crate) fn commerce(&self) -> &Commerce {
        self.node.commerce()
    }

    pub(crate) fn bury(&self, other: &Self) {
        self.dead.0.lock().expect("nobody panicked").insert(other.boot);
    }

    pub(crate) fn level(&self, sku: &SkuId) -> Option<StockLevel> {
        self.commerce().views().stock(sku).map(|stock| stock.level)
    }

    pub(crate) async fn stock(&self, sku: &SkuId, units: u64) {
        let created = self.commerce().create_product(sku.clone(), details(), SalePolicy::default(), units).await;
        created.expect("the product is created");
    }

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
        tokio::time::timeout(PATIENCE, arrive).await.unwrap_or_else(|_| panic!("{order} never became {status}"))
    }

    pub(crate) fn shard_of(&self, slot: Slot) -> ShardId {
        self.router.shards().shard_of(slot)
    }
}

/// In `epoch` the shard is `owner`'s, and everybody of `members` knows it.
pub(crate) fn give(members: &[&Member], shard: ShardId, epoch: u64, owner: &Member) {
    for member in members {
        if member.boot == owner.boot {
            assert!(member.owners.take(shard, epoch, owner.boot));
        } else {
            member.owners.learn(shard, epoch, owner.boot);
        }
    }
}

/// Gives shards to members by turns, in epoch 1: shard 0 to the first one, 1 to the second one.
pub(crate) fn deal(members: &[&Member]) {
    for shard in ShardCount::new(16).expect("16 shards").iter() {
        give(members, shard, 1, members[usize::from(shard.0) % members.len()]);
    }
}

/// A SKU that lives in a shard whose number has this remainder, the `nth` one.
pub(crate) fn sku_in(modulus: u16, remainder: u16, nth: usize) -> SkuId {
    let shards = ShardCount::new(16).expect("16 shards");
    let all = (0..).map(|number| SkuId::parse(&format!("PART-{number}")).expect("a SKU"));
    let mut fitting = all.filter(|sku| shards.shard_of(sku.slot()).0 % modulus == remainder);
    fitting.nth(nth).expect("there are enough")
}

pub(crate) fn details() -> ProductDetails {
    ProductDetails {
        name: String::from("Headphones"),
        description: String::new(),
        price: Money::new(4_900, Currency::EUR),
        category: String::from("audio"),
        images: Vec::new(),
        variants: Vec::new(),
        metadata: BTreeMap::new(),
    }
}

/// A request under a key of its own.
pub(crate) fn request(key: u32, lines: &[(&SkuId, i64)]) -> CheckoutRequest {
    let quantity = |units| Quantity::new(units).expect("a quantity");
    CheckoutRequest {
        key_digest: u128::from(key) << 32,
        buyer: BuyerId::from_u128(u128::from(key)),
        customer: None,
        source: CheckoutSource::Lines(lines.iter().map(|(sku, units)| ((*sku).clone(), quantity(*units))).collect()),
        payment_token: PaymentToken::parse("tok_approve").expect("a payment token"),
        fingerprint: u128::from(key),
    }
}

/// Asks a node as another one would, but with an epoch and an end of one's own.
pub(crate) async fn ask_by_hand(
    url: &str,
    asked: &Member,
    shard: ShardId,
    epoch: u64,
    expires_at: Timestamp,
    request: &Request,
) -> Answer {
    let header = Header { kind: Kind::Ask, shard, epoch, expires_at, command: 5, hops: 0 };
    let frame = framed(&header, request).expect("it can be written");
    let client = async_nats::connect(url).await.expect("the server answers");
    let subject = format!("holdfast.test.node.{}.ask", asked.boot);
    let answer = client.request(subject, frame.into()).await.expect("it is answered");
    Answer::from_bytes(&answer.payload).expect("an answer")
}

/// Why it could not be done now.
pub(crate) fn reason<T: std::fmt::Debug>(outcome: &Result<T, CommandError>) -> Unavailable {
    match outcome {
        Err(CommandError::Unavailable { reason, .. }) => *reason,
        other => panic!("{other:?}"),
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let arrive = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, arrive).await.unwrap_or_else(|_| panic!("{what} did not happen"));
}
