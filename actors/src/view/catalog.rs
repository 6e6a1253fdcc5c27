//! The products and their units, by SKU, and who watches which.
//!
//! Invariants: a SKU is listed exactly while its entry has details; a watch exists only for a listed SKU, and goes with
//! its last reader: at the next change of its stock, or at the latest when the number of watched SKUs has doubled.
//!
//! Locks: an entry's first, then `listing` or `watched`. Nobody takes an entry while holding one of those.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Bound,
    sync::Arc,
};

use holdfast_core::{
    SkuId,
    product::ProductDetails,
    stock::{SalePolicy, StockLevel},
};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::{ProductQuery, ProductView, StockView, ViewUpdate};
use crate::id_map::SharedIdMap;

/// How many SKUs a listing reads under one lock, at most: a long search lets changes of the catalog through in between.
const SCAN_SKUS: usize = 1_024;

/// Below this many watched SKUs nobody looks for watches without a reader.
const FIRST_SWEEP: usize = 64;

#[derive(Default)]
pub(super) struct Catalog {
    skus: SharedIdMap<SkuId, SkuEntry>,
    listing: RwLock<Listing>,
    watched: Mutex<Watched>,
}

/// What is known of one SKU.
#[derive(Default)]
struct SkuEntry {
    level: StockLevel,
    policy: SalePolicy,
    stock_version: u64,
    details: Option<Arc<ProductDetails>>,
    product_version: u64,
    watch: Option<watch::Sender<StockView>>,
}

/// The SKUs in the catalog, in order: all of them, and by category and each category above it.
#[derive(Default)]
struct Listing {
    all: BTreeSet<SkuId>,
    by_category: BTreeMap<Box<str>, BTreeSet<SkuId>>,
}

/// The SKUs that may have a watch.
#[derive(Default)]
struct Watched {
    skus: HashSet<SkuId>,
    sweep_at: usize,
    closed: bool,
}

impl Catalog {
    /// Takes in what the update says of the goods, if it is about them.
    pub(super) fn apply(&self, update: ViewUpdate) {
        match update {
            ViewUpdate::Stock { sku, level, policy, version } => self.set_stock(&sku, level, policy, version),
            ViewUpdate::Product { sku, details, version } => self.set_product(&sku, details, version),
            ViewUpdate::Order(_) | ViewUpdate::OrderStatus { .. } => {}
        }
    }

    /// Shows these units, unless newer ones are shown.
    pub(super) fn set_stock(&self, sku: &SkuId, level: StockLevel, policy: SalePolicy, version: u64) {
        if let Some(mut entry) = self.skus.get_mut(sku) {
            entry.set_stock(sku, level, policy, version);
            return;
        }
        self.skus.entry(sku.clone()).or_default().set_stock(sku, level, policy, version);
    }

    /// Lists the SKU with these details, or takes it out of the list, unless something newer is shown.
    pub(super) fn set_product(&self, sku: &SkuId, details: Option<Arc<ProductDetails>>, version: u64) {
        let mut entry = self.skus.entry(sku.clone()).or_default();
        if version <= entry.product_version {
            return;
        }
        let (old, new) = (entry.details.as_ref().map(|is| &is.category), details.as_ref().map(|is| &is.category));
        if old != new {
            let mut listing = self.listing.write();
            if let Some(category) = old {
                listing.remove(sku, category);
            }
            if let Some(category) = new {
                listing.insert(sku, category);
            }
        }
        if details.is_none() {
            entry.watch = None;
        }
        entry.details = details;
        entry.product_version = version;
    }

    pub(super) fn product(&self, sku: &SkuId) -> Option<ProductView> {
        self.skus.get(sku)?.product_view(sku)
    }

    pub(super) fn stock(&self, sku: &SkuId) -> Option<StockView> {
        self.skus.get(sku).map(|entry| entry.stock_view(sku))
    }

