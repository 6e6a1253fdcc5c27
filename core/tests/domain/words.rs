//! What values say of themselves, and where their limits lie: what logs, messages and other crates read.

use holdfast_core::{
    Currency, CustomerId, EntityId, Quantity, ShardCount, SkuId, Slot, Timestamp,
    order::{CapturePolicy::OnShipment, OrderStatus},
    stock::StockCommand,
};

use crate::given::{at, cart_id, customer, hold, hold_of, order_after, order_id, sku, stock_with, tell, units};

#[test]
fn an_entity_is_named_by_what_it_is() {
    assert_eq!(EntityId::Stock(sku("LAMP")).to_string(), "stock LAMP");
    assert_eq!(EntityId::Product(sku("LAMP")).to_string(), "product LAMP");
    assert_eq!(EntityId::Cart(cart_id(0xa)).to_string(), "crt_0000000000000000000000000000000a");
    assert_eq!(EntityId::Order(order_id(0xa)).to_string(), "ord_0000000000000000000000000000000a");
}

#[test]
fn numbers_come_out_as_they_went_in() {
    assert_eq!(ShardCount::new(16).unwrap().get(), 16);
    assert_eq!([at(-5), at(0), at(7), Timestamp::MAX].map(Timestamp::as_millis), [-5, 0, 7, i64::MAX]);
    assert_eq!((units(7).to_string(), Quantity::ONE.to_string()), ("7".to_owned(), "1".to_owned()));
    assert_eq!(order_id(0xabcd_1234_ffff).key_digest(), 0xabcd_1234_0000);
    assert_eq!(order_id(0xabcd_1234_ffff).slot(), Slot(0xffff));
}

#[test]
fn a_text_id_has_one_to_64_characters() {
    let longest = "x".repeat(64);
    assert_eq!(SkuId::parse(&longest).unwrap().as_str(), longest);
    assert_eq!(CustomerId::parse(&longest).unwrap().as_str(), longest);
    assert_eq!(customer("k").as_str(), "k");
    for wrong in ["", &"x".repeat(65), "a b", "ä"] {
        assert!(CustomerId::parse(wrong).is_err() && SkuId::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_currency_prints_as_its_code_in_logs_too() {
    assert_eq!((format!("{:?}", Currency::EUR), Currency::EUR.to_string()), ("EUR".to_owned(), "EUR".to_owned()));
}

#[test]
fn every_status_has_its_word() {
    let words = [
        (OrderStatus::Placed, "placed"),
        (OrderStatus::Authorized, "authorized"),
        (OrderStatus::Confirmed, "confirmed"),
        (OrderStatus::Shipped, "shipped"),
        (OrderStatus::Delivered, "delivered"),
        (OrderStatus::Canceled, "canceled"),
        (OrderStatus::Expired, "expired"),
        (OrderStatus::PartiallyRefunded, "partially_refunded"),
        (OrderStatus::Refunded, "refunded"),
    ];
    for (status, word) in words {
        assert_eq!(status.to_string(), word);
    }
    assert_eq!(order_after(OnShipment, []).status(), OrderStatus::Placed);
}

#[test]
fn a_hold_counts_until_it_is_an_allocation() {
    let mut stock = stock_with(5);
    assert_eq!((stock.hold_count(), stock.is_allocated(&hold_of(1))), (0, false));
    tell(&mut stock, hold(1, 2), at(1)).unwrap();
    tell(&mut stock, hold(2, 1), at(1)).unwrap();
    assert_eq!((stock.hold_count(), stock.is_allocated(&hold_of(1))), (2, false));
    tell(&mut stock, StockCommand::Allocate { hold: hold_of(1) }, at(2)).unwrap();
    assert_eq!((stock.hold_count(), stock.is_allocated(&hold_of(1))), (1, true));
}

#[test]
fn a_released_hold_gives_a_customer_back_its_own_units_and_no_others() {
    let kim = customer("kim");
    let taking = |order, count| StockCommand::Hold {
        hold: hold_of(order),
        quantity: units(count),
        expires_at: at(100),
        customer: Some(customer("kim")),
    };
    let mut stock = stock_with(10);
    tell(&mut stock, taking(1, 2), at(1)).unwrap();
    tell(&mut stock, taking(2, 3), at(1)).unwrap();
    assert_eq!(stock.taken_by(&kim), 5);
    tell(&mut stock, StockCommand::Release { hold: hold_of(1) }, at(2)).unwrap();
    assert_eq!(stock.taken_by(&kim), 3, "the other hold still counts against the limit");
    tell(&mut stock, StockCommand::Release { hold: hold_of(2) }, at(3)).unwrap();
    assert_eq!(stock.taken_by(&kim), 0);
}
