//! The ledger under keys that come again, at its limits, in races, and over a restart.

use std::{num::NonZeroUsize, sync::Arc};

use holdfast_actors::payment::{
    CurrencyTotals, GatewayError, GatewayRequest, PaymentGateway as _, SandboxGateway, SandboxSettings, VoidOutcome,
};
use holdfast_core::{
    Currency, Money, OrderId,
    order::{GatewayCall, SettlementOutcome},
};

use crate::{ORDER, PRICE, approved, authorize, books, capture, declined, failed, gateway, refund, request};

#[tokio::test]
async fn the_same_key_with_other_content_is_refused_and_changes_nothing() {
    let gateway = gateway();
    assert_eq!(authorize(&gateway, "tok_approve").await, approved());
    let more = Money::new(PRICE + 1, Currency::EUR);
    let dearer = GatewayRequest { amount: more, ..request("tok_approve", GatewayCall::Authorize) };
    assert_eq!(gateway.authorize(&dearer).await, declined("idempotency_mismatch"));
    assert_eq!(authorize(&gateway, "tok_decline").await, declined("idempotency_mismatch"));

    assert_eq!(capture(&gateway, "tok_approve").await, Ok(SettlementOutcome::Done));
    let part = Money::new(1, Currency::EUR);
    let smaller = GatewayRequest { amount: part, ..request("tok_approve", GatewayCall::Capture) };
    assert_eq!(gateway.capture(&smaller).await, failed("idempotency_mismatch"));

    assert_eq!(refund(&gateway, "tok_approve", 0).await, Ok(SettlementOutcome::Done));
    let smaller = GatewayRequest { amount: part, ..request("tok_approve", GatewayCall::Refund(0)) };
    assert_eq!(gateway.refund(&smaller).await, failed("idempotency_mismatch"));
    let books = books(&gateway);
    assert_eq!((books.authorized, books.captured, books.refunded), (PRICE, PRICE, PRICE));
}

#[tokio::test]
async fn no_more_is_captured_than_authorized_nor_refunded_than_captured() {
    for (minor, currency) in
        [(PRICE + 1, Currency::EUR), (0, Currency::EUR), (-1, Currency::EUR), (PRICE, Currency::USD)]
    {
        let gateway = self::gateway();
        assert_eq!(authorize(&gateway, "tok_approve").await, approved());
        let amount = Money::new(minor, currency);
        let wrong = GatewayRequest { amount, ..request("tok_approve", GatewayCall::Capture) };
        assert_eq!(gateway.capture(&wrong).await, failed("amount_not_authorized"), "{amount}");
    }
    let gateway = self::gateway();
    assert_eq!(authorize(&gateway, "tok_approve").await, approved());
    let unnamed = GatewayRequest { reference: None, ..request("tok_approve", GatewayCall::Capture) };
    assert_eq!(gateway.capture(&unnamed).await, failed("unknown_reference"));

    let gateway = self::gateway();
    assert_eq!(authorize(&gateway, "tok_approve").await, approved());
    assert_eq!(refund(&gateway, "tok_approve", 0).await, failed("amount_not_captured"));
    assert_eq!(capture(&gateway, "tok_approve").await, Ok(SettlementOutcome::Done));
    assert_eq!(refund(&gateway, "tok_approve", 1).await, Ok(SettlementOutcome::Done));
    assert_eq!(refund(&gateway, "tok_approve", 2).await, failed("amount_not_captured"));
}

/// After a day the gateway has forgotten the key.
#[tokio::test]
async fn a_retry_after_the_gateway_forgot_the_key_is_looked_up_and_not_charged_twice() {
    let gateway = gateway();
    let again = |call| GatewayRequest { asked_before: true, ..request("tok_approve", call) };
    assert_eq!(authorize(&gateway, "tok_approve").await, approved());
    assert_eq!(capture(&gateway, "tok_approve").await, Ok(SettlementOutcome::Done));
    gateway.forget_keys();
    assert_eq!(gateway.authorize(&again(GatewayCall::Authorize)).await, approved());
    assert_eq!(gateway.capture(&again(GatewayCall::Capture)).await, Ok(SettlementOutcome::Done));
    assert!(gateway.ledger().violations().is_empty());

    assert_eq!(capture(&gateway, "tok_approve").await, Ok(SettlementOutcome::Done));
    assert_eq!(gateway.ledger().violations(), [ORDER], "a blind retry is what the ledger tells on");
}