    /// How many units can be sold now, if that is fewer than `wanted` and nothing else is to be said of the SKU: it is in the catalog
    /// and sold to everybody at any time.
    pub(super) fn available_if_short(&self, sku: &SkuId, wanted: u64) -> Option<u64> {
        let entry = self.skus.get(sku)?;
        let available = entry.level.available();
        // In this order: of goods that are not sold out nothing else is read.
        let is_short = available < wanted && entry.policy == SalePolicy::default() && entry.details.is_some();
        is_short.then_some(available)
    }

    pub(super) fn total_units(&self) -> StockLevel {
        self.skus.iter().fold(StockLevel::default(), |sum, entry| StockLevel {
            on_hand: sum.on_hand.saturating_add(entry.level.on_hand),
            held: sum.held.saturating_add(entry.level.held),
            allocated: sum.allocated.saturating_add(entry.level.allocated),
            fulfilled: sum.fulfilled.saturating_add(entry.level.fulfilled),
        })
    }

    pub(super) fn products(&self, query: &ProductQuery) -> Vec<ProductView> {
        let mut page = Vec::new();
        let mut after = query.after.clone();
        while page.len() < query.limit {
            let wanted = if query.in_stock.is_none() { query.limit - page.len() } else { SCAN_SKUS };
            let scanned = self.listing.read().after(after.as_ref(), query.category.as_deref(), wanted.min(SCAN_SKUS));
            let Some(last) = scanned.last() else { break };
            after = Some(last.clone());
            let found = scanned.iter().filter_map(|sku| self.product(sku));
            let fitting = found.filter(|product| {
                query.in_stock.is_none_or(|in_stock| in_stock == (product.stock.level.available() > 0))
            });
            page.extend(fitting.take(query.limit - page.len()));
        }
        page
    }

    pub(super) fn len(&self) -> usize {
        self.listing.read().all.len()
    }

    pub(super) fn watch_stock(&self, sku: &SkuId) -> Option<watch::Receiver<StockView>> {
        let (receiver, sweep) = {
            let mut entry = self.skus.get_mut(sku)?;
            entry.details.as_ref()?;
            let sweep = self.watched.lock().add(sku)?;
            let view = entry.stock_view(sku);
            (entry.watch.get_or_insert_with(|| watch::Sender::new(view)).subscribe(), sweep)
        };
        if sweep {
            self.sweep_watches();
        }
        Some(receiver)
    }

    pub(super) fn watch_count(&self) -> usize {
        self.watched.lock().skus.len()
    }

    pub(super) fn close_watches(&self) {
        let skus = {
            let mut watched = self.watched.lock();
            watched.closed = true;
            std::mem::take(&mut watched.skus)
        };
        for sku in skus {
            if let Some(mut entry) = self.skus.get_mut(&sku) {
                entry.watch = None;
            }
        }
    }

    /// Drops the watches nobody reads any more.
    fn sweep_watches(&self) {
        let skus: Vec<SkuId> = self.watched.lock().skus.iter().cloned().collect();
        for sku in skus {
            let Some(mut entry) = self.skus.get_mut(&sku) else { continue };
            entry.watch.take_if(|watch| watch.receiver_count() == 0);
            if entry.watch.is_none() {
                self.watched.lock().skus.remove(&sku);
            }
        }
        let mut watched = self.watched.lock();
        watched.sweep_at = watched.skus.len().saturating_mul(2);
    }
}

impl SkuEntry {
    fn set_stock(&mut self, sku: &SkuId, level: StockLevel, policy: SalePolicy, version: u64) {
        if version <= self.stock_version {
            return;
        }
        self.level = level;
        self.policy = policy;
        self.stock_version = version;
        if let Some(watch) = &self.watch {
            // Sending fails exactly when nobody reads any more.
            if watch.send(self.stock_view(sku)).is_err() {
                self.watch = None;
            }
        }
    }

