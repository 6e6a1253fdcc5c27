//! The driver between an order and its gateway: one attempt is one call, bounded in time and number; and an order that is
//! run to its end through every test token is charged at most once, and only for what it gets.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{
    collections::VecDeque,
    num::{NonZeroU64, NonZeroUsize},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use holdfast_actors::payment::{
    Attempt, GatewayError, GatewayRequest, OrderLedger, PaymentDriver, PaymentGateway, PaymentSettings, SandboxGateway,
    SandboxSettings, VoidOutcome,
};
use holdfast_core::{
    BuyerId, Currency, Entity, Money, OrderId, Quantity, SkuId, Timestamp,
    order::{
        AuthorizationOutcome, CancelReason, CapturePolicy, GatewayCall, GatewayKey, Order, OrderCommand, OrderLine,
        OrderStatus, PaymentToken, Placement, SettlementOutcome, Step, StockAction,
    },
};

const PRICE: Money = Money::new(2_500, Currency::EUR);

fn settings(attempt_timeout_ms: u64, max_concurrent_calls: usize) -> PaymentSettings {
    PaymentSettings {
        attempt_timeout_ms: NonZeroU64::new(attempt_timeout_ms).unwrap(),
        max_concurrent_calls: NonZeroUsize::new(max_concurrent_calls).unwrap(),
        sandbox: SandboxSettings { late_ms: 5, ..SandboxSettings::default() },
        ..PaymentSettings::default()
    }
}

fn sandbox_driver(attempt_timeout_ms: u64) -> (Arc<SandboxGateway>, Arc<PaymentDriver>) {
    let settings = settings(attempt_timeout_ms, 8);
    let gateway = Arc::new(SandboxGateway::new(&settings.sandbox));
    (Arc::clone(&gateway), Arc::new(PaymentDriver::new(gateway, &settings)))
}

fn authorize(order: u128, token: &str) -> GatewayRequest {
    GatewayRequest {
        key: GatewayKey { order: OrderId::from_u128(order), call: GatewayCall::Authorize },
        amount: PRICE,
        token: PaymentToken::parse(token).unwrap(),
        reference: None,
        asked_before: false,
    }
}

