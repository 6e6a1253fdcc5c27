//! Products and stock as readers see them: listings by SKU, what counts as in stock, versions, and live watches.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{collections::BTreeMap, sync::Arc};

use holdfast_actors::view::{ProductQuery, ViewUpdate, Views};
use holdfast_core::{
    Currency, Entity, HoldId, Money, OrderId, Quantity, SkuId, Timestamp,
    product::{Product, ProductCommand, ProductDetails},
    stock::{SalePolicy, StockCommand, StockItem, StockLevel},
};
use proptest::prelude::*;

fn sku(text: &str) -> SkuId {
    SkuId::parse(text).unwrap()
}

fn details(category: &str) -> ProductDetails {
    ProductDetails {
        name: "Headphones".to_owned(),
        description: String::new(),
        price: Money::new(9_900, Currency::EUR),
        category: category.to_owned(),
        images: Vec::new(),
        variants: Vec::new(),
        metadata: BTreeMap::new(),
    }
}

fn list(views: &Views, id: &str, category: &str, version: u64) {
    views.apply(ViewUpdate::Product { sku: sku(id), details: Some(Arc::new(details(category))), version });
}

fn delist(views: &Views, id: &str, version: u64) {
    views.apply(ViewUpdate::Product { sku: sku(id), details: None, version });
}

fn stock(views: &Views, id: &str, on_hand: u64, held: u64, version: u64) {
    let level = StockLevel { on_hand, held, ..StockLevel::default() };
    views.apply(ViewUpdate::Stock { sku: sku(id), level, policy: SalePolicy::default(), version });
}

fn skus(views: &Views, query: &ProductQuery) -> Vec<String> {
    views.products(query).iter().map(|product| product.sku.to_string()).collect()
}

fn all() -> ProductQuery {
    ProductQuery { limit: usize::MAX, ..ProductQuery::default() }
}

#[test]
fn a_product_shows_its_details_and_its_stock() {
    let mut product = Product::new(sku("A"));
    for event in product.decide(ProductCommand::Create(details("audio")), Timestamp::from_millis(0)).unwrap() {
        product.apply(&event);
    }
    let mut item = StockItem::new(sku("A"));
    let receive = StockCommand::Receive { quantity: Quantity::new(3).unwrap(), expected_version: None };
    for event in item.decide(receive, Timestamp::from_millis(0)).unwrap() {
        item.apply(&event);
    }
    let views = Views::new();
    views.apply(ViewUpdate::of_product(&product));
    views.apply(ViewUpdate::of_stock(&item));
    let shown = views.product(&sku("A")).unwrap();
    assert_eq!((shown.details.category.as_str(), shown.version), ("audio", 1));
    assert_eq!((shown.stock.level, shown.stock.version), (item.level(), item.version()));
    assert_eq!(views.stock(&sku("A")), Some(shown.stock));
}

#[test]
fn a_product_without_any_delivery_has_no_units_and_units_alone_are_no_product() {
    let views = Views::new();
    list(&views, "A", "", 1);
    stock(&views, "B", 5, 0, 1);
    assert_eq!(views.product(&sku("A")).unwrap().stock.level.available(), 0);
    assert_eq!(views.product(&sku("B")), None);
    assert_eq!(views.stock(&sku("B")).unwrap().level.available(), 5);
    assert_eq!(skus(&views, &all()), ["A"]);
}

