//! What every contender that sells is held to before it is measured: never one unit too many, one order per key, and no
//! customer above the limit. A peer that is fast because it breaks one of these is no peer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use futures_util::future::join_all;
use holdfast_api::load::{
    crowd::{self, Plan, Shopper},
    order::{IDEMPOTENCY_KEY, ORDERS, OrderTemplate, fresh_run},
    pace::Until,
    shop::Shop,
    tally::{Ledger, Verdict},
};
use http_body_util::Full;
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    header::{CONTENT_TYPE, HOST},
};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};

use crate::goods::closed;

/// Connections of a check.
const CROWD: usize = 32;
/// Requests of a check.
const REQUESTS: u64 = 1_000;
/// Different customers of a check.
const CUSTOMERS: u64 = 100;
/// Units one customer may have.
const LIMIT: u64 = 2;

/// How often each promise was broken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Broken {
    /// Units sold that were not there.
    pub(crate) oversold: u64,
    /// Units sold to customers above their limit, or not sold although they were below it.
    pub(crate) limit: u64,
    /// Orders beyond the one that a key may have; requests of another body that a key let through.
    pub(crate) keys: u64,
    /// Answers that were neither an order nor a clean refusal.
    pub(crate) errors: u64,
}

impl Broken {
    /// Whether none was.
    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// Holds a contender to all of them, at all of the addresses it sells at.
pub(crate) async fn check(shops: &[Shop]) -> anyhow::Result<Broken> {
    let mut broken = Broken::default();
    scarce(shops, &mut broken).await.context("a sale of 150 units")?;
    limited(shops, &mut broken).await.context("a sale with a limit per customer")?;
    one_key(shops, &mut broken).await.context("one key fifty times")?;
    Ok(broken)
}

/// More buyers than units, and more than a limit lets through: all units go, and not one more.
async fn scarce(shops: &[Shop], broken: &mut Broken) -> anyhow::Result<()> {
    let units = 150;
    let sale = Sale::put_up(&shops[0], units).await?;
    let book = sale.run(shops).await;
    broken.oversold = broken.oversold.saturating_add(book.sold.abs_diff(units));
    broken.count(&book);
    balance(&shops[0], &sale.sku, book.sold, broken).await
}

/// More units than the limit lets through: every customer gets exactly the limit.
async fn limited(shops: &[Shop], broken: &mut Broken) -> anyhow::Result<()> {
    let sale = Sale::put_up(&shops[0], 10 * REQUESTS).await?;
    let book = sale.run(shops).await;
    broken.limit = broken.limit.saturating_add(book.sold.abs_diff(CUSTOMERS * LIMIT));
    broken.count(&book);
    balance(&shops[0], &sale.sku, book.sold, broken).await
}

/// What the shop's own books say, beside what it acknowledged. A peer's books say what is left, and what is taken follows from that:
/// whether the parts add up says something of ours only.
async fn balance(shop: &Shop, sku: &str, sold: u64, broken: &mut Broken) -> anyhow::Result<()> {
    let units = shop.units(sku).await?;
    let wrong = units.taken().abs_diff(sold).saturating_add(units.unbalanced());
    broken.oversold = broken.oversold.saturating_add(wrong);
    Ok(())
}

/// The same order fifty times at once, then its key with another body.
async fn one_key(shops: &[Shop], broken: &mut Broken) -> anyhow::Result<()> {
    let shop = &shops[0];
    let sku = format!("key-{}", fresh_run()?);
    shop.put_up(&Shop::plain_product(&sku, 1_000)).await?;
    let key = format!("one-key-{}", fresh_run()?);
    let name = IDEMPOTENCY_KEY;
    let headers = [(name.as_str(), key.as_str())];
    let body = OrderTemplate::body(&sku);
    let everywhere = shops.iter().cycle().take(50);
    let answers = join_all(everywhere.map(|shop| shop.call(Method::POST, ORDERS, None, &headers, Some(&body)))).await;
    let mut orders = BTreeSet::new();
    for answer in answers {
        let answer = answer?;
        match answer.status {
            StatusCode::CREATED => drop(orders.insert(answer.body["id"].to_string())),
            // In flight: it may be asked again.
            StatusCode::CONFLICT => {}
            _ => broken.errors = broken.errors.saturating_add(1),
        }
    }
    let mut other = body;
    other["lines"][0]["quantity"] = json!(2);
    let reused = shop.call(Method::POST, ORDERS, None, &headers, Some(&other)).await?;
    let is_let_through = reused.status != StatusCode::UNPROCESSABLE_ENTITY;
    let taken = shop.units(&sku).await?.taken();
    let beyond = (orders.len() as u64).abs_diff(1).max(taken.abs_diff(1));
    broken.keys = broken.keys.saturating_add(beyond).saturating_add(u64::from(is_let_through));
    Ok(())
}

impl Broken {
    fn count(&mut self, book: &Book) {
        let above = book.customers.values().map(|units| units.saturating_sub(LIMIT)).sum::<u64>();
        self.limit = self.limit.saturating_add(above);
        self.errors = self.errors.saturating_add(book.errors);
    }
}

/// What buyers were told.
#[derive(Debug, Clone, Default)]
struct Book {
    sold: u64,
    errors: u64,
    customers: BTreeMap<u64, u64>,
}

/// A sale of one SKU that is limited per customer.
struct Sale {
    sku: String,
    run: String,
}

impl Sale {
    async fn put_up(shop: &Shop, units: u64) -> anyhow::Result<Self> {
        let run = fresh_run()?;
        let sku = format!("limited-{run}");
        let mut product = Shop::plain_product(&sku, units);
        product["sale"] = json!({ "per_customer_limit": LIMIT });
        shop.put_up(&product).await?;
        Ok(Self { sku, run })
    }

