//! The shop the suites share: a real store in a temporary directory, a real node, the sandbox gateway.

use std::{collections::BTreeMap, path::Path, sync::Arc, thread, time::Duration};

use holdfast_actors::{
    CheckoutRequest, CheckoutSource, Clock, Mailbox, Node, NodeParts, RuntimeSettings,
    payment::{PaymentSettings, SandboxGateway, SandboxSettings},
};
use holdfast_cluster::LocalRouter;
use holdfast_core::{
    BuyerId, Currency, Money, Quantity, ShardId, SkuId, order::PaymentToken, product::ProductDetails, stock::SalePolicy,
};
use holdfast_persistence::{Journal, Store, StoreError, StoreOptions};

/// How often a directory is looked at that is still held, a millisecond apart.
const LOOKS: u32 = 10_000;

/// Opens the store at `dir`. A node of this process that was dropped lets its directory go with its last thread, which may be a
/// moment later.
///
/// # Panics
/// When the store cannot be opened, or is not let go within ten seconds.
pub fn open_store(dir: &Path) -> Store {
    for _ in 0..LOOKS {
        match Store::open(dir, &StoreOptions::default()) {
            Err(StoreError::Locked { .. }) => thread::sleep(Duration::from_millis(1)),
            opened => return opened.unwrap_or_else(|error| panic!("{error}")),
        }
    }
    panic!("{} is still held by a node that was dropped", dir.display());
}

/// A running node and its shards' mailboxes.
pub struct Shop {
    /// The node.
    pub node: Node,
    /// Every shard's mailbox, in order.
    pub mailboxes: Arc<[Arc<Mailbox>]>,
}

impl Shop {
    /// Opens a shop over `dir` and recovers it.
    ///
    /// # Panics
    /// When the store cannot be opened or recovered.
    pub async fn open(dir: &Path, settings: RuntimeSettings) -> Self {
        Self::open_on(dir, settings, None).await
    }

    /// The same over another journal than the store's own.
    ///
    /// # Panics
    /// When the store cannot be opened or recovered.
    pub async fn open_on(dir: &Path, settings: RuntimeSettings, journal: Option<Arc<dyn Journal>>) -> Self {
        let mut store = open_store(dir);
        if let Some(journal) = journal {
            store.journal = journal;
        }
        let parts = NodeParts {
            settings,
            payments: PaymentSettings::default(),
            store,
            gateway: Arc::new(SandboxGateway::new(&SandboxSettings::default())),
            clock: Clock::system(),
            lease: holdfast_actors::Lease::perpetual(),
            probe: None,
        };
        let mut mailboxes: Option<Arc<[Arc<Mailbox>]>> = None;
        let node = Node::open(parts, |shards, all| {
            mailboxes = Some(Arc::clone(&all));
            Arc::new(LocalRouter::new(shards, all))
        });
        let node = node.unwrap_or_else(|error| panic!("{error}"));
        node.recover().await.unwrap_or_else(|error| panic!("{error}"));
        Self { node, mailboxes: mailboxes.unwrap_or_else(|| Arc::new([])) }
    }

    /// Puts a SKU with `units` into the catalog.
    ///
    /// # Panics
    /// When it is there already.
    pub async fn stock(&self, sku: &SkuId, units: u64) {
        let created = self.node.commerce().create_product(sku.clone(), details(), SalePolicy::default(), units).await;
        created.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The mailbox of a SKU's shard.
    ///
    /// # Panics
    /// Never: every slot has a shard.
    pub fn mailbox_of(&self, sku: &SkuId) -> &Arc<Mailbox> {
        let count = u16::try_from(self.mailboxes.len()).unwrap_or(u16::MAX);
        let shards = holdfast_core::ShardCount::new(count).unwrap_or_else(|error| panic!("{error}"));
        let ShardId(shard) = shards.shard_of(sku.slot());
        &self.mailboxes[usize::from(shard)]
    }
}

/// A one-line order under a key of its own.
///
/// # Panics
/// Never: the token is well formed.
pub fn one_line_order(key: u128, sku: &SkuId) -> CheckoutRequest {
    order_of(key, vec![(sku.clone(), Quantity::ONE)])
}

/// An order of these lines under a key of its own.
///
/// # Panics
/// Never: the token is well formed.
pub fn order_of(key: u128, lines: Vec<(SkuId, Quantity)>) -> CheckoutRequest {
    CheckoutRequest {
        key_digest: key << 16,
        buyer: BuyerId::from_u128(key),
        customer: None,
        source: CheckoutSource::Lines(lines),
        payment_token: PaymentToken::parse("tok_approve").unwrap_or_else(|error| panic!("{error}")),
        fingerprint: key,
    }
}

/// A plain product.
pub fn details() -> ProductDetails {
    ProductDetails {
        name: String::from("Headphones"),
        description: String::new(),
        price: Money::new(4_900, Currency::EUR),
        category: String::from("audio"),
        images: Vec::new(),
        variants: Vec::new(),
        metadata: BTreeMap::default(),
    }
}
