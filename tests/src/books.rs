//! The books of a shop, checked from outside: every acknowledged order is there exactly once and as it was acknowledged, and
//! for its own buyer only; where everybody was answered, there is no other; every unit is somewhere, no order paid more than
//! once.
//!
//! Orders are read one by one with the operator's eyes, and their lines added up per SKU; that must be what the stock says.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use holdfast_api::{
    demo::{audit, buyer::Receipt},
    load::{
        crowd::{self, Patience, Plan, Shopper},
        order::ORDERS,
        pace::Until,
        shop::{Shop, Units},
        stopwatch::Stopwatch,
        tally::{Ledger, Verdict},
    },
};
use http_body_util::Full;
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    header::{AUTHORIZATION, HOST},
};
use serde_json::Value;

use crate::gateway_book;

/// Connections that read at once.
const READERS: usize = 8;
/// How long stock steps and payments that were under way may take to end, on however slow a machine.
const SETTLING: Duration = Duration::from_mins(1);
/// What an order says when it is read and said when it was acknowledged, and what never changes.
const FROZEN: [&str; 5] = ["id", "placed_at", "customer", "total", "expires_at"];

/// What a shop must have: the orders that were acknowledged, and the units that were put up.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// The acknowledgments, by order.
    pub acknowledged: BTreeMap<String, Value>,
    /// The units put up, by SKU.
    pub stock: BTreeMap<String, u64>,
    /// The sandbox gateway's book, if it keeps one: its ledger must agree with the orders.
    pub gateway: Option<PathBuf>,
    /// Whether everybody who ordered asked until there was an answer: then no order is there but these.
    complete: bool,
    /// Where an order may stand, once it was acknowledged that it moved.
    moved: BTreeMap<String, &'static [&'static str]>,
}

/// What was found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Found {
    /// Orders that were acknowledged.
    pub acknowledged: u64,
    /// Those among them that are there.
    pub found: u64,
    /// Orders that are there although nobody was told: none, where everybody was answered.
    pub unannounced: u64,
    /// Units that orders hold, own or took away.
    pub units: u64,
    /// Orders whose money was captured.
    pub captured: u64,
}

impl Books {
    /// Books of people who ask until they are answered. An order that is not in them in the end was made for nobody.
    pub fn of_the_patient() -> Self {
        Self { complete: true, ..Self::default() }
    }

    /// Enters the body of an acknowledgment. A retry's must be the same.
    ///
    /// # Errors
    /// When it names no order, or contradicts an earlier one.
    pub fn acknowledge(&mut self, body: &Value) -> anyhow::Result<()> {
        let id = text(body, "id").with_context(|| format!("no order in {body}"))?;
        if let Some(before) = self.acknowledged.insert(id, body.clone()) {
            ensure!(before == *body, "a retry was answered otherwise: {before} and {body}");
        }
        Ok(())
    }

    /// The same for a shop that lost a part of what it had, and whose customers gave up: what moved may have moved back, and
    /// of what they were asking for when they left some was done.
    #[must_use]
    pub fn after_a_loss(self) -> Self {
        Self { moved: BTreeMap::new(), complete: false, ..self }
    }