    /// Lets every customer order ten times, at all of the addresses.
    async fn run(&self, shops: &[Shop]) -> Book {
        let book = Arc::new(Mutex::new(Book::default()));
        let (ledger, nodes) = (Arc::new(Ledger::default()), shops.len() as u64);
        let crowds = (0..nodes).zip(shops).map(async |(node, shop)| {
            let load = closed(CROWD.div_ceil(shops.len()), Duration::from_mins(1));
            let plan = Plan { until: Until::Requests((REQUESTS + nodes - 1 - node) / nodes), ..load.plan(shop) };
            let shopper = |_| Customer {
                body: OrderTemplate::body(&self.sku),
                run: format!("{}-{node}", self.run),
                host: shop.target().authority().to_owned(),
                book: Arc::clone(&book),
            };
            crowd::run(plan, shopper, Arc::clone(&ledger)).await;
        });
        join_all(crowds).await;
        let mut book = book.lock().clone();
        book.errors = ledger.tally().failed;
        book
    }
}

/// Orders for one customer after the other.
struct Customer {
    body: Value,
    run: String,
    host: String,
    book: Arc<Mutex<Book>>,
}

impl Shopper for Customer {
    fn request(&mut self, number: u64) -> Request<Full<Bytes>> {
        self.body["customer"] = json!(format!("customer-{}", number % CUSTOMERS));
        let request = Request::post(ORDERS)
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, "application/json")
            .header(IDEMPOTENCY_KEY, format!("{}-{number:010}", self.run))
            .body(Full::new(Bytes::from(self.body.to_string())));
        request.unwrap_or_default()
    }

    fn judge(&mut self, number: u64, status: StatusCode, body: &[u8]) -> Verdict {
        let refused = |slug: &str| body.windows(slug.len()).any(|part| part == slug.as_bytes());
        match status {
            StatusCode::CREATED => {
                let mut book = self.book.lock();
                book.sold = book.sold.saturating_add(1);
                let units = book.customers.entry(number % CUSTOMERS).or_default();
                *units = units.saturating_add(1);
                Verdict::Sold
            }
            StatusCode::CONFLICT if refused("/insufficient-stock\"") || refused("/customer-limit\"") => {
                Verdict::Refused
            }
            _ => Verdict::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;
    use crate::memory_shop::{Flaw, MemoryShop};

    async fn broken_by(flaw: Flaw) -> Broken {
        let mut tasks = JoinSet::new();
        check(&[MemoryShop::open(flaw, &mut tasks).await]).await.unwrap()
    }

    #[tokio::test]
    async fn a_node_that_does_not_know_what_the_first_one_sells_is_found() {
        let mut tasks = JoinSet::new();
        let one = MemoryShop::open(Flaw::None, &mut tasks).await;
        let other = MemoryShop::open(Flaw::None, &mut tasks).await;
        let broken = check(&[one, other]).await.unwrap();
        assert!(broken.errors > 0, "{broken:?}");
    }

    #[tokio::test]
    async fn an_honest_shop_breaks_nothing() {
        assert_eq!(broken_by(Flaw::None).await, Broken::default());
    }

    #[tokio::test]
    async fn one_unit_too_many_is_found() {
        assert!(broken_by(Flaw::OneTooMany).await.oversold > 0);
    }

    #[tokio::test]
    async fn a_limit_that_nobody_keeps_is_found() {
        assert!(broken_by(Flaw::NoLimit).await.limit > 0);
    }

    #[tokio::test]
    async fn a_key_that_makes_several_orders_is_found() {
        assert!(broken_by(Flaw::ForgetsKeys).await.keys > 0);
    }

    #[tokio::test]
    async fn a_key_that_is_taken_for_another_order_is_found() {
        assert!(broken_by(Flaw::IgnoresBodies).await.keys > 0);
    }
}