/// A gateway that takes 5 ms for everything and counts how many calls are under way.
#[derive(Default)]
struct SlowGateway {
    under_way: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl PaymentGateway for SlowGateway {
    async fn authorize(&self, _: &GatewayRequest) -> Result<AuthorizationOutcome, GatewayError> {
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        Ok(AuthorizationOutcome::Approved { reference: "slow".to_owned() })
    }
    async fn capture(&self, _: &GatewayRequest) -> Result<SettlementOutcome, GatewayError> {
        Err(GatewayError::Unavailable { reason: "maintenance".to_owned() })
    }
    async fn void(&self, _: &GatewayRequest) -> Result<VoidOutcome, GatewayError> {
        Ok(VoidOutcome::Voided)
    }
    async fn refund(&self, _: &GatewayRequest) -> Result<SettlementOutcome, GatewayError> {
        Ok(SettlementOutcome::Done)
    }
}

#[tokio::test]
async fn each_call_is_answered_by_the_command_the_order_waits_for() {
    let driver = PaymentDriver::new(Arc::new(SlowGateway::default()), &settings(1_000, 8));
    let with_call = |call| {
        let mut request = authorize(1, "tok_approve");
        request.key.call = call;
        request
    };
    assert!(matches!(
        driver.attempt(&with_call(GatewayCall::Authorize)).await,
        Ok(OrderCommand::RecordAuthorization(AuthorizationOutcome::Approved { .. }))
    ));
    assert_eq!(
        driver.attempt(&with_call(GatewayCall::Capture)).await,
        Err(GatewayError::Unavailable { reason: "maintenance".to_owned() })
    );
    assert_eq!(driver.attempt(&with_call(GatewayCall::Void)).await, Ok(OrderCommand::RecordVoid));
    assert_eq!(
        driver.attempt(&with_call(GatewayCall::Refund(3))).await,
        Ok(OrderCommand::RecordRefund { refund: 3, outcome: SettlementOutcome::Done })
    );
}

/// An adaptor with a bug: it panics when it is called, or once it has waited.
struct Broken {
    waits: bool,
}

#[async_trait]
impl PaymentGateway for Broken {
    async fn authorize(&self, _: &GatewayRequest) -> Result<AuthorizationOutcome, GatewayError> {
        if self.waits {
            tokio::task::yield_now().await;
        }
        panic!("a bug of the adaptor")
    }
    async fn capture(&self, _: &GatewayRequest) -> Result<SettlementOutcome, GatewayError> {
        Ok(SettlementOutcome::Done)
    }
    async fn void(&self, _: &GatewayRequest) -> Result<VoidOutcome, GatewayError> {
        Ok(VoidOutcome::Voided)
    }
    async fn refund(&self, _: &GatewayRequest) -> Result<SettlementOutcome, GatewayError> {
        Ok(SettlementOutcome::Done)
    }
}

#[tokio::test]
async fn what_an_adaptor_did_that_panics_is_not_known_and_its_place_is_free_again() {
    for waits in [false, true] {
        let driver = Arc::new(PaymentDriver::new(Arc::new(Broken { waits }), &settings(1_000, 8)));
        let told = match driver.begin(authorize(1, "tok_approve")) {
            Attempt::Answered(told) => told,
            Attempt::UnderWay(attempt) => attempt.await,
        };
        assert_eq!(told, Err(GatewayError::TimedOut));
        assert_eq!(driver.free_places(), 8);
    }
}

#[tokio::test]
async fn a_gateway_that_does_not_answer_is_given_up_after_the_timeout() {
    let (_, driver) = sandbox_driver(20);
    assert_eq!(driver.attempt(&authorize(1, "tok_never")).await, Err(GatewayError::TimedOut));
    assert_eq!(driver.free_places(), 8, "its place is free again");
}

#[tokio::test]
async fn no_more_calls_are_under_way_than_the_setting_allows() {
    let gateway = Arc::new(SlowGateway::default());
    let driver = Arc::new(PaymentDriver::new(Arc::clone(&gateway) as Arc<dyn PaymentGateway>, &settings(1_000, 3)));
    let mut attempts = tokio::task::JoinSet::new();
    for order in 0..20 {
        let driver = Arc::clone(&driver);
        attempts.spawn(async move { driver.attempt(&authorize(order, "tok_approve")).await });
    }
    for answer in attempts.join_all().await {
        assert!(answer.is_ok());
    }
    assert_eq!(gateway.most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_gateway_that_answers_at_once_needs_no_task_and_a_slow_one_is_handed_over() {
    let (_, driver) = sandbox_driver(1_000);
    assert!(matches!(driver.begin(authorize(1, "tok_approve")), Attempt::Answered(Ok(_))));
    let Attempt::UnderWay(rest) = driver.begin(authorize(2, "tok_late")) else { panic!("late is not at once") };
    assert_eq!(driver.free_places(), 7);
    assert!(matches!(rest.await, Ok(OrderCommand::RecordAuthorization(AuthorizationOutcome::Approved { .. }))));
    let Attempt::UnderWay(rest) = driver.begin(authorize(3, "tok_never")) else { panic!("never is not at once") };
    drop(rest);
    assert_eq!(driver.free_places(), 8, "a dropped attempt gives its place back");
}

/// Runs an order by its steps, as a shard would, until it owes nothing; stock always says yes.
async fn run(driver: &Arc<PaymentDriver>, order: &mut Order, commands: impl IntoIterator<Item = OrderCommand>) {
    let mut queue: VecDeque<OrderCommand> = commands.into_iter().collect();
    let mut asked_before = false;
    for _turn in 0..100 {
        while let Some(command) = queue.pop_front() {
            for event in order.decide(command, Timestamp::from_millis(10)).unwrap() {
                order.apply(&event);
            }
        }
        let steps = order.next_steps();
        if steps.is_empty() {
            return;
        }
        for step in steps {
            match step {
                Step::Stock { hold, action, .. } => queue.push_back(match action {
                    StockAction::Allocate => OrderCommand::LineAllocated { line: hold.line },
                    StockAction::Release => OrderCommand::LineReleased { line: hold.line },
                    StockAction::Fulfill => OrderCommand::LineFulfilled { line: hold.line },
                }),
                step @ Step::Gateway { .. } => {
                    let request = GatewayRequest::from_step(step, asked_before).unwrap();
                    let answer = driver.attempt(&request).await;
                    asked_before = answer.is_err();
                    queue.extend(answer.ok());
                }
            }
        }
        if asked_before && order.status() == OrderStatus::Placed && is_hopeless(order) {
            queue.push_back(OrderCommand::Cancel { reason: CancelReason::Buyer, expected_version: None });
        }
    }
    panic!("the order never came to rest: {order:?}");
}

fn is_hopeless(order: &Order) -> bool {
    order.placement().is_some_and(|placement| placement.payment_token.as_str() == "tok_never")
}

fn placement(token: &str) -> Placement {
    Placement {
        buyer: BuyerId::from_u128(5),
        customer: None,
        lines: vec![OrderLine { sku: SkuId::parse("SHOE-42").unwrap(), quantity: Quantity::ONE, unit_price: PRICE }],
        total: PRICE,
        payment_token: PaymentToken::parse(token).unwrap(),
        capture: CapturePolicy::OnConfirmation,
        placed_at: Timestamp::from_millis(1),
        expires_at: Timestamp::from_millis(1_000_000),
        fingerprint: 1,
    }
}

/// The order of this token, run to rest, and the gateway's books on it.
async fn order_and_books(token: &str) -> (Order, OrderLedger, Arc<SandboxGateway>, Arc<PaymentDriver>) {
    let (gateway, driver) = sandbox_driver(50);
    let mut order = Order::new(OrderId::from_u128(0xfeed_0000));
    run(&driver, &mut order, [OrderCommand::Place(placement(token).into())]).await;
    let books = gateway.ledger().order(order.id()).unwrap();
    (order, books, gateway, driver)
}

/// A gateway that times out, answers late or twice, or fails: whatever it does, order and ledger agree.
#[tokio::test]
async fn every_way_to_pay_ends_in_one_capture_and_a_confirmed_order() {
    for token in ["tok_approve", "tok_timeout_before", "tok_timeout_after", "tok_late", "tok_twice", "tok_stored_error"]
        .into_iter()
        .chain(["tok_capture_timeout_after", "tok_refund_decline"])
    {
        let (order, books, gateway, _) = order_and_books(token).await;
        assert_eq!(order.status(), OrderStatus::Confirmed, "{token}");
        assert_eq!((books.captured, books.captures, books.authorizations), (PRICE.minor(), 1, 1), "{token}");
        assert!(gateway.ledger().violations().is_empty(), "{token}");
    }
}

#[tokio::test]
async fn every_refused_payment_ends_the_order_and_takes_nothing() {
    for token in ["tok_decline", "tok_insufficient_funds", "tok_unheard_of", "tok_never"] {
        let (order, books, gateway, _) = order_and_books(token).await;
        assert_eq!(order.status(), OrderStatus::Canceled, "{token}");
        assert_eq!((books.authorized, books.captured), (0, 0), "{token}");
        assert!(gateway.ledger().violations().is_empty(), "{token}");
    }
}

#[tokio::test]
async fn a_canceled_order_gives_back_what_it_took() {
    let (mut order, _, gateway, driver) = order_and_books("tok_capture_timeout_after").await;
    run(&driver, &mut order, [OrderCommand::Cancel { reason: CancelReason::Merchant, expected_version: None }]).await;
    let books = gateway.ledger().order(order.id()).unwrap();
    assert_eq!((books.captured, books.refunded), (PRICE.minor(), PRICE.minor()));
    assert!(gateway.ledger().violations().is_empty());
}

#[tokio::test]
async fn a_capture_whose_answer_was_lost_is_given_back_when_the_order_was_canceled_meanwhile() {
    let (gateway, driver) = sandbox_driver(50);
    let mut order = Order::new(OrderId::from_u128(0xfeed_0000));
    let tell = |order: &mut Order, command| {
        for event in order.decide(command, Timestamp::from_millis(10)).unwrap() {
            order.apply(&event);
        }
    };
    tell(&mut order, OrderCommand::Place(placement("tok_capture_timeout_after").into()));
    let authorized = driver.attempt(&authorize(0xfeed_0000, "tok_capture_timeout_after")).await.unwrap();
    tell(&mut order, authorized);
    tell(&mut order, OrderCommand::LineAllocated { line: 0 });
    let capture = order.next_steps().into_iter().find_map(|step| GatewayRequest::from_step(step, false)).unwrap();
    assert_eq!(driver.attempt(&capture).await, Err(GatewayError::TimedOut));
    // Canceled before the capture is asked again: the order owes a void now, and nobody asks for the capture any more.
    run(&driver, &mut order, [OrderCommand::Cancel { reason: CancelReason::Buyer, expected_version: None }]).await;
    let books = gateway.ledger().order(order.id()).unwrap();
    assert_eq!((books.captured, books.refunded), (PRICE.minor(), PRICE.minor()));
    assert_eq!(order.payment().unwrap().refunded, PRICE);
}

/// A gateway at which somebody captured by hand what Holdfast never asked it to.
#[derive(Default)]
struct CapturedByHand {
    refunded: parking_lot::Mutex<Vec<(Money, Option<String>)>>,
}

#[async_trait]
impl PaymentGateway for CapturedByHand {
    async fn authorize(&self, _: &GatewayRequest) -> Result<AuthorizationOutcome, GatewayError> {
        Ok(AuthorizationOutcome::Approved { reference: "by_hand".to_owned() })
    }
    async fn capture(&self, _: &GatewayRequest) -> Result<SettlementOutcome, GatewayError> {
        panic!("no capture was asked for")
    }
    async fn void(&self, _: &GatewayRequest) -> Result<VoidOutcome, GatewayError> {
        Ok(VoidOutcome::Captured)
    }
    async fn refund(&self, request: &GatewayRequest) -> Result<SettlementOutcome, GatewayError> {
        self.refunded.lock().push((request.amount, request.reference.clone()));
        Ok(SettlementOutcome::Done)
    }
}

#[tokio::test]
async fn what_was_captured_by_hand_is_given_back_when_the_order_is_canceled() {
    for (is_answered, reference) in [(true, Some("by_hand".to_owned())), (false, None)] {
        let gateway = Arc::new(CapturedByHand::default());
        let driver = Arc::new(PaymentDriver::new(Arc::clone(&gateway) as Arc<dyn PaymentGateway>, &settings(1_000, 8)));
        let mut order = Order::new(OrderId::from_u128(0xfeed_0000));
        let placement = Placement { capture: CapturePolicy::OnShipment, ..placement("tok_approve") };
        let cancel = OrderCommand::Cancel { reason: CancelReason::Merchant, expected_version: None };
        if is_answered {
            run(&driver, &mut order, [OrderCommand::Place(placement.into())]).await;
            run(&driver, &mut order, [cancel]).await;
        } else {
            run(&driver, &mut order, [OrderCommand::Place(placement.into()), cancel]).await;
        }
        assert_eq!(order.status(), OrderStatus::Canceled);
        assert_eq!(*gateway.refunded.lock(), [(PRICE, reference)], "all of it went back, once");
        assert_eq!(order.payment().unwrap().refunded, PRICE);
        assert_eq!(
            order.decide(OrderCommand::RecordCapture(SettlementOutcome::Done), Timestamp::from_millis(11)),
            Ok(vec![])
        );
    }
}
