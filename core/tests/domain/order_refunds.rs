//! Money given back: in parts, once per request, never more than was taken.

use holdfast_core::{
    Currency, Entity, Money,
    order::{
        CancelReason,
        CapturePolicy::{OnConfirmation, OnShipment},
        Order, OrderCommand, OrderEvent, OrderRejection, OrderStatus, RefundState, SettlementOutcome,
    },
};

use crate::{
    given::{at, captured, confirmation, eur, order_after, tell},
    order_flow::owed,
};

fn refund(request: u128, cents: i64) -> OrderCommand {
    OrderCommand::Refund { request, amount: Some(eur(cents)) }
}

fn refunded(refund: u16) -> OrderCommand {
    OrderCommand::RecordRefund { refund, outcome: SettlementOutcome::Done }
}

fn refund_failed(refund: u16) -> OrderCommand {
    OrderCommand::RecordRefund { refund, outcome: SettlementOutcome::Failed { reason: "closed_account".into() } }
}

/// Shipped, 25.00 EUR captured, its units out of the house.
fn shipped() -> Order {
    let fulfilled = [0, 1].map(|line| OrderCommand::LineFulfilled { line });
    let commands =
        confirmation().into_iter().chain([OrderCommand::Ship { expected_version: None }, captured()]).chain(fulfilled);
    order_after(OnShipment, commands)
}

#[test]
fn a_part_goes_back_and_then_the_rest() {
    let mut order = shipped();
    tell(&mut order, refund(1, 1_000), at(5)).unwrap();
    assert_eq!((order.status(), owed(&order)), (OrderStatus::Shipped, vec!["refund:0 1000".to_string()]));
    tell(&mut order, refunded(0), at(6)).unwrap();
    assert_eq!((order.status(), order.payment().unwrap().refunded), (OrderStatus::PartiallyRefunded, eur(1_000)));
    tell(&mut order, OrderCommand::Refund { request: 2, amount: None }, at(7)).unwrap();
    assert_eq!(owed(&order), ["refund:1 1500"]);
    tell(&mut order, refunded(1), at(8)).unwrap();
    assert_eq!((order.status(), order.is_settled()), (OrderStatus::Refunded, true));
}

#[test]
fn the_same_request_twice_is_one_refund() {
    let mut order = shipped();
    tell(&mut order, refund(1, 1_000), at(5)).unwrap();
    assert_eq!(order.decide(refund(1, 1_000), at(6)), Ok(Vec::new()));
    tell(&mut order, refunded(0), at(7)).unwrap();
    assert_eq!(order.decide(refund(1, 1_000), at(8)), Ok(Vec::new()));
    assert_eq!(order.decide(refunded(0), at(8)), Ok(Vec::new()));
    assert_eq!(order.refunds().len(), 1);
}

#[test]
fn pending_refunds_count_against_what_is_left() {
    let mut order = shipped();
    tell(&mut order, refund(1, 2_000), at(5)).unwrap();
    assert_eq!(order.decide(refund(2, 501), at(6)), Err(OrderRejection::NotRefundable { refundable: 500 }));
    tell(&mut order, refund(2, 500), at(6)).unwrap();
    let all = OrderCommand::Refund { request: 3, amount: None };
    assert_eq!(order.decide(all, at(7)), Err(OrderRejection::NotRefundable { refundable: 0 }));
}

#[test]
fn only_a_positive_amount_in_the_orders_currency_goes_back() {
    let order = shipped();
    let refusal = Err(OrderRejection::NotRefundable { refundable: 2_500 });
    let dollars = OrderCommand::Refund { request: 1, amount: Some(Money::new(1, Currency::USD)) };
    for command in [refund(1, 0), refund(1, -1), refund(1, i64::MAX), dollars] {
        assert_eq!(order.decide(command, at(5)), refusal);
    }
}

