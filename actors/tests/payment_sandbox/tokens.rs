//! What each test token does: given a token, when calls are made and repeated, then these answers and this money in the ledger.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use holdfast_actors::payment::{GatewayError, GatewayRequest, PaymentGateway as _, VoidOutcome};
use holdfast_core::order::{GatewayCall, OrderCommand, SettlementOutcome};

use crate::{ORDER, PRICE, approved, authorize, books, capture, declined, failed, gateway, refund, request, void};

#[tokio::test]
async fn an_approved_payment_is_captured_and_refunded_once_however_often_it_is_asked() {
    let gateway = gateway();
    for _ in 0..3 {
        assert_eq!(authorize(&gateway, "tok_approve").await, approved());
    }
    for _ in 0..3 {
        assert_eq!(capture(&gateway, "tok_approve").await, Ok(SettlementOutcome::Done));
    }
    for _ in 0..3 {
        assert_eq!(refund(&gateway, "tok_approve", 0).await, Ok(SettlementOutcome::Done));
    }
    let books = books(&gateway);
    assert_eq!((books.authorized, books.captured, books.refunded), (PRICE, PRICE, PRICE));
    assert_eq!((books.captures, books.calls, books.repeats), (1, 9, 6));
    assert!(gateway.ledger().violations().is_empty());
}

#[tokio::test]
async fn refused_tokens_say_why_and_reserve_nothing() {
    for (token, reason) in [
        ("tok_decline", "card_declined"),
        ("tok_insufficient_funds", "insufficient_funds"),
        ("tok_aprove", "unknown_token"),
        ("anything", "unknown_token"),
    ] {
        let gateway = gateway();
        assert_eq!(authorize(&gateway, token).await, declined(reason), "{token}");
        assert_eq!(authorize(&gateway, token).await, declined(reason), "{token}, again");
        assert_eq!(capture(&gateway, token).await, failed("not_authorized"), "{token}");
        assert_eq!((books(&gateway).authorized, books(&gateway).captured), (0, 0), "{token}");
    }
}

#[tokio::test]
async fn a_timeout_before_did_nothing_and_the_repeat_is_approved() {
    let gateway = gateway();
    assert_eq!(authorize(&gateway, "tok_timeout_before").await, Err(GatewayError::TimedOut));
    assert_eq!(books(&gateway).authorized, 0);
    assert_eq!(authorize(&gateway, "tok_timeout_before").await, approved());
    assert_eq!(books(&gateway).authorizations, 1);
}

#[tokio::test]
async fn a_timeout_after_did_happen_and_the_repeat_gets_the_stored_answer() {
    let gateway = gateway();
    assert_eq!(authorize(&gateway, "tok_timeout_after").await, Err(GatewayError::TimedOut));
    assert_eq!(books(&gateway).authorized, PRICE);
    assert_eq!(authorize(&gateway, "tok_timeout_after").await, approved());
    assert_eq!(books(&gateway).authorizations, 1);
}

#[tokio::test]
async fn a_late_answer_comes_late_but_the_money_is_reserved_at_once() {
    let gateway = gateway();
    let call = request("tok_late", GatewayCall::Authorize);
    let given_up = tokio::time::timeout(Duration::from_millis(1), gateway.authorize(&call)).await;
    assert!(given_up.is_err(), "20 ms is late");
    assert_eq!(books(&gateway).authorized, PRICE);
    assert_eq!(authorize(&gateway, "tok_late").await, approved(), "the repeat is answered at once");
    assert_eq!(books(&gateway).authorizations, 1);
}

#[tokio::test]
async fn whoever_waits_for_a_late_answer_gets_it() {
    assert_eq!(authorize(&gateway(), "tok_late").await, approved());
}

#[tokio::test]
async fn an_answer_delivered_twice_is_the_same_both_times() {
    let deliveries = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&deliveries);
    let gateway =
        gateway().with_duplicates(Box::new(move |order, command| sink.lock().unwrap().push((order, command))));
    let answer = authorize(&gateway, "tok_twice").await.unwrap();
    assert_eq!(*deliveries.lock().unwrap(), [(ORDER, OrderCommand::RecordAuthorization(answer))]);
    assert_eq!(books(&gateway).authorizations, 1);
}