    /// Enters that an order was acknowledged to have moved: from now on it stands at one of `statuses`.
    pub fn moved(&mut self, id: &str, statuses: &'static [&'static str]) {
        self.moved.insert(id.to_owned(), statuses);
    }

    /// Compares a running shop with the books.
    ///
    /// # Errors
    /// The first promise that was not kept, in words.
    pub async fn check(&self, shop: &Shop) -> anyhow::Result<Found> {
        let mut orders = read_all(shop).await?;
        // Payments and stock steps that the crash interrupted go on: look again until nothing moves.
        let watch = Stopwatch::start();
        let (orders, units) = loop {
            let units = self.units(shop).await?;
            let agreed = self.add_up(&orders, &units).and_then(|()| self.compare_ledgers(&orders));
            if agreed.is_ok() || watch.elapsed() > SETTLING {
                agreed?;
                break (orders, units);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            orders = read_all(shop).await?;
        };
        for (id, body) in &self.acknowledged {
            let order = orders.get(id).with_context(|| format!("{id} was acknowledged and is gone: {body}"))?;
            is_as_acknowledged(order, body)?;
        }
        for (id, statuses) in &self.moved {
            let order = orders.get(id).with_context(|| format!("{id} was moved and is gone"))?;
            let status = order["status"].as_str().unwrap_or_default();
            ensure!(statuses.contains(&status), "{id} was acknowledged as {}: {order}", statuses[0]);
        }
        let strangers: Vec<_> = orders.iter().filter(|(id, _)| !self.acknowledged.contains_key(*id)).collect();
        let unannounced = strangers.len() as u64;
        ensure!(!self.complete || unannounced == 0, "{unannounced} orders nobody was told of: {:?}", strangers.first());
        let receipts: Vec<_> = self.acknowledged.values().filter_map(receipt).collect();
        ensure!(receipts.len() == self.acknowledged.len(), "an acknowledgment without a buyer's token");
        let audit = audit::look_up(shop.target(), receipts, READERS).await;
        ensure!(audit.lost == 0, "{} orders are not there for their buyers: {:?}", audit.lost, audit.first_loss);
        self.keep_to_themselves(shop).await?;
        Ok(Found {
            acknowledged: self.acknowledged.len() as u64,
            found: audit.found,
            unannounced,
            units: units.values().map(Units::taken).sum(),
            captured: orders.values().filter(|order| money(order, "captured") > 0).count() as u64,
        })
    }

    /// I5: to one buyer another one's order is not there.
    async fn keep_to_themselves(&self, shop: &Shop) -> anyhow::Result<()> {
        let mut receipts = self.acknowledged.values().filter_map(receipt);
        let Some(own) = receipts.next() else { return Ok(()) };
        let Some(foreign) = receipts.find(|other| other.buyer_token != own.buyer_token) else { return Ok(()) };
        let shown = shop.order(&own.id, &foreign.buyer_token).await?;
        ensure!(shown.is_none(), "the buyer of {} is shown another one's order: {shown:?}", foreign.id);
        Ok(())
    }

    async fn units(&self, shop: &Shop) -> anyhow::Result<BTreeMap<String, Units>> {
        let mut all = BTreeMap::new();
        for sku in self.stock.keys() {
            all.insert(sku.clone(), shop.units(sku).await.with_context(|| format!("{sku} was put up and is gone"))?);
        }
        Ok(all)
    }

    /// I1 and I3: the stock says what the orders add up to, and no order took or gave back more than it costs.
    fn add_up(&self, orders: &BTreeMap<String, Value>, units: &BTreeMap<String, Units>) -> anyhow::Result<()> {
        let mut sums: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for order in orders.values() {
            let (total, captured, refunded) = (total(order), money(order, "captured"), money(order, "refunded"));
            ensure!(captured == 0 || captured == total, "captured is not the total: {order}");
            ensure!(refunded <= captured, "more refunded than captured: {order}");
            for line in order["lines"].as_array().into_iter().flatten() {
                let (sku, place) = (line["sku"].as_str().unwrap_or("?"), line["stock"].as_str().unwrap_or("?"));
                ensure!(place != "releasing", "still giving units back: {order}");
                let sum = sums.entry((sku, place)).or_default();
                *sum += line["quantity"].as_u64().context("a line without a quantity")?;
            }
        }
        for (sku, put_up) in &self.stock {
            let units = units.get(sku).context("units that were read")?;
            let sum = |place| sums.get(&(sku.as_str(), place)).copied().unwrap_or(0);
            ensure!(units.balance(), "{sku}: on_hand is not available + held + allocated: {units:?}");
            ensure!(units.on_hand + units.fulfilled == *put_up, "{sku}: {put_up} put up, {units:?}");
            ensure!(units.taken() <= *put_up, "{sku}: oversold: {put_up} put up, {units:?}");
            ensure!(units.allocated == sum("allocated"), "{sku}: {units:?}, orders own {}", sum("allocated"));
            ensure!(units.fulfilled == sum("fulfilled"), "{sku}: {units:?}, orders took {}", sum("fulfilled"));
            // A hold whose order never came to be lapses by itself, so there may be more.
            ensure!(units.held >= sum("held"), "{sku}: {units:?}, orders hold {}", sum("held"));
        }
        Ok(())
    }

    /// I3: at most one capture per order, and the gateway's ledger says what the orders say.
    fn compare_ledgers(&self, orders: &BTreeMap<String, Value>) -> anyhow::Result<()> {
        let Some(book) = &self.gateway else { return Ok(()) };
        let gateway = gateway_book::read(book)?;
        let wrong = gateway.ledger().violations();
        ensure!(wrong.is_empty(), "money went wrong at the gateway: {wrong:?}");
        for (id, order) in orders {
            let (captured, refunded) = (money(order, "captured"), money(order, "refunded"));
            let books = gateway.ledger().order(id.parse()?);
            let (taken, given) = books.map_or((0, 0), |books| (books.captured, books.refunded));
            ensure!((captured, refunded) == (taken, given), "the gateway took {taken} and gave {given}: {order}");
            let is_shipped = self.moved.get(id).is_some_and(|statuses| statuses.contains(&"shipped"));
            ensure!(!is_shipped || captured > 0, "shipped and not paid: {order}");
        }
        Ok(())
    }

    /// Waits until no SKU has a hold, which orders that never came to be keep for a while.
    ///
    /// # Errors
    /// When one has after `patience`.
    pub async fn without_holds(&self, shop: &Shop, patience: Duration) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        loop {
            let units = self.units(shop).await?;
            let held: u64 = units.values().map(|units| units.held).sum();
            if held == 0 {
                return Ok(());
            }
            ensure!(watch.elapsed() < patience, "{held} units are still held after {patience:?}: {units:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn is_as_acknowledged(order: &Value, body: &Value) -> anyhow::Result<()> {
    for field in FROZEN {
        ensure!(order[field] == body[field], "{field} is not as acknowledged: {body}, now {order}");
    }
    let lines = |of: &Value| -> Vec<_> {
        let lines = of["lines"].as_array().into_iter().flatten();
        lines.map(|line| (line["sku"].clone(), line["quantity"].clone(), line["unit_price"].clone())).collect()
    };
    ensure!(lines(order) == lines(body), "the lines are not as acknowledged: {body}, now {order}");
    Ok(())
}

fn text(body: &Value, field: &str) -> Option<String> {
    body[field].as_str().map(str::to_owned)
}

fn receipt(body: &Value) -> Option<Receipt> {
    Some(Receipt { id: text(body, "id")?, buyer_token: text(body, "buyer_token")? })
}

fn total(order: &Value) -> i64 {
    order["total"]["amount_minor"].as_i64().unwrap_or(-1)
}

fn money(order: &Value, what: &str) -> i64 {
    order["payment"][what]["amount_minor"].as_i64().unwrap_or(0)
}

/// Every order of the shop, read through its shard.
async fn read_all(shop: &Shop) -> anyhow::Result<BTreeMap<String, Value>> {
    let ids: Arc<[String]> = list(shop).await?.into_iter().collect();
    let reader = Reader {
        host: Arc::from(shop.target().authority()),
        token: Arc::from(shop.admin_token().context("the operator's token")?),
        ids: Arc::clone(&ids),
        orders: Arc::default(),
    };
    let plan = Plan {
        address: shop.target().address(),
        connections: READERS,
        until: Until::Requests(ids.len() as u64),
        rate: None,
        patience: Patience::None,
        grace: Duration::ZERO,
    };
    let ledger = Arc::new(Ledger::default());
    crowd::run(plan, |_| reader.clone(), Arc::clone(&ledger)).await;
    let tally = ledger.tally();
    ensure!(tally.failed == 0, "an order that is listed cannot be read: {:?}", tally.first_failure);
    Ok(std::mem::take(&mut *reader.orders.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// The ids of all orders; one that is listed twice is an error.
async fn list(shop: &Shop) -> anyhow::Result<BTreeSet<String>> {
    let (mut ids, mut cursor) = (BTreeSet::new(), None::<String>);
    loop {
        let from = cursor.map_or_else(String::new, |cursor| format!("&cursor={cursor}"));
        let page = shop.admin_call(Method::GET, &format!("{ORDERS}?limit=100{from}"), None).await?;
        let page = page.expect("the orders", &[StatusCode::OK])?.body;
        for order in page["items"].as_array().into_iter().flatten() {
            let id = text(order, "id").context("an order without an id")?;
            ensure!(ids.insert(id), "an order is listed twice: {order}");
        }
        cursor = text(&page, "next_cursor");
        if cursor.is_none() {
            return Ok(ids);
        }
    }
}

/// One connection that reads orders.
#[derive(Clone)]
struct Reader {
    host: Arc<str>,
    token: Arc<str>,
    ids: Arc<[String]>,
    orders: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Shopper for Reader {
    fn request(&mut self, number: u64) -> Request<Full<Bytes>> {
        let id = usize::try_from(number).ok().and_then(|number| self.ids.get(number));
        let request = Request::builder()
            .uri(format!("{ORDERS}/{}", id.map_or("", |id| id)))
            .header(HOST, &*self.host)
            .header(AUTHORIZATION, format!("Bearer {}", self.token));
        request.body(Full::default()).unwrap_or_default()
    }

    fn judge(&mut self, _number: u64, status: StatusCode, body: &[u8]) -> Verdict {
        let order: Option<Value> = serde_json::from_slice(body).ok();
        match order.and_then(|order| Some((text(&order, "id")?, order))) {
            Some((id, order)) if status == StatusCode::OK => {
                self.orders.lock().unwrap_or_else(PoisonError::into_inner).insert(id, order);
                Verdict::Sold
            }
            _ => Verdict::Failed,
        }
    }
}
