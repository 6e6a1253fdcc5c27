//! Orders that end before they ship: nothing stays held, nothing stays reserved, nothing stays charged.

use holdfast_core::{
    Entity,
    order::{
        CancelReason,
        CapturePolicy::{OnConfirmation, OnShipment},
        LineStock, OrderCommand, OrderEvent, OrderRejection, OrderStatus, PaymentStatus,
    },
};

use crate::{
    given::{allocated, approved, at, capture_failed, captured, confirmation, declined, eur, order_after, tell},
    order_flow::owed,
};

const CANCEL: OrderCommand = OrderCommand::Cancel { reason: CancelReason::Buyer, expected_version: None };

const fn released(line: u16) -> OrderCommand {
    OrderCommand::LineReleased { line }
}

#[test]
fn a_declined_payment_ends_the_order_and_gives_its_units_back() {
    let mut order = order_after(OnShipment, [declined()]);
    assert_eq!((order.status(), order.cancel_reason()), (OrderStatus::Canceled, Some(CancelReason::PaymentDeclined)));
    assert_eq!(owed(&order), ["release 0", "release 1"]);
    assert_eq!(order.payment().unwrap().reason, Some("do_not_honor"));
    tell(&mut order, released(0), at(2)).unwrap();
    assert_eq!(owed(&order), ["release 1"]);
    assert_eq!(order.decide(released(0), at(2)), Ok(Vec::new()));
    tell(&mut order, released(1), at(2)).unwrap();
    assert!(order.is_settled());
}

#[test]
fn an_order_without_payment_in_time_expires() {
    let mut order = order_after(OnShipment, []);
    assert_eq!(tell(&mut order, OrderCommand::Expire, at(99)).unwrap(), []);
    assert_eq!(tell(&mut order, OrderCommand::Expire, at(100)).unwrap(), [OrderEvent::Expired]);
    assert_eq!(order.status(), OrderStatus::Expired);
    assert_eq!(owed(&order), ["void 2500", "release 0", "release 1"], "the authorization may still come");
    assert_eq!((order.next_deadline(), order.cancel_reason()), (None, None));
    let illegal = OrderRejection::IllegalTransition { status: OrderStatus::Expired, action: "canceled" };
    assert_eq!(order.decide(CANCEL, at(101)), Err(illegal));
}

#[test]
fn an_authorization_that_arrives_after_the_end_is_voided() {
    let mut order = order_after(OnShipment, []);
    tell(&mut order, OrderCommand::Expire, at(100)).unwrap();
    assert_eq!(tell(&mut order, approved(), at(101)).unwrap().len(), 1);
    assert_eq!(order.payment().unwrap().status, PaymentStatus::Authorized);
    assert_eq!(owed(&order), ["void 2500", "release 0", "release 1"]);
    assert_eq!(order.decide(approved(), at(102)), Ok(Vec::new()));
    for answer in [OrderCommand::RecordVoid, released(0), released(1)] {
        tell(&mut order, answer, at(103)).unwrap();
    }
    assert_eq!((order.payment().unwrap().status, order.is_settled()), (PaymentStatus::Voided, true));
}

#[test]
fn an_authorization_that_arrives_after_its_void_is_voided_again_but_only_once() {
    let mut order = order_after(OnShipment, [CANCEL, OrderCommand::RecordVoid, released(0), released(1)]);
    assert!(order.is_settled());
    tell(&mut order, approved(), at(5)).unwrap();
    assert_eq!(owed(&order), ["void 2500"]);
    tell(&mut order, OrderCommand::RecordVoid, at(6)).unwrap();
    assert_eq!(order.decide(approved(), at(7)), Ok(Vec::new()));
    assert!(order.is_settled());
}

#[test]
fn a_declined_answer_after_the_end_leaves_nothing_to_void() {
    let mut order = order_after(OnShipment, [CANCEL]);
    tell(&mut order, declined(), at(5)).unwrap();
    assert_eq!(owed(&order), ["release 0", "release 1"]);
    assert_eq!(order.cancel_reason(), Some(CancelReason::Buyer), "the reason stays what it was");
    assert_eq!(order.decide(OrderCommand::RecordVoid, at(6)), Ok(Vec::new()));
}

#[test]
fn a_lost_line_ends_the_order_voids_the_payment_and_releases_the_others() {
    let mut order = order_after(OnShipment, [approved(), allocated(0)]);
    let facts = tell(&mut order, OrderCommand::LineLost { line: 1 }, at(2)).unwrap();
    let reason = CancelReason::StockLost;
    assert_eq!(facts, [OrderEvent::Canceled { reason }, OrderEvent::LineReleased { line: 1 }]);
    assert_eq!(owed(&order), ["void 2500", "release 0"]);
    let stocks: Vec<_> = order.lines().map(|(_, stock)| stock).collect();
    assert_eq!(stocks, [LineStock::Releasing, LineStock::Released]);
    assert_eq!(order.decide(OrderCommand::LineLost { line: 0 }, at(3)), Ok(Vec::new()));
    assert_eq!(order.decide(allocated(1), at(3)), Ok(Vec::new()), "an answer that was overtaken");
}