#[tokio::test]
async fn a_full_ledger_turns_new_orders_away_and_forgets_none() {
    let settings = SandboxSettings { max_orders: NonZeroUsize::MIN, ..SandboxSettings::default() };
    let gateway = SandboxGateway::new(&settings);
    assert_eq!(authorize(&gateway, "tok_approve").await, approved());
    let mut other = request("tok_approve", GatewayCall::Authorize);
    other.key.order = OrderId::from_u128(7);
    assert!(matches!(gateway.authorize(&other).await, Err(GatewayError::Unavailable { .. })));
    other.key.call = GatewayCall::Void;
    assert_eq!(gateway.void(&other).await, Ok(VoidOutcome::Voided), "nothing to release");
    assert_eq!(capture(&gateway, "tok_approve").await, Ok(SettlementOutcome::Done));
}

#[tokio::test]
async fn the_totals_add_up_by_currency() {
    let gateway = gateway();
    for (order, currency) in [(1, Currency::EUR), (2, Currency::EUR), (3, Currency::USD)] {
        let mut request = request("tok_approve", GatewayCall::Authorize);
        request.key.order = OrderId::from_u128(order);
        request.amount = Money::new(100, currency);
        gateway.authorize(&request).await.unwrap();
    }
    let totals = gateway.ledger().totals();
    assert_eq!((totals.orders, totals.calls, totals.repeats, totals.voided), (3, 3, 0, 0));
    assert_eq!(totals.money[&Currency::EUR], CurrencyTotals { authorized: 200, captured: 0, refunded: 0 });
    assert_eq!(totals.money[&Currency::USD].authorized, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn authorizations_captures_and_voids_that_race_break_no_books() {
    let gateway = Arc::new(gateway());
    let mut calls = tokio::task::JoinSet::new();
    for order in 0..500 {
        for call in [GatewayCall::Authorize, GatewayCall::Capture, GatewayCall::Void, GatewayCall::Authorize] {
            let gateway = Arc::clone(&gateway);
            let mut request = request("tok_approve", call);
            request.key.order = OrderId::from_u128(order);
            request.reference = Some(format!("sbx_{order:032x}"));
            calls.spawn(async move {
                match call {
                    GatewayCall::Authorize => drop(gateway.authorize(&request).await),
                    GatewayCall::Capture => drop(gateway.capture(&request).await),
                    GatewayCall::Void | GatewayCall::Refund(_) => drop(gateway.void(&request).await),
                }
            });
        }
    }
    calls.join_all().await;
    assert!(gateway.ledger().violations().is_empty());
    assert_eq!(gateway.ledger().totals().orders, 500);
}

#[tokio::test]
async fn with_a_book_a_gateway_remembers_after_a_restart_what_it_did_and_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book");
    let settings = SandboxSettings { book: Some(path.clone()), ..SandboxSettings::default() };
    let token = "tok_capture_timeout_after";
    let before = SandboxGateway::open(&settings).unwrap();
    assert_eq!(authorize(&before, token).await, approved());
    assert_eq!(capture(&before, token).await, Err(GatewayError::TimedOut));
    let told = books(&before);
    drop(before);
    // The process was killed while it wrote the next call, which nobody was answered.
    let written = std::fs::read(&path).unwrap();
    std::fs::write(&path, [&written[..], b"ord_0000"].concat()).unwrap();

    let after = SandboxGateway::open(&settings).unwrap();
    assert_eq!(books(&after), told);
    assert_eq!(std::fs::read(&path).unwrap(), written, "an unfinished line stays");
    assert_eq!(capture(&after, token).await, Ok(SettlementOutcome::Done));
    assert_eq!(refund(&after, token, 0).await, Ok(SettlementOutcome::Done));
    assert_eq!((books(&after).captures, books(&after).refunded), (1, PRICE));
    let told = books(&after);
    let second = SandboxGateway::open(&settings).map(|_| ()).unwrap_err();
    assert!(second.to_string().contains("another gateway"), "a book was given to two: {second}");
    drop(after);
    assert_eq!(books(&SandboxGateway::open(&settings).unwrap()), told);

    std::fs::write(&path, "no book at all\n").unwrap();
    assert!(SandboxGateway::open(&settings).is_err(), "something else was read as a book");
}