#[test]
fn what_was_not_captured_cannot_go_back() {
    let order = order_after(OnConfirmation, confirmation());
    assert_eq!(order.decide(refund(1, 1), at(5)), Err(OrderRejection::NotRefundable { refundable: 0 }));
    assert_eq!(order.decide(refunded(0), at(5)), Err(OrderRejection::RefundNotFound { refund: 0 }));
}

#[test]
fn a_failed_refund_stays_visible_and_can_be_asked_for_anew() {
    let mut order = shipped();
    tell(&mut order, refund(1, 2_500), at(5)).unwrap();
    tell(&mut order, refund_failed(0), at(6)).unwrap();
    let failed = RefundState::Failed { reason: "closed_account".into() };
    assert_eq!((order.refunds()[0].state.clone(), order.status()), (failed, OrderStatus::Shipped));
    assert!(order.is_settled(), "it is not retried by itself");
    tell(&mut order, refund(2, 2_500), at(7)).unwrap();
    assert_eq!(owed(&order), ["refund:1 2500"]);
    let late = order.decide(refunded(0), at(8));
    assert_eq!(late, Err(OrderRejection::NotRefundable { refundable: 0 }), "both would be more than was taken");
}

#[test]
fn a_failed_refund_that_went_through_after_all_is_recorded() {
    let mut order = shipped();
    tell(&mut order, refund(1, 2_500), at(5)).unwrap();
    tell(&mut order, refund_failed(0), at(6)).unwrap();
    tell(&mut order, refunded(0), at(7)).unwrap();
    assert_eq!(order.status(), OrderStatus::Refunded);
    assert_eq!(order.decide(refund_failed(0), at(8)), Ok(Vec::new()));
}

#[test]
fn refunds_are_bounded_in_number() {
    let mut order = shipped();
    for request in 0..Order::MAX_REFUNDS as u128 {
        tell(&mut order, refund(request, 1), at(5)).unwrap();
    }
    assert_eq!(order.decide(refund(1_000, 1), at(6)), Err(OrderRejection::TooManyRefunds));
}

#[test]
fn a_shipped_order_that_was_refunded_can_still_be_delivered() {
    let mut order = shipped();
    tell(&mut order, refund(1, 2_500), at(5)).unwrap();
    tell(&mut order, refunded(0), at(6)).unwrap();
    assert_eq!(
        tell(&mut order, OrderCommand::Deliver { expected_version: None }, at(7)).unwrap(),
        [OrderEvent::Delivered]
    );
    assert_eq!(order.status(), OrderStatus::Refunded);
}

#[test]
fn an_order_refunded_in_full_before_it_shipped_stays_in_the_house() {
    let mut order = order_after(OnConfirmation, confirmation().into_iter().chain([captured()]));
    tell(&mut order, refund(1, 500), at(5)).unwrap();
    tell(&mut order, refunded(0), at(6)).unwrap();
    assert!(order.decide(OrderCommand::Ship { expected_version: None }, at(7)).is_ok(), "a discount does not stop it");
    tell(&mut order, refund(2, 2_000), at(7)).unwrap();
    tell(&mut order, refunded(1), at(8)).unwrap();
    let illegal = OrderRejection::IllegalTransition { status: OrderStatus::Refunded, action: "shipped" };
    assert_eq!(order.decide(OrderCommand::Ship { expected_version: None }, at(9)), Err(illegal));
    tell(&mut order, OrderCommand::Cancel { reason: CancelReason::Merchant, expected_version: None }, at(9)).unwrap();
    assert_eq!(owed(&order), ["release 0", "release 1"], "and its units go back");
}

#[test]
fn a_canceled_order_gives_back_only_what_has_not_gone_back() {
    let mut order = order_after(OnConfirmation, confirmation().into_iter().chain([captured()]));
    tell(&mut order, refund(1, 500), at(5)).unwrap();
    tell(&mut order, OrderCommand::Cancel { reason: CancelReason::Merchant, expected_version: None }, at(6)).unwrap();
    assert_eq!(owed(&order), ["release 0", "release 1", "refund:0 500", "refund:1 2000"]);
}