#[test]
fn an_order_can_be_canceled_until_it_ships() {
    for commands in [vec![], vec![approved()], vec![approved(), allocated(0)], confirmation().to_vec()] {
        let mut order = order_after(OnShipment, commands);
        tell(&mut order, CANCEL, at(5)).unwrap();
        assert_eq!(owed(&order), ["void 2500", "release 0", "release 1"]);
        assert_eq!(order.decide(CANCEL, at(6)), Ok(Vec::new()));
    }
    let mut order = order_after(OnShipment, confirmation());
    tell(&mut order, OrderCommand::Ship { expected_version: None }, at(5)).unwrap();
    let illegal = OrderRejection::IllegalTransition { status: OrderStatus::Shipped, action: "canceled" };
    assert_eq!(order.decide(CANCEL, at(6)), Err(illegal));
}

#[test]
fn a_canceled_order_gives_back_what_was_captured() {
    let mut order = order_after(OnConfirmation, confirmation());
    tell(&mut order, captured(), at(5)).unwrap();
    tell(&mut order, CANCEL, at(6)).unwrap();
    assert_eq!(owed(&order), ["release 0", "release 1", "refund:0 2500"]);
    assert_eq!(order.refunds()[0].request, order.id().as_u128(), "under a request no client can have made by chance");
    let done = holdfast_core::order::SettlementOutcome::Done;
    tell(&mut order, OrderCommand::RecordRefund { refund: 0, outcome: done }, at(7)).unwrap();
    assert_eq!(order.payment().unwrap().refunded, eur(2_500));
    assert_eq!(order.status(), OrderStatus::Canceled);
}

#[test]
fn a_capture_under_way_when_the_order_is_canceled_is_voided_or_given_back() {
    let mut order = order_after(OnConfirmation, confirmation());
    tell(&mut order, CANCEL, at(5)).unwrap();
    assert_eq!(owed(&order), ["void 2500", "release 0", "release 1"]);
    let mut voided = order.clone();
    tell(&mut voided, OrderCommand::RecordVoid, at(6)).unwrap();
    assert_eq!(voided.decide(capture_failed(), at(7)), Ok(Vec::new()));
    for mut order in [order, voided] {
        tell(&mut order, captured(), at(8)).unwrap();
        assert_eq!(owed(&order), ["release 0", "release 1", "refund:0 2500"]);
        assert_eq!(order.decide(captured(), at(9)), Ok(Vec::new()));
        assert_eq!(order.decide(OrderCommand::RecordVoid, at(9)), Ok(Vec::new()));
    }
}

#[test]
fn what_nobody_asked_to_capture_is_given_back_by_an_order_that_ended() {
    let never_answered = order_after(OnShipment, [CANCEL]);
    let authorized = order_after(OnShipment, [approved(), CANCEL]);
    let confirmed = order_after(OnShipment, confirmation().into_iter().chain([CANCEL]));
    for mut order in [never_answered, authorized, confirmed] {
        assert!(owed(&order).contains(&"void 2500".to_owned()));
        let taken_by_hand = captured();
        tell(&mut order, taken_by_hand.clone(), at(6)).unwrap();
        assert_eq!(owed(&order), ["release 0", "release 1", "refund:0 2500"]);
        assert_eq!(order.payment().unwrap().captured, eur(2_500));
        assert_eq!(order.decide(taken_by_hand, at(7)), Ok(Vec::new()));
        assert_eq!(order.decide(approved(), at(7)), Ok(Vec::new()), "it asks for nothing more");
    }
}

#[test]
fn an_order_whose_capture_failed_can_be_canceled() {
    let mut order = order_after(OnConfirmation, confirmation());
    tell(&mut order, capture_failed(), at(5)).unwrap();
    tell(&mut order, CANCEL, at(6)).unwrap();
    assert_eq!(owed(&order), ["void 2500", "release 0", "release 1"]);
}

#[test]
fn an_order_that_ended_neither_ships_nor_captures() {
    let order = order_after(OnShipment, [CANCEL]);
    for command in [
        OrderCommand::Ship { expected_version: None },
        OrderCommand::Deliver { expected_version: None },
        capture_failed(),
        OrderCommand::LineFulfilled { line: 0 },
    ] {
        assert!(matches!(order.decide(command, at(5)), Err(OrderRejection::IllegalTransition { .. })));
    }
    let early = order_after(OnShipment, []).decide(released(0), at(5));
    assert!(matches!(early, Err(OrderRejection::IllegalTransition { action: "released", .. })));
}
