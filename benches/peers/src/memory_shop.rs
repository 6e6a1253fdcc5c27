//! A shop in memory for the tests of the checks: honest, or with a flaw that a check has to find.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use holdfast_api::load::{shop::Shop, target::Target};
use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    front::routes,
    sale::{Placed, Product, Refusal, Stack, Units, Wanted},
};

/// What is wrong with a shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// Sells one unit more than there is.
    OneTooMany,
    /// Counts nobody's units.
    NoLimit,
    /// Knows no key again.
    ForgetsKeys,
    /// Takes a key for the same order whatever its body.
    IgnoresBodies,
}

/// The shop.
#[derive(Debug, Clone)]
pub(crate) struct MemoryShop {
    flaw: Flaw,
    books: Arc<Mutex<Books>>,
}

#[derive(Debug, Default)]
struct Books {
    stock: BTreeMap<String, Stock>,
    orders: BTreeMap<String, (i64, Placed)>,
}

#[derive(Debug)]
struct Stock {
    on_hand: i64,
    available: i64,
    limit: Option<u32>,
    taken: BTreeMap<String, u32>,
}

impl MemoryShop {
    /// Serves such a shop until the set is dropped.
    pub(crate) async fn open(flaw: Flaw, tasks: &mut JoinSet<()>) -> Shop {
        let stack = Self { flaw, books: Arc::default() };
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(any).await.unwrap();
        let shop = Shop::new(Target::from(listener.local_addr().unwrap()), None);
        tasks.spawn(async move { axum::serve(listener, routes(stack)).await.unwrap() });
        shop
    }
}

impl Stack for MemoryShop {
    async fn place(&self, wanted: Wanted) -> anyhow::Result<Result<Placed, Refusal>> {
        let Books { stock, orders } = &mut *self.books.lock();
        if let Some((fingerprint, placed)) = orders.get(&wanted.key).filter(|_| self.flaw != Flaw::ForgetsKeys) {
            let is_same = *fingerprint == wanted.fingerprint || self.flaw == Flaw::IgnoresBodies;
            return Ok(if is_same { Ok(Placed { replayed: true, ..*placed }) } else { Err(Refusal::KeyReused) });
        }
        let Some(stock) = stock.get_mut(&wanted.sku) else { return Ok(Err(Refusal::NoSuchSku)) };
        let quantity = i64::from(wanted.quantity);
        if stock.available + i64::from(self.flaw == Flaw::OneTooMany) < quantity {
            return Ok(Err(Refusal::SoldOut));
        }
        if let (Some(limit), Some(customer)) = (stock.limit, wanted.customer) {
            let taken = stock.taken.entry(customer).or_default();
            if *taken + wanted.quantity > limit && self.flaw != Flaw::NoLimit {
                return Ok(Err(Refusal::OverLimit));
            }
            *taken += wanted.quantity;
        }
        stock.available -= quantity;
        let placed = Placed { order: wanted.order, unit_price: 4_900, at_ms: wanted.placed_at_ms, replayed: false };
        orders.insert(wanted.key, (wanted.fingerprint, placed));
        Ok(Ok(placed))
    }

    async fn put_up(&self, product: Product) -> anyhow::Result<()> {
        let units = i64::try_from(product.units)?;
        let limit = product.sale.and_then(|sale| sale.per_customer_limit);
        let stock = Stock { on_hand: units, available: units, limit, taken: BTreeMap::new() };
        self.books.lock().stock.insert(product.sku, stock);
        Ok(())
    }

    async fn units(&self, sku: &str) -> anyhow::Result<Option<Units>> {
        let books = self.books.lock();
        // A book that shows less than nothing could not be read; the orders say enough.
        Ok(books.stock.get(sku).map(|stock| Units::of(stock.on_hand, stock.available.max(0))))
    }
}
