//! What buyers of other systems met, and must not meet here: the acceptance tests that the domain alone can prove, each
//! named after what was met.

use holdfast_core::{
    Currency, Entity,
    cart::{Cart, CartCommand},
    order::{
        CancelReason,
        CapturePolicy::{OnConfirmation, OnShipment},
        OrderStatus, PaymentStatus, Step,
    },
    stock::{StockCommand, StockEvent, StockRejection},
};

use crate::{
    given::{allocated, approved, at, cart_id, confirmation, hold, hold_of, order_after, sku, stock_with, tell, units},
    house::{House, Script},
};

/// medusa #16502.
#[test]
fn two_cart_lines_of_one_sku_cannot_take_more_than_there_is() {
    let mut cart = Cart::new(cart_id(1));
    tell(&mut cart, CartCommand::Create { currency: Currency::EUR, expires_at: at(900) }, at(0)).unwrap();
    for _ in 0..2 {
        let quantity = units(1);
        let add = CartCommand::AddItem { sku: sku("LAMP"), quantity, expires_at: at(900), expected_version: None };
        tell(&mut cart, add, at(1)).unwrap();
    }
    let [line] = cart.lines() else { panic!("one SKU is one line: {:?}", cart.lines()) };
    let mut stock = stock_with(1);
    let refusal = StockRejection::Insufficient { available: 1, requested: 2 };
    assert_eq!(tell(&mut stock, hold(1, i64::from(line.quantity.get())), at(2)), Err(refusal));
}

/// medusa #16825.
#[test]
fn the_last_unit_goes_to_one_of_two_orders_and_comes_back_if_that_order_never_comes() {
    let mut stock = stock_with(1);
    tell(&mut stock, hold(1, 1), at(1)).unwrap();
    let refusal = StockRejection::Insufficient { available: 0, requested: 1 };
    assert_eq!(stock.decide(hold(2, 1), at(1)), Err(refusal));
    tell(&mut stock, StockCommand::Lapse, at(100)).unwrap();
    assert!(stock.decide(hold(2, 1), at(101)).is_ok(), "the first order was an orphan: its hold lapsed by itself");
}

/// medusa #16466.
#[test]
fn a_captures_key_is_the_same_on_every_retry() {
    let mut order = order_after(OnConfirmation, confirmation());
    let key = |order: &holdfast_core::order::Order| match &order.next_steps()[..] {
        [Step::Gateway { key, .. }, ..] => *key,
        other => panic!("{other:?}"),
    };
    let first = key(&order);
    assert_eq!(key(&order), first, "asked again after a crash");
    tell(&mut order, holdfast_core::order::OrderCommand::Ship { expected_version: None }, at(9)).unwrap();
    assert_eq!(key(&order), first, "asked again from another state");
    assert!(first.to_string().ends_with(":capture"));
}

/// medusa #13301.
#[test]
fn a_payment_made_while_the_stock_went_is_voided_and_never_captured() {
    let mut house = House::with_order(OnConfirmation, Script::KIND, 50);
    let steps = house.order.next_steps();
    let answer = house.perform(&steps[0]);
    house.now = 60;
    house.lapse();
    assert!(house.tell(answer));
    house.settle();
    assert_eq!(
        (house.order.status(), house.order.cancel_reason()),
        (OrderStatus::Canceled, Some(CancelReason::StockLost))
    );
    assert_eq!(house.order.payment().unwrap().status, PaymentStatus::Voided);
    assert!(house.gateway.voided);
    assert_eq!((house.gateway.captures, house.units()), (0, (0, 0)));
}

/// vendure #3509.
#[test]
fn every_hold_ends_by_itself() {
    let mut stock = stock_with(10);
    for order in 0..10 {
        tell(&mut stock, hold(order, 1), at(1)).unwrap();
    }
    let deadline = stock.next_deadline().unwrap();
    let facts = tell(&mut stock, StockCommand::Lapse, deadline).unwrap();
    assert_eq!(facts.len(), 10);
    assert!(facts.iter().all(|fact| matches!(fact, StockEvent::Lapsed { .. })));
    assert_eq!((stock.available(), stock.next_deadline()), (10, None));
    assert_eq!(stock.hold(&hold_of(1)), None);
}

/// A hold expires in the very moment its payment arrives.
#[test]
fn when_a_hold_expires_while_its_payment_arrives_the_order_is_fulfilled_or_paid_back_never_both() {
    for capture in [OnShipment, OnConfirmation] {
        for arrival in [98, 99, 100, 101] {
            for lapsed_first in [false, true] {
                let mut house = House::with_order(capture, Script::KIND, 100);
                let steps = house.order.next_steps();
                let answer = house.perform(&steps[0]);
                house.now = arrival;
                if lapsed_first {
                    house.lapse();
                    house.tell(holdfast_core::order::OrderCommand::Expire);
                }
                assert!(house.tell(answer));
                house.settle();
                house.tell(holdfast_core::order::OrderCommand::Ship { expected_version: None });
                house.settle();
                let sold = house.order.status() == OrderStatus::Shipped;
                assert_eq!(sold, arrival < 100, "at {arrival}");
                assert_eq!((house.charged(), house.units().1), if sold { (2_500, 3) } else { (0, 0) });
                assert_eq!(house.gateway.voided, !sold);
                house.lapse();
                assert_eq!(house.units().0, 0, "nothing stays held or allocated");
            }
        }
    }
}

#[test]
fn an_answer_that_comes_a_hundred_times_is_one_transition() {
    let mut order = order_after(OnShipment, [approved()]);
    let before = order.version();
    for _ in 0..100 {
        tell(&mut order, approved(), at(5)).unwrap();
    }
    assert_eq!(order.version(), before);
    for _ in 0..100 {
        tell(&mut order, allocated(0), at(5)).unwrap();
    }
    assert_eq!(order.version(), before + 1);
}