/// Named acceptance test, after saleor #10877: units under a hold cannot be sold, so they are not in stock.
#[test]
fn the_in_stock_filter_ignores_held_units() {
    let mut item = StockItem::new(sku("LAST-ONE"));
    let views = Views::new();
    list(&views, "LAST-ONE", "", 1);
    list(&views, "PLENTY", "", 1);
    stock(&views, "PLENTY", 10, 4, 1);
    let in_stock = ProductQuery { in_stock: Some(true), ..all() };
    let sold_out = ProductQuery { in_stock: Some(false), ..all() };
    let hold = HoldId { order: OrderId::from_u128(1), line: 0 };
    let now = Timestamp::from_millis(0);
    let mut run = |command: StockCommand| {
        for event in item.decide(command, now).unwrap() {
            item.apply(&event);
        }
        views.apply(ViewUpdate::of_stock(&item));
    };
    run(StockCommand::Receive { quantity: Quantity::ONE, expected_version: None });
    assert_eq!(skus(&views, &in_stock), ["LAST-ONE", "PLENTY"]);
    let expires_at = Timestamp::from_millis(1_000);
    run(StockCommand::Hold { hold, quantity: Quantity::ONE, expires_at, customer: None });
    assert_eq!(skus(&views, &in_stock), ["PLENTY"]);
    assert_eq!(skus(&views, &sold_out), ["LAST-ONE"]);
    run(StockCommand::Release { hold });
    assert_eq!(skus(&views, &in_stock), ["LAST-ONE", "PLENTY"]);
}

#[test]
fn pages_follow_the_order_of_skus_without_gap_or_repeat() {
    let views = Views::new();
    for number in (0..3_000).rev() {
        list(&views, &format!("P{number:05}"), "", 1);
        stock(&views, &format!("P{number:05}"), u64::from(number % 100 == 0), 0, 1);
    }
    let mut query = ProductQuery { limit: 7, in_stock: Some(true), ..ProductQuery::default() };
    let mut seen = Vec::new();
    loop {
        let page = views.products(&query);
        let Some(last) = page.last() else { break };
        query.after = Some(last.sku.clone());
        seen.extend(page.into_iter().map(|product| product.sku.to_string()));
    }
    assert_eq!(seen, (0..30).map(|number| format!("P{:05}", number * 100)).collect::<Vec<_>>());
    assert_eq!(views.products(&ProductQuery { limit: 0, ..all() }), []);
}

#[test]
fn a_category_finds_itself_and_what_is_below_it() {
    let views = Views::new();
    list(&views, "A", "audio/headphones", 1);
    list(&views, "B", "audio", 1);
    list(&views, "C", "audiobooks", 1);
    let category = |category: &str| ProductQuery { category: Some(category.to_owned()), ..all() };
    assert_eq!(skus(&views, &category("audio")), ["A", "B"]);
    assert_eq!(skus(&views, &category("audio/headphones")), ["A"]);
    assert_eq!(skus(&views, &category("video")), [""; 0]);
    list(&views, "A", "video", 2);
    assert_eq!(skus(&views, &category("audio")), ["B"]);
    assert_eq!(skus(&views, &category("audio/headphones")), [""; 0]);
    assert_eq!(skus(&views, &category("video")), ["A"]);
    assert_eq!(views.product_count(), 3);
}

#[test]
fn a_removed_product_is_gone_until_it_is_created_again() {
    let views = Views::new();
    list(&views, "A", "audio", 1);
    delist(&views, "A", 2);
    assert_eq!(views.product(&sku("A")), None);
    assert_eq!(skus(&views, &all()), [""; 0]);
    list(&views, "A", "audio", 1);
    assert_eq!(views.product(&sku("A")), None, "the past does not come back");
    list(&views, "A", "audio", 3);
    assert_eq!(skus(&views, &all()), ["A"]);
}

#[test]
fn stock_never_goes_back_to_an_older_version() {
    let views = Views::new();
    stock(&views, "A", 10, 5, 7);
    stock(&views, "A", 10, 0, 6);
    stock(&views, "A", 10, 1, 7);
    assert_eq!(views.stock(&sku("A")).unwrap().level.held, 5);
}