    fn stock_view(&self, sku: &SkuId) -> StockView {
        StockView { sku: sku.clone(), level: self.level, policy: self.policy, version: self.stock_version }
    }

    fn product_view(&self, sku: &SkuId) -> Option<ProductView> {
        let details = Arc::clone(self.details.as_ref()?);
        Some(ProductView { sku: sku.clone(), details, version: self.product_version, stock: self.stock_view(sku) })
    }
}

impl Listing {
    fn insert(&mut self, sku: &SkuId, category: &str) {
        self.all.insert(sku.clone());
        for path in with_ancestors(category) {
            match self.by_category.get_mut(path) {
                Some(skus) => drop(skus.insert(sku.clone())),
                None => drop(self.by_category.insert(path.into(), BTreeSet::from([sku.clone()]))),
            }
        }
    }

    fn remove(&mut self, sku: &SkuId, category: &str) {
        self.all.remove(sku);
        for path in with_ancestors(category) {
            if let Some(skus) = self.by_category.get_mut(path) {
                skus.remove(sku);
                if skus.is_empty() {
                    self.by_category.remove(path);
                }
            }
        }
    }

    /// The next `limit` SKUs.
    fn after(&self, after: Option<&SkuId>, category: Option<&str>, limit: usize) -> Vec<SkuId> {
        let skus = match category {
            None => Some(&self.all),
            Some(category) => self.by_category.get(category),
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        skus.into_iter().flat_map(|skus| skus.range((from, Bound::Unbounded))).take(limit).cloned().collect()
    }
}

impl Watched {
    /// Notes that `sku` gets a watch. `None`: no more watches. `Some(true)`: time to look for watches without a reader.
    fn add(&mut self, sku: &SkuId) -> Option<bool> {
        if self.closed {
            return None;
        }
        self.skus.insert(sku.clone());
        Some(self.skus.len() > self.sweep_at.max(FIRST_SWEEP))
    }
}

/// `a/b/c`, `a/b` and `a`.
fn with_ancestors(category: &str) -> impl Iterator<Item = &str> {
    std::iter::once(category).chain(category.rmatch_indices('/').map(|(end, _)| &category[..end]))
}

#[cfg(test)]
mod tests {
    use holdfast_core::{Currency, Money, Quantity};

    use super::*;

    fn details() -> Arc<ProductDetails> {
        Arc::new(ProductDetails {
            name: "Headphones".to_owned(),
            description: String::new(),
            price: Money::new(9_900, Currency::EUR),
            category: "audio".to_owned(),
            images: Vec::new(),
            variants: Vec::new(),
            metadata: BTreeMap::new(),
        })
    }

    #[test]
    fn goods_are_short_when_fewer_are_left_and_nothing_else_is_to_be_said() {
        let catalog = Catalog::default();
        let sku = SkuId::parse("HP-1").expect("a SKU");
        let level = StockLevel { on_hand: 9, held: 3, allocated: 4, fulfilled: 0 };
        assert_eq!(catalog.available_if_short(&sku, 1), None, "nobody knows it");
        catalog.set_stock(&sku, level, SalePolicy::default(), 1);
        assert_eq!(catalog.available_if_short(&sku, 3), None, "it is not in the catalog");
        catalog.set_product(&sku, Some(details()), 1);
        assert_eq!(catalog.available_if_short(&sku, 2), None, "there are enough");
        assert_eq!(catalog.available_if_short(&sku, 3), Some(2));
        let limited = SalePolicy { per_order_limit: Some(Quantity::ONE), ..SalePolicy::default() };
        catalog.set_stock(&sku, level, limited, 2);
        assert_eq!(catalog.available_if_short(&sku, 3), None, "its shard says whether the limit is what refuses it");
        catalog.set_stock(&sku, level, SalePolicy::default(), 3);
        catalog.set_product(&sku, None, 2);
        assert_eq!(catalog.available_if_short(&sku, 3), None, "it has left the catalog");
    }
}
