//! Snapshots: written durably, read back whole, refused when damaged.

use holdfast_core::{
    Entity, EntityId, Event, ShardId, SkuId, cart::Cart, order::Order, product::Product, stock::StockItem,
};
use holdfast_persistence::{
    CodecError, EntityState, Store, StoreOptions, decode_snapshot, encode_snapshot, state::EntityStateRef,
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