#[tokio::test]
async fn a_stored_error_is_replayed_until_somebody_looks_up() {
    let gateway = gateway();
    for _ in 0..3 {
        assert_eq!(authorize(&gateway, "tok_stored_error").await, Err(GatewayError::TimedOut));
    }
    let looking_up = GatewayRequest { asked_before: true, ..request("tok_stored_error", GatewayCall::Authorize) };
    assert_eq!(gateway.authorize(&looking_up).await, approved());
    assert_eq!(books(&gateway).authorizations, 1);
}

#[tokio::test]
async fn an_authorization_that_never_answers_is_declined_when_the_order_is_voided() {
    let gateway = gateway();
    let waiting = async {
        let answer = tokio::time::timeout(Duration::from_secs(10), authorize(&gateway, "tok_never")).await;
        assert_eq!(answer.unwrap(), declined("voided"));
    };
    let voiding = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(void(&gateway, "tok_never").await, Ok(VoidOutcome::Voided));
    };
    tokio::join!(waiting, voiding);
    assert_eq!((books(&gateway).authorized, books(&gateway).voided), (0, true));
    assert_eq!(authorize(&gateway, "tok_never").await, declined("voided"), "and so is a repeat");
}

#[tokio::test]
async fn a_capture_that_times_out_after_the_fact_takes_the_money_once() {
    let gateway = gateway();
    let token = "tok_capture_timeout_after";
    assert_eq!(authorize(&gateway, token).await, approved());
    assert_eq!(capture(&gateway, token).await, Err(GatewayError::TimedOut));
    assert_eq!(books(&gateway).captured, PRICE);
    assert_eq!(capture(&gateway, token).await, Ok(SettlementOutcome::Done));
    assert_eq!((books(&gateway).captured, books(&gateway).captures), (PRICE, 1));
}

#[tokio::test]
async fn a_failed_capture_takes_nothing_and_stays_failed() {
    let gateway = gateway();
    assert_eq!(authorize(&gateway, "tok_capture_decline").await, approved());
    for _ in 0..2 {
        assert_eq!(capture(&gateway, "tok_capture_decline").await, failed("capture_declined"));
    }
    assert_eq!(books(&gateway).captured, 0);
}

#[tokio::test]
async fn a_failed_refund_gives_nothing_back_and_stays_failed() {
    let gateway = gateway();
    assert_eq!(authorize(&gateway, "tok_refund_decline").await, approved());
    assert_eq!(capture(&gateway, "tok_refund_decline").await, Ok(SettlementOutcome::Done));
    for _ in 0..2 {
        assert_eq!(refund(&gateway, "tok_refund_decline", 0).await, failed("refund_declined"));
    }
    assert_eq!((books(&gateway).captured, books(&gateway).refunded), (PRICE, 0));
}

#[tokio::test]
async fn a_void_that_overtakes_its_authorization_refuses_it() {
    let gateway = gateway();
    assert_eq!(void(&gateway, "tok_approve").await, Ok(VoidOutcome::Voided));
    assert_eq!(authorize(&gateway, "tok_approve").await, declined("voided"));
    assert_eq!((books(&gateway).authorized, books(&gateway).voided), (0, true));
}

#[tokio::test]
async fn a_void_releases_the_reservation_for_good() {
    let gateway = gateway();
    assert_eq!(authorize(&gateway, "tok_approve").await, approved());
    for _ in 0..2 {
        assert_eq!(void(&gateway, "tok_approve").await, Ok(VoidOutcome::Voided));
    }
    assert_eq!(capture(&gateway, "tok_approve").await, failed("voided"));
    assert_eq!((books(&gateway).captured, books(&gateway).repeats), (0, 1));
    assert!(gateway.ledger().violations().is_empty());
}

#[tokio::test]
async fn a_void_after_the_capture_changes_nothing_and_says_so() {
    let gateway = gateway();
    assert_eq!(authorize(&gateway, "tok_approve").await, approved());
    assert_eq!(capture(&gateway, "tok_approve").await, Ok(SettlementOutcome::Done));
    assert_eq!(void(&gateway, "tok_approve").await, Ok(VoidOutcome::Captured));
    assert_eq!((books(&gateway).captured, books(&gateway).voided), (PRICE, false));
    assert!(gateway.ledger().violations().is_empty());
}
