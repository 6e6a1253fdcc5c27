//! A made-up shop: random commands to real entities, journaled as the node would journal them. One seed, one history.

use std::{collections::BTreeMap, sync::mpsc, time::Duration};

use holdfast_core::{
    BuyerId, CartId, Currency, CustomerId, Entity, EntityId, Event, HoldId, Money, OrderId, Quantity, ShardCount,
    ShardId, SkuId, Timestamp,
    cart::CartCommand,
    order::{
        AuthorizationOutcome, CancelReason, CapturePolicy, GatewayCall, OrderCommand, OrderLine, PaymentToken,
        Placement, SettlementOutcome, Step, StockAction,
    },
    product::{ProductCommand, ProductDetails, Variant},
    stock::{SalePolicy, StockCommand},
};
use holdfast_persistence::{Batch, EntityState, Journal, Record};

const CURRENCIES: [Currency; 2] = [Currency::EUR, Currency::USD];
const CATEGORIES: [&str; 5] = ["", "audio", "audio/headphones", "audio/headphones/wired", "b\0d//é"];

/// Records of one batch, in number: a hundred holds that lapse at once are more than a journal of these tests takes.
const RECORDS_AT_ONCE: usize = 16;

/// The shop.
pub(crate) struct World {
    random: u64,
    now: i64,
    pub(crate) shards: ShardCount,
    pub(crate) states: BTreeMap<EntityId, EntityState>,
    orders: Vec<OrderId>,
    staged: Vec<(ShardId, Record)>,
}

impl World {
    pub(crate) fn new(seed: u64, shards: u16) -> Self {
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let shards = ShardCount::new(shards).unwrap();
        Self { random, now: 1_700_000_000_000, shards, states: BTreeMap::new(), orders: Vec::new(), staged: Vec::new() }
    }

    /// Below `end`. A xorshift: chance of our own, so that a seed always means the same.
    fn below(&mut self, end: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % end
    }

    fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap()
    }

    fn sku(&mut self) -> SkuId {
        SkuId::parse(&format!("SKU-{}", self.below(6))).unwrap()
    }

    fn quantity(&mut self, end: u64) -> Quantity {
        Quantity::new(i64::try_from(self.below(end)).unwrap() + 1).unwrap()
    }

    /// `steps` random commands, journaled in batches of random sizes. Returns how many records there are.
    pub(crate) fn run(&mut self, steps: u64, journal: &dyn Journal) -> usize {
        let mut records = 0;
        for _ in 0..steps {
            self.now += i64::try_from(self.below(2_000)).unwrap();
            match self.below(10) {
                0 => self.change_product(),
                1 => self.change_stock(),
                2 => self.change_cart(),
                3..6 => self.place_order(),
                _ => self.go_on(),
            }
            if self.below(20) == 0 {
                records += self.journal(journal);
            }
        }
        records + self.journal(journal)
    }

    /// Appends what is staged, each shard's records in batches that these small journals take, and waits until it is durable.
    fn journal(&mut self, journal: &dyn Journal) -> usize {
        let mut batches = BTreeMap::<ShardId, Vec<Record>>::new();
        let staged = std::mem::take(&mut self.staged);
        let count = staged.len();
        for (shard, record) in staged {
            batches.entry(shard).or_default().push(record);
        }
        let (sender, outcome) = mpsc::channel();
        for (shard, records) in batches {
            let mut first_seq = journal.next_seq(shard);
            for records in records.chunks(RECORDS_AT_ONCE) {
                let (sender, batch) = (sender.clone(), Batch { shard, first_seq, records: records.to_vec() });
                first_seq += records.len() as u64;
                journal.append(&batch, Box::new(move |result| sender.send(result).unwrap()));
            }
        }
        drop(sender);
        while let Ok(result) = outcome.recv_timeout(Duration::from_mins(1)) {
            result.unwrap();
        }
        count
    }

    fn stage(&mut self, entity: &EntityId, version: u64, event: Event) {
        let shard = self.shards.shard_of(entity.slot());
        let at = Timestamp::from_millis(self.now);
        self.staged.push((shard, Record { entity: entity.clone(), version, at, event }));
    }

    fn state(&mut self, entity: &EntityId) -> EntityState {
        self.states.get(entity).cloned().unwrap_or_else(|| EntityState::before_anything(entity))
    }

    /// Decides and applies. Whether something happened.
    fn stock(&mut self, sku: &SkuId, command: StockCommand) -> bool {
        let entity = EntityId::Stock(sku.clone());
        let EntityState::Stock(mut stock) = self.state(&entity) else { return false };
        let events = stock.decide(command, Timestamp::from_millis(self.now)).unwrap_or_default();
        for event in &events {
            stock.apply(event);
            self.stage(&entity, stock.version(), Event::Stock(event.clone()));
        }
        self.states.insert(entity, EntityState::Stock(stock));
        !events.is_empty()
    }

    fn order(&mut self, id: OrderId, command: OrderCommand) {
        let entity = EntityId::Order(id);
        let EntityState::Order(mut order) = self.state(&entity) else { return };
        for event in order.decide(command, Timestamp::from_millis(self.now)).unwrap_or_default() {
            order.apply(&event);
            self.stage(&entity, order.version(), Event::Order(event));
        }
        if order.version() > 0 {
            self.states.insert(entity, EntityState::Order(order));
        }
    }

    fn change_product(&mut self) {
        let entity = EntityId::Product(self.sku());
        let EntityState::Product(mut product) = self.state(&entity) else { return };
        let details = self.details();
        let command = match self.below(4) {
            0 => ProductCommand::Remove { expected_version: None },
            _ if product.details().is_none() => ProductCommand::Create(details),
            _ => ProductCommand::Update { details, expected_version: None },
        };
        for event in product.decide(command, Timestamp::from_millis(self.now)).unwrap_or_default() {
            product.apply(&event);
            self.stage(&entity, product.version(), Event::Product(event));
        }
        if product.version() > 0 {
            self.states.insert(entity, EntityState::Product(product));
        }
    }

    fn details(&mut self) -> ProductDetails {
        let variants = (0..self.below(4)).map(|number| Variant {
            sku: SkuId::parse(&format!("VARIANT-{number}")).unwrap(),
            name: format!("variant {number}"),
            options: BTreeMap::from([("size".to_owned(), format!("\"{number}\""))]),
        });
        let variants = variants.collect();
        ProductDetails {
            name: format!("name {}\0", self.below(100)),
            description: "Größe M — 'quoted' \\ \u{1}".to_owned(),
            price: Money::new(i64::try_from(self.below(100_000)).unwrap(), Currency::EUR),
            category: CATEGORIES[self.index(CATEGORIES.len())].to_owned(),
            images: vec!["https://cdn.example/1.webp".to_owned()],
            variants,
            metadata: BTreeMap::from([("brand".to_owned(), "An\0vil".to_owned())]),
        }
    }

    fn change_stock(&mut self) {
        let sku = self.sku();
        let quantity = self.quantity(50);
        let delta = i64::try_from(self.below(20)).unwrap() - 10;
        let command = match self.below(5) {
            0 | 1 => StockCommand::Receive { quantity, expected_version: None },
            2 => StockCommand::Adjust { delta, reason: "counted\0".to_owned(), expected_version: None },
            3 => StockCommand::SetPolicy(SalePolicy {
                opens_at: Some(Timestamp::from_millis(0)),
                closes_at: Some(Timestamp::MAX),
                per_order_limit: Some(self.quantity(9)),
                per_customer_limit: None,
            }),
            _ => StockCommand::Lapse,
        };
        self.stock(&sku, command);
    }

    fn change_cart(&mut self) {
        let id = CartId::from_u128(u128::from(self.below(8)) + 1);
        let entity = EntityId::Cart(id);
        let EntityState::Cart(mut cart) = self.state(&entity) else { return };
        let expires_at = Timestamp::from_millis(self.now + 50_000);
        let (sku, quantity) = (self.sku(), self.quantity(5));
        let command = match self.below(6) {
            _ if cart.version() == 0 => CartCommand::Create { currency: Currency::EUR, expires_at },
            0..3 => CartCommand::AddItem { sku, quantity, expires_at, expected_version: None },
            3 => CartCommand::MergeInto { into: CartId::from_u128(9) },
            4 => CartCommand::BeginCheckout {
                order: OrderId::from_u128(7),
                deadline: expires_at,
                expected_version: None,
            },
            _ => CartCommand::Expire,
        };
        for event in cart.decide(command, Timestamp::from_millis(self.now)).unwrap_or_default() {
            cart.apply(&event);
            self.stage(&entity, cart.version(), Event::Cart(event));
        }
        if cart.version() > 0 {
            self.states.insert(entity, EntityState::Cart(cart));
        }
    }

    fn place_order(&mut self) {
        let now = Timestamp::from_millis(self.now);
        let first = self.sku();
        let id = OrderId::from_key(
            (u128::from(self.below(u64::MAX)) << 64) | u128::from(self.below(u64::MAX)),
            first.slot(),
        );
        let customer = (self.below(2) == 0).then(|| CustomerId::parse(&format!("customer-{}", self.below(5))).unwrap());
        let currency = CURRENCIES[self.index(2)];
        let mut skus = vec![first, self.sku()];
        skus.dedup();
        let mut lines = Vec::new();
        for sku in skus {
            let hold = HoldId { order: id, line: u16::try_from(lines.len()).unwrap() };
            let (quantity, expires_at) = (self.quantity(3), now.saturating_add_millis(60_000));
            if self.stock(&sku, StockCommand::Hold { hold, quantity, expires_at, customer: customer.clone() }) {
                let unit_price = Money::new(i64::try_from(self.below(10_000)).unwrap(), currency);
                lines.push(OrderLine { sku, quantity, unit_price });
            }
        }
        if lines.is_empty() {
            return;
        }
        let prices = lines.iter().map(|line| line.unit_price.checked_mul(line.quantity).unwrap());
        let total = prices.fold(Money::zero(currency), |sum, price| sum.checked_add(price).unwrap());
        let capture = if self.below(2) == 0 { CapturePolicy::OnShipment } else { CapturePolicy::OnConfirmation };
        let buyer = BuyerId::from_u128(u128::from(self.below(99)));
        self.order(
            id,
            OrderCommand::Place(
                Placement {
                    buyer,
                    customer,
                    lines,
                    total,
                    payment_token: PaymentToken::parse("tok_approve").unwrap(),
                    capture,
                    placed_at: now,
                    expires_at: now.saturating_add_millis(60_000),
                    fingerprint: 1,
                }
                .into(),
            ),
        );
        self.orders.push(id);
    }

    /// Something happens to an order: what it is owed, or what somebody asks for.
    fn go_on(&mut self) {
        if self.orders.is_empty() {
            return;
        }
        let place = self.index(self.orders.len());
        let id = self.orders[place];
        let EntityState::Order(order) = self.state(&EntityId::Order(id)) else { return };
        if self.below(4) == 0 {
            let request = u128::from(self.below(1_000));
            let command = match self.below(6) {
                0 => OrderCommand::Cancel { reason: CancelReason::Buyer, expected_version: None },
                1 => OrderCommand::Expire,
                2 => OrderCommand::Ship { expected_version: None },
                3 => OrderCommand::Deliver { expected_version: None },
                _ => OrderCommand::Refund { request, amount: None },
            };
            return self.order(id, command);
        }
        for step in order.next_steps() {
            self.answer(id, step);
        }
    }

    fn answer(&mut self, id: OrderId, step: Step) {
        let outcome = match self.below(5) {
            0 => SettlementOutcome::Failed { reason: "no\0".to_owned() },
            _ => SettlementOutcome::Done,
        };
        let authorized = match self.below(8) {
            0 => AuthorizationOutcome::Declined { reason: "card_declined".to_owned() },
            _ => AuthorizationOutcome::Approved { reference: format!("auth_{}", self.below(9)) },
        };
        match step {
            Step::Gateway { key, .. } => self.order(
                id,
                match key.call {
                    GatewayCall::Authorize => OrderCommand::RecordAuthorization(authorized),
                    GatewayCall::Capture => OrderCommand::RecordCapture(outcome),
                    GatewayCall::Void => OrderCommand::RecordVoid,
                    GatewayCall::Refund(refund) => OrderCommand::RecordRefund { refund, outcome },
                },
            ),
            Step::Stock { sku, hold, action } => {
                let line = hold.line;
                match action {
                    StockAction::Allocate => {
                        let bound = self.stock(&sku, StockCommand::Allocate { hold });
                        let done = OrderCommand::LineAllocated { line };
                        self.order(id, if bound { done } else { OrderCommand::LineLost { line } });
                    }
                    StockAction::Release => {
                        self.stock(&sku, StockCommand::Release { hold });
                        self.order(id, OrderCommand::LineReleased { line });
                    }
                    StockAction::Fulfill => {
                        self.stock(&sku, StockCommand::Fulfill { hold });
                        self.order(id, OrderCommand::LineFulfilled { line });
                    }
                }
            }
        }
    }
}