#[tokio::test]
async fn a_watch_starts_with_what_is_and_a_slow_reader_skips_to_the_newest() {
    let views = Views::new();
    list(&views, "A", "", 1);
    stock(&views, "A", 10, 0, 1);
    let mut watch = views.watch_stock(&sku("A")).unwrap();
    assert_eq!(watch.borrow_and_update().level.available(), 10);
    for held in 1..=9 {
        stock(&views, "A", 10, held, held + 1);
    }
    watch.changed().await.unwrap();
    assert_eq!(watch.borrow_and_update().level.available(), 1);
    assert!(!watch.has_changed().unwrap(), "nine changes are one");
}

#[tokio::test]
async fn watches_close_at_shutdown_and_none_opens_after() {
    let views = Views::new();
    list(&views, "A", "", 1);
    let mut watch = views.watch_stock(&sku("A")).unwrap();
    views.close_watches();
    assert!(watch.changed().await.is_err());
    assert!(views.watch_stock(&sku("A")).is_none());
}

#[tokio::test]
async fn a_watch_closes_when_its_product_is_removed() {
    let views = Views::new();
    list(&views, "A", "", 1);
    let mut watch = views.watch_stock(&sku("A")).unwrap();
    delist(&views, "A", 2);
    assert!(watch.changed().await.is_err());
    assert!(views.watch_stock(&sku("A")).is_none());
    assert!(views.watch_stock(&sku("NEVER-SEEN")).is_none());
}

#[test]
fn watches_that_nobody_reads_do_not_pile_up() {
    let views = Views::new();
    let kept: Vec<_> = (0..100)
        .map(|number| {
            list(&views, &format!("KEPT-{number}"), "", 1);
            views.watch_stock(&sku(&format!("KEPT-{number}"))).unwrap()
        })
        .collect();
    for number in 0..10_000 {
        list(&views, &format!("GONE-{number}"), "", 1);
        drop(views.watch_stock(&sku(&format!("GONE-{number}"))).unwrap());
    }
    assert!(views.watch_count() <= 2 * kept.len() + 65, "{} watches for {}", views.watch_count(), kept.len());
    stock(&views, "KEPT-0", 4, 0, 1);
    assert!(kept[0].has_changed().unwrap(), "who still reads still hears");
    assert!(kept.iter().all(|watch| watch.has_changed().is_ok()));
}

proptest! {
    #[test]
    fn listings_agree_with_a_plain_map(
        changes in prop::collection::vec((0..12_u8, 0..4_u8, any::<bool>(), 0..3_u64), 0..60),
        limit in 0..8_usize, after in prop::option::of(0..12_u8),
    ) {
        let categories = ["", "a", "a/b", "c"];
        let views = Views::new();
        let mut model = BTreeMap::new();
        for (version, (id, category, listed, units)) in (1_u64..).zip(changes) {
            let (id, category) = (format!("S{id:02}"), categories[usize::from(category)]);
            stock(&views, &id, 2, units.min(2), version);
            if listed {
                list(&views, &id, category, version);
                model.insert(id, category);
            } else {
                delist(&views, &id, version);
                model.remove(&id);
            }
        }
        let after = after.map(|id| format!("S{id:02}"));
        for category in [None, Some("a"), Some("a/b"), Some("c")] {
            for in_stock in [None, Some(true), Some(false)] {
                let fits = |of: &str| category.is_none_or(|wanted| of == wanted || of.starts_with(&format!("{wanted}/")));
                let available = |id: &str| views.stock(&sku(id)).unwrap().level.available() > 0;
                let expected: Vec<String> = model.iter()
                    .filter(|(id, of)| fits(of) && in_stock.is_none_or(|wanted| wanted == available(id)))
                    .filter(|(id, _)| after.as_ref().is_none_or(|after| *id > after))
                    .map(|(id, _)| id.clone()).take(limit).collect();
                let query = ProductQuery {
                    after: after.as_deref().map(sku), limit, category: category.map(str::to_owned), in_stock,
                };
                prop_assert_eq!(skus(&views, &query), expected);
            }
        }
    }
}
