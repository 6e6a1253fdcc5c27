//! What each test token of the sandbox gateway does, seen through the port: given a token, when calls are made and
//! repeated, then these answers and this money in the ledger.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]
#![expect(clippy::unnecessary_wraps, reason = "expected answers look like the answers they are compared with")]

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::Duration,
};

use holdfast_actors::payment::{
    CurrencyTotals, GatewayError, GatewayRequest, OrderLedger, PaymentGateway, SandboxGateway, SandboxSettings,
    VoidOutcome,
};
use holdfast_core::{
    Currency, Money, OrderId,
    order::{AuthorizationOutcome, GatewayCall, GatewayKey, OrderCommand, PaymentToken, SettlementOutcome},
};

const ORDER: OrderId = OrderId::from_u128(0xabc0_0001);
const PRICE: i64 = 4_990;

fn gateway() -> SandboxGateway {
    SandboxGateway::new(&SandboxSettings { late_ms: 20, ..SandboxSettings::default() })
}

fn request(token: &str, call: GatewayCall) -> GatewayRequest {
    GatewayRequest {
        key: GatewayKey { order: ORDER, call },
        amount: Money::new(PRICE, Currency::EUR),
        token: PaymentToken::parse(token).unwrap(),
        reference: (call != GatewayCall::Authorize).then(reference),
        asked_before: false,
    }
}

fn reference() -> String {
    format!("sbx_{:032x}", ORDER.as_u128())
}

fn approved() -> Result<AuthorizationOutcome, GatewayError> {
    Ok(AuthorizationOutcome::Approved { reference: reference() })
}

fn declined(reason: &str) -> Result<AuthorizationOutcome, GatewayError> {
    Ok(AuthorizationOutcome::Declined { reason: reason.to_owned() })
}

fn failed(reason: &str) -> Result<SettlementOutcome, GatewayError> {
    Ok(SettlementOutcome::Failed { reason: reason.to_owned() })
}

fn books(gateway: &SandboxGateway) -> OrderLedger {
    gateway.ledger().order(ORDER).unwrap()
}

async fn authorize(gateway: &SandboxGateway, token: &str) -> Result<AuthorizationOutcome, GatewayError> {
    gateway.authorize(&request(token, GatewayCall::Authorize)).await
}

async fn capture(gateway: &SandboxGateway, token: &str) -> Result<SettlementOutcome, GatewayError> {
    gateway.capture(&request(token, GatewayCall::Capture)).await
}

async fn refund(gateway: &SandboxGateway, token: &str, number: u16) -> Result<SettlementOutcome, GatewayError> {
    gateway.refund(&request(token, GatewayCall::Refund(number))).await
}

async fn void(gateway: &SandboxGateway, token: &str) -> Result<VoidOutcome, GatewayError> {
    gateway.void(&request(token, GatewayCall::Void)).await
}

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
