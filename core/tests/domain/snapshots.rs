//! Entities survive the positional encoding of snapshots whole, indexes included.

use holdfast_core::{
    Currency, Entity,
    cart::{Cart, CartCommand},
    order::{CapturePolicy, Order, OrderCommand},
    product::Product,
    stock::{StockCommand, StockItem},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::given::{
    ORDER, at, capture_failed, captured, cart_id, confirmation, customer, declined, hold, hold_of, order_after, sku,
    stock_with, tell, units,
};

fn assert_survives<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(entity: &T) {
    let config = bincode::config::standard();
    let bytes = bincode::serde::encode_to_vec(entity, config).unwrap();
    let (back, used): (T, usize) = bincode::serde::decode_from_slice(&bytes, config).unwrap();
    assert_eq!((&back, used), (entity, bytes.len()));
}

#[test]
fn stock_with_holds_and_allocations_survives() {
    let mut stock = stock_with(100);
    for order in 0..20 {
        let id = hold_of(order);
        let customer = Some(customer("kim"));
        let hold = StockCommand::Hold { hold: id, quantity: units(2), expires_at: at(100), customer };
        tell(&mut stock, hold, at(1)).unwrap();
        if order % 3 == 0 {
            tell(&mut stock, StockCommand::Allocate { hold: id }, at(2)).unwrap();
        }
    }
    tell(&mut stock, hold(99, 1), at(3)).unwrap();
    assert_survives(&stock);
    assert_survives(&StockItem::new(sku("LAMP")));
    assert_eq!(stock.next_deadline(), Some(at(100)));
}

#[test]
fn a_cart_survives() {
    let mut cart = Cart::new(cart_id(1));
    assert_survives(&cart);
    tell(&mut cart, CartCommand::Create { currency: Currency::USD, expires_at: at(5) }, at(0)).unwrap();
    tell(&mut cart, CartCommand::TakeIn { from: cart_id(2), lines: Vec::new(), expires_at: at(9) }, at(1)).unwrap();
    assert_survives(&cart);
}

#[test]
fn an_order_survives_in_every_state() {
    let mut order = Order::new(ORDER);
    let cancel = OrderCommand::Cancel { reason: holdfast_core::order::CancelReason::Buyer, expected_version: None };
    assert_survives(&order);
    let commands = confirmation().into_iter().chain([
        OrderCommand::Ship { expected_version: None },
        captured(),
        OrderCommand::Deliver { expected_version: None },
    ]);
    let refund = OrderCommand::Refund { request: 1, amount: None };
    for command in [OrderCommand::Place(crate::given::placement(CapturePolicy::OnShipment).into())]
        .into_iter()
        .chain(commands)
        .chain([refund])
    {
        tell(&mut order, command, at(1)).unwrap();
        assert_survives(&order);
    }
    let failed = confirmation().into_iter().chain([capture_failed(), cancel.clone(), OrderCommand::RecordVoid]);
    assert_survives(&order_after(CapturePolicy::OnConfirmation, failed));
    assert_survives(&order_after(CapturePolicy::OnConfirmation, [declined()]));
    assert_survives(&order_after(CapturePolicy::OnConfirmation, [cancel]));
}

#[test]
fn a_product_survives() {
    assert_survives(&Product::new(sku("LAMP")));
}
