//! Snapshots: written durably, read back whole, refused when damaged.

use holdfast_core::{
    Entity, EntityId, Event, ShardId, SkuId, cart::Cart, order::Order, product::Product, stock::StockItem,
};
use holdfast_persistence::{
    CodecError, EntityState, Store, StoreId, StoreOptions, decode_snapshot, encode_snapshot,
    snapshot::{Page, PageTitle, read_page},
    state::EntityStateRef,
};

use crate::samples::{cart_id, every_event, order_id, sku};

/// One state of each kind, with something in it.
pub(crate) fn states() -> Vec<EntityState> {
    let (mut stock, mut product) = (StockItem::new(sku()), Product::new(sku()));
    let (mut cart, mut order) = (Cart::new(cart_id()), Order::new(order_id()));
    let wanted =
        ["stock.received", "stock.policy_set", "stock.held", "product.created", "cart.created", "cart.line_set"];
    let order_flow = ["order.placed", "order.authorization_approved"];
    for (name, record) in every_event() {
        if !wanted.contains(&name.as_str()) && !order_flow.contains(&name.as_str()) {
            continue;
        }
        match &record.event {
            Event::Stock(event) => stock.apply(event),
            Event::Product(event) => product.apply(event),
            Event::Cart(event) => cart.apply(event),
            Event::Order(event) => order.apply(event),
        }
    }
    vec![EntityState::Stock(stock), EntityState::Product(product), EntityState::Cart(cart), EntityState::Order(order)]
}

fn options() -> StoreOptions {
    StoreOptions { shards: 4, journal: crate::samples::small(), ..StoreOptions::default() }
}

#[test]
fn every_kind_of_state_survives_the_round_trip() {
    for state in states() {
        let encoded = encode_snapshot(&state.as_ref()).unwrap();
        assert_eq!(encoded.version, state.version());
        assert_eq!(decode_snapshot(&encoded.entity, &encoded.bytes).unwrap(), (state.version(), state));
    }
}

#[test]
fn a_flipped_bit_or_another_entitys_id_is_refused() {
    let state = states().remove(0);
    let encoded = encode_snapshot(&state.as_ref()).unwrap();
    for bit in 0..encoded.bytes.len() * 8 {
        let mut bytes = encoded.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let error = decode_snapshot(&encoded.entity, &bytes).unwrap_err();
        assert!(matches!(error, CodecError::Checksum), "bit {bit}: {error}");
    }
    let other = EntityId::Stock(SkuId::parse("OTHER").unwrap());
    assert!(matches!(decode_snapshot(&other, &encoded.bytes), Err(CodecError::Checksum)));
    let product = EntityId::Product(sku());
    assert!(matches!(decode_snapshot(&product, &encoded.bytes), Err(CodecError::Misplaced)));
}

/// A page with one state of each kind.
fn page() -> (PageTitle, Vec<u8>) {
    let title = PageTitle { store: StoreId::from_bytes([7; 16]), shard: ShardId(3), watermark: 99, number: 2 };
    let mut page = Page::begin(title);
    assert!(page.is_empty());
    for state in states() {
        page.push(&encode_snapshot(&state.as_ref()).unwrap()).unwrap();
    }
    assert_eq!(usize::try_from(page.count()).unwrap(), states().len());
    let len = page.len();
    let bytes = page.finish();
    assert_eq!(bytes.len(), len + 4);
    (title, bytes)
}

#[test]
fn a_page_gives_the_snapshots_it_was_filled_with_in_order() {
    let (title, bytes) = page();
    let mut found = Vec::new();
    let count = read_page(&bytes, &title, &mut |id, version, state| found.push((id, version, state))).unwrap();
    let expected: Vec<_> = states().into_iter().map(|state| (state.id(), state.version(), state)).collect();
    assert_eq!((found, usize::try_from(count).unwrap()), (expected, states().len()));
    let empty = Page::begin(title).finish();
    assert_eq!(read_page(&empty, &title, &mut |_, _, _| panic!("there is none")).unwrap(), 0);
}

#[test]
fn a_damaged_page_and_any_other_than_the_one_asked_for_are_refused() {
    let (title, bytes) = page();
    let refused = |bytes: &[u8], title: &PageTitle| read_page(bytes, title, &mut |_, _, _| {}).unwrap_err();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = refused(&damaged, &title);
        assert!(matches!(error, CodecError::Checksum), "bit {bit}: {error}");
    }
    for len in 0..bytes.len() {
        refused(&bytes[..len], &title);
    }
    let others = [
        PageTitle { store: StoreId::from_bytes([8; 16]), ..title },
        PageTitle { shard: ShardId(4), ..title },
        PageTitle { watermark: 98, ..title },
        PageTitle { number: 3, ..title },
    ];
    for other in others {
        assert!(matches!(refused(&bytes, &other), CodecError::Misplaced), "{other:?}");
    }
}

#[test]
fn snapshots_and_watermarks_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let shard = ShardId(2);
    {
        let store = Store::open(dir.path(), &options()).unwrap();
        for seq in 1..=5 {
            crate::samples::append(&*store.journal, 2, vec![crate::samples::received(seq)]).unwrap();
        }
        let encoded: Vec<_> = states().iter().map(|state| encode_snapshot(&state.as_ref()).unwrap()).collect();
        store.snapshots.write(shard, &encoded).unwrap();
        store.snapshots.set_watermark(shard, 5).unwrap();
    }
    let store = Store::open(dir.path(), &options()).unwrap();
    assert_eq!(store.recoveries, []);
    assert_eq!(store.snapshots.watermark(shard).unwrap(), 5);
    assert_eq!(store.snapshots.watermark(ShardId(1)).unwrap(), 0);
    for state in states() {
        assert_eq!(store.snapshots.load(shard, &state.id()).unwrap(), Some((state.version(), state.clone())));
        assert_eq!(store.snapshots.load(ShardId(1), &state.id()).unwrap(), None);
    }
    let mut scanned = Vec::new();
    store.snapshots.scan(shard, &mut |id, version, state| scanned.push((id, version, state))).unwrap();
    let expected: Vec<_> = states().into_iter().map(|state| (state.id(), state.version(), state)).collect();
    assert_eq!(scanned, expected);
    store.snapshots.scan(ShardId(1), &mut |_, _, _| panic!("another shard's snapshot")).unwrap();
}

#[test]
fn a_newer_snapshot_takes_the_older_ones_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &options()).unwrap();
    let mut stock = StockItem::new(sku());
    for (_, record) in every_event().into_iter().take(3) {
        let Event::Stock(event) = &record.event else { continue };
        stock.apply(event);
        let encoded = encode_snapshot(&EntityStateRef::Stock(&stock)).unwrap();
        store.snapshots.write(ShardId(0), &[encoded]).unwrap();
    }
    let loaded = store.snapshots.load(ShardId(0), &EntityId::Stock(sku())).unwrap();
    assert_eq!(loaded, Some((3, EntityState::Stock(stock))));
}
