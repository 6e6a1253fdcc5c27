//! Ids print as they parse, and their slots never move.

use holdfast_core::{CustomerId, OrderId, ShardCount, ShardId, SkuId, Slot};
use proptest::prelude::*;

use crate::given::{order_id, sku};

#[test]
fn an_id_parses_only_in_its_own_form() {
    let text = "ord_0000000000000000000000000000beef";
    assert_eq!(order_id(0xbeef).to_string(), text);
    assert_eq!(text.parse::<OrderId>(), Ok(order_id(0xbeef)));
    for wrong in ["", "ord_", "crt_0000000000000000000000000000beef", "ord_0000000000000000000000000000BEEF", "beef"] {
        assert!(wrong.parse::<OrderId>().is_err(), "{wrong}");
    }
}

#[test]
fn a_sku_is_what_a_merchant_writes_and_nothing_else() {
    assert!(SkuId::parse("Lamp_7.5-XL").is_ok());
    for wrong in ["", "a b", "a/b", "ä", &"x".repeat(65)] {
        assert!(SkuId::parse(wrong).is_err(), "{wrong}");
    }
    assert!(CustomerId::parse("a b").is_err());
    assert!(CustomerId::parse("kim@example.org").is_ok());
}

#[test]
fn the_slot_of_a_sku_is_part_of_the_disk_format() {
    assert_eq!(sku("LAMP").slot(), Slot(LAMP_SLOT));
}

/// Computed once by the published FNV-1a algorithm; a change here would lose every order's stock.
const LAMP_SLOT: u16 = 0xaa2e;

#[test]
fn an_order_of_one_key_differs_only_in_its_slot() {
    let here = OrderId::from_key(u128::MAX, Slot(1));
    let there = OrderId::from_key(u128::MAX, Slot(2));
    assert_eq!((here.slot(), there.slot()), (Slot(1), Slot(2)));
    assert_eq!(here.key_digest(), there.key_digest());
}

proptest! {
    #[test]
    fn every_slot_has_one_shard(slot: u16, count in 1_u16..=ShardCount::MAX) {
        let shards = ShardCount::new(count).unwrap();
        prop_assert!(shards.shard_of(Slot(slot)).0 < count);
        prop_assert_eq!(shards.shard_of(Slot(0)), ShardId(0));
        prop_assert_eq!(shards.shard_of(Slot(u16::MAX)), ShardId(count - 1));
    }
}
