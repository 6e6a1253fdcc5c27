//! An order from placed to delivered.

use holdfast_core::{
    BuyerId, CustomerId, Entity, Quantity, SkuId,
    order::{
        CancelReason,
        CapturePolicy::{OnConfirmation, OnShipment},
        GatewayCall, LineStock, Order, OrderCommand, OrderEvent, OrderRejection, OrderStatus, PaymentStatus,
        PaymentToken, Placement, Step, StockAction,
    },
};

use crate::given::{
    ORDER, allocated, approved, at, capture_failed, captured, confirmation, eur, order_after, placement, tell,
};

/// Steps in short: `authorize`, `allocate 0` ...
pub(crate) fn owed(order: &Order) -> Vec<String> {
    let name = |step: &Step| match step {
        Step::Stock { hold, action: StockAction::Allocate, .. } => format!("allocate {}", hold.line),
        Step::Stock { hold, action: StockAction::Release, .. } => format!("release {}", hold.line),
        Step::Stock { hold, action: StockAction::Fulfill, .. } => format!("fulfill {}", hold.line),
        Step::Gateway { key, amount, .. } => {
            format!("{} {}", key.to_string().split_once(':').unwrap().1, amount.minor())
        }
    };
    order.next_steps().iter().map(name).collect()
}

#[test]
fn an_order_that_does_not_exist_refuses_all_but_its_placing() {
    let order = Order::new(ORDER);
    for command in
        [approved(), allocated(0), captured(), OrderCommand::Expire, OrderCommand::Ship { expected_version: None }]
    {
        assert_eq!(order.decide(command, at(0)), Err(OrderRejection::NotFound));
    }
    assert_eq!((order.placement(), order.payment(), order.next_steps().len()), (None, None, 0));
    assert!(order.is_settled());
}

#[test]
fn a_placed_order_asks_for_its_authorization() {
    let order = order_after(OnShipment, []);
    assert_eq!(order.status(), OrderStatus::Placed);
    assert_eq!(owed(&order), ["authorize 2500"]);
    assert_eq!(order.next_deadline(), Some(at(100)));
    assert_eq!(order.payment().unwrap().status, PaymentStatus::Pending);
    assert!(order.lines().all(|(_, stock)| stock == LineStock::Held));
}

#[test]
fn placing_the_same_order_again_is_harmless_and_another_one_is_refused() {
    let order = order_after(OnShipment, []);
    assert_eq!(order.decide(OrderCommand::Place(placement(OnShipment).into()), at(5)), Ok(Vec::new()));
    let mut other = placement(OnShipment);
    other.fingerprint = 2;
    assert_eq!(order.decide(OrderCommand::Place(other.into()), at(5)), Err(OrderRejection::FingerprintMismatch));
}

#[test]
fn a_request_that_names_its_lines_is_compared_with_what_was_placed() {
    // Also where the order, or the request, has a fingerprint and the other has none.
    for (placed, again) in
        [(Placement::OF_LINES, Placement::OF_LINES), (1, Placement::OF_LINES), (Placement::OF_LINES, 1)]
    {
        let with = |fingerprint| Placement { fingerprint, ..placement(OnShipment) };
        let mut order = Order::new(ORDER);
        for event in order.decide(OrderCommand::Place(with(placed).into()), at(0)).unwrap() {
            order.apply(&event);
        }
        let repeat = |change: fn(&mut Placement)| {
            let mut request = with(again);
            change(&mut request);
            order.decide(OrderCommand::Place(request.into()), at(5))
        };
        let same: [fn(&mut Placement); 3] = [
            |_| {},
            |request| request.lines[0].unit_price = eur(7),
            |request| (request.placed_at, request.total) = (at(4), eur(7)),
        ];
        assert!(same.into_iter().all(|change| repeat(change) == Ok(Vec::new())));
        let other: [fn(&mut Placement); 6] = [
            |request| request.buyer = BuyerId::from_u128(99),
            |request| request.customer = Some(CustomerId::parse("c-9").unwrap()),
            |request| request.payment_token = PaymentToken::parse("tok_other").unwrap(),
            |request| request.lines[0].quantity = Quantity::new(9).unwrap(),
            |request| request.lines[0].sku = SkuId::parse("OTHER").unwrap(),
            |request| drop(request.lines.pop()),
        ];
        for change in other {
            assert_eq!(repeat(change), Err(OrderRejection::FingerprintMismatch));
        }
    }
}

#[test]
fn an_order_adds_up_or_is_refused() {
    let order = Order::new(ORDER);
    let refusal = |spoil: fn(&mut Placement)| {
        let mut placement = placement(OnShipment);
        spoil(&mut placement);
        order.decide(OrderCommand::Place(placement.into()), at(0)).unwrap_err()
    };
    assert_eq!(refusal(|placement| placement.lines.clear()), OrderRejection::LineCount);
    assert_eq!(refusal(|placement| placement.lines = vec![placement.lines[0].clone(); 101]), OrderRejection::LineCount);
    assert_eq!(refusal(|placement| placement.total = eur(2_499)), OrderRejection::Total);
    assert_eq!(refusal(|placement| placement.lines[0].unit_price = eur(-1_000)), OrderRejection::Total);
    assert_eq!(refusal(|placement| placement.lines[0].unit_price = eur(i64::MAX)), OrderRejection::Overflow);
    let almost_too_much = |placement: &mut Placement| {
        placement.lines[0].quantity = Quantity::ONE;
        placement.lines[0].unit_price = eur(i64::MAX);
    };
    assert_eq!(refusal(almost_too_much), OrderRejection::Overflow, "each line fits, the sum does not");
    let dollars = holdfast_core::Money::new(500, holdfast_core::Currency::USD);
    let mut mixed = placement(OnShipment);
    mixed.lines[1].unit_price = dollars;
    assert_eq!(order.decide(OrderCommand::Place(mixed.into()), at(0)), Err(OrderRejection::MixedCurrencies));
}

#[test]
fn an_order_has_as_many_lines_as_it_may_and_no_more() {
    let mut most = placement(OnShipment);
    most.lines = vec![most.lines[0].clone(); Order::MAX_LINES];
    most.total = eur(2_000 * i64::try_from(Order::MAX_LINES).unwrap());
    assert!(Order::new(ORDER).decide(OrderCommand::Place(most.into()), at(0)).is_ok());
}

#[test]
fn an_order_waits_until_nothing_is_owed_and_no_deadline_is_left() {
    let placed = order_after(OnShipment, []);
    assert!(!placed.is_settled(), "it may still expire");
    let authorized = order_after(OnShipment, [approved()]);
    assert_eq!(authorized.next_deadline(), None);
    assert!(!authorized.is_settled(), "its lines are to be allocated");
}

#[test]
fn a_line_is_lost_only_while_its_allocation_is_out() {
    let lost = |line| OrderCommand::LineLost { line };
    let illegal = OrderRejection::IllegalTransition { status: OrderStatus::Placed, action: "allocated" };
    assert_eq!(order_after(OnShipment, []).decide(lost(0), at(2)), Err(illegal));
    let half = order_after(OnShipment, [approved(), allocated(0)]);
    assert_eq!(half.decide(lost(0), at(2)), Ok(Vec::new()), "it is allocated: the answer is an old one");
    assert_eq!(half.decide(lost(1), at(2)).unwrap().len(), 2);
}

#[test]
fn a_fulfilled_line_and_a_failed_capture_are_recorded_once() {
    let mut shipped = order_after(OnShipment, confirmation());
    tell(&mut shipped, OrderCommand::Ship { expected_version: None }, at(5)).unwrap();
    tell(&mut shipped, OrderCommand::LineFulfilled { line: 0 }, at(6)).unwrap();
    assert_eq!(shipped.decide(OrderCommand::LineFulfilled { line: 0 }, at(7)), Ok(Vec::new()));
    tell(&mut shipped, capture_failed(), at(8)).unwrap();
    assert_eq!(shipped.decide(capture_failed(), at(9)), Ok(Vec::new()));
}

#[test]
fn an_authorized_order_allocates_every_line() {
    let mut order = order_after(OnShipment, [approved()]);
    assert_eq!(order.status(), OrderStatus::Authorized);
    assert_eq!(owed(&order), ["allocate 0", "allocate 1"]);
    assert_eq!(order.next_deadline(), None, "it does not expire any more");
    assert_eq!(tell(&mut order, OrderCommand::Expire, at(500)).unwrap(), []);
    tell(&mut order, allocated(1), at(2)).unwrap();
    assert_eq!(owed(&order), ["allocate 0"]);
    let stocks: Vec<_> = order.lines().map(|(line, stock)| (line.sku.to_string(), stock)).collect();
    assert_eq!(stocks, [("LAMP".to_string(), LineStock::Held), ("BULB".to_string(), LineStock::Allocated)]);
}

#[test]
fn the_last_allocated_line_confirms_the_order() {
    let mut order = order_after(OnShipment, [approved(), allocated(1)]);
    let facts = tell(&mut order, allocated(0), at(2)).unwrap();
    assert_eq!(facts, [OrderEvent::LineAllocated { line: 0 }, OrderEvent::Confirmed]);
    assert_eq!(order.status(), OrderStatus::Confirmed);
    assert!(order.is_settled(), "nothing is owed until it ships");
    assert_eq!(order.decide(allocated(0), at(3)), Ok(Vec::new()));
}

#[test]
fn money_is_captured_when_the_goods_leave() {
    let mut order = order_after(OnShipment, confirmation());
    tell(&mut order, OrderCommand::Ship { expected_version: None }, at(5)).unwrap();
    assert_eq!(owed(&order), ["capture 2500", "fulfill 0", "fulfill 1"]);
    tell(&mut order, captured(), at(6)).unwrap();
    tell(&mut order, OrderCommand::LineFulfilled { line: 1 }, at(6)).unwrap();
    tell(&mut order, OrderCommand::Deliver { expected_version: None }, at(7)).unwrap();
    assert_eq!(order.status(), OrderStatus::Delivered);
    assert_eq!(owed(&order), ["fulfill 0"], "an answer still out is asked for again");
    tell(&mut order, OrderCommand::LineFulfilled { line: 0 }, at(8)).unwrap();
    assert!(order.is_settled());
    let payment = order.payment().unwrap();
    assert_eq!((payment.status, payment.reference), (PaymentStatus::Captured, Some("auth_1")));
    assert_eq!((payment.captured, payment.refunded), (eur(2_500), eur(0)));
    assert!(order.lines().all(|(_, stock)| stock == LineStock::Fulfilled));
}

#[test]
fn money_is_captured_on_confirmation_where_the_policy_says_so() {
    let mut order = order_after(OnConfirmation, confirmation());
    assert_eq!(owed(&order), ["capture 2500"]);
    tell(&mut order, captured(), at(5)).unwrap();
    assert_eq!(owed(&order), [""; 0]);
    tell(&mut order, OrderCommand::Ship { expected_version: None }, at(6)).unwrap();
    assert_eq!(owed(&order), ["fulfill 0", "fulfill 1"]);
}

#[test]
fn money_is_never_captured_before_every_line_is_allocated() {
    for commands in [vec![], vec![approved()], vec![approved(), allocated(0)]] {
        let order = order_after(OnConfirmation, commands);
        assert!(order.next_steps().iter().all(|step| !is_capture(step)));
        assert!(order.decide(captured(), at(5)).is_err());
    }
    let confirmed = order_after(OnShipment, confirmation());
    assert!(confirmed.decide(captured(), at(5)).is_err(), "nor before it ships, where the policy says so");
}

fn is_capture(step: &Step) -> bool {
    matches!(step, Step::Gateway { key, .. } if key.call == GatewayCall::Capture)
}

#[test]
fn steps_come_in_order_or_are_refused() {
    let refusal = |status, action| Err(OrderRejection::IllegalTransition { status, action });
    let placed = order_after(OnShipment, []);
    assert_eq!(
        placed.decide(OrderCommand::Ship { expected_version: None }, at(1)),
        refusal(OrderStatus::Placed, "shipped")
    );
    assert_eq!(placed.decide(allocated(0), at(1)), refusal(OrderStatus::Placed, "allocated"));
    let confirmed = order_after(OnShipment, confirmation());
    assert_eq!(
        confirmed.decide(OrderCommand::Deliver { expected_version: None }, at(1)),
        refusal(OrderStatus::Confirmed, "delivered")
    );
    let early = OrderCommand::LineFulfilled { line: 0 };
    assert_eq!(confirmed.decide(early, at(1)), refusal(OrderStatus::Confirmed, "fulfilled"));
    assert_eq!(confirmed.decide(OrderCommand::RecordVoid, at(1)), refusal(OrderStatus::Confirmed, "voided"));
    assert_eq!(confirmed.decide(allocated(2), at(1)), Err(OrderRejection::LineNotFound { line: 2 }));
}

#[test]
fn shipping_and_delivering_twice_is_once() {
    let mut order = order_after(OnShipment, confirmation());
    tell(&mut order, OrderCommand::Ship { expected_version: None }, at(5)).unwrap();
    assert_eq!(order.decide(OrderCommand::Ship { expected_version: None }, at(6)), Ok(Vec::new()));
    tell(&mut order, OrderCommand::Deliver { expected_version: None }, at(7)).unwrap();
    assert_eq!(order.decide(OrderCommand::Ship { expected_version: None }, at(8)), Ok(Vec::new()));
    assert_eq!(order.decide(OrderCommand::Deliver { expected_version: None }, at(8)), Ok(Vec::new()));
}

#[test]
fn a_failed_capture_stays_visible_and_keeps_the_goods_in_the_house() {
    let mut order = order_after(OnConfirmation, confirmation());
    tell(&mut order, capture_failed(), at(5)).unwrap();
    let payment = order.payment().unwrap();
    assert_eq!((payment.status, payment.reason), (PaymentStatus::Failed, Some("expired_card")));
    assert_eq!(owed(&order), [""; 0], "it is not retried by itself");
    assert!(order.decide(OrderCommand::Ship { expected_version: None }, at(6)).is_err());
    tell(&mut order, captured(), at(7)).unwrap();
    assert_eq!(order.payment().unwrap().status, PaymentStatus::Captured, "the gateway thought better of it");
    assert!(order.decide(OrderCommand::Ship { expected_version: None }, at(8)).is_ok());
}

#[test]
fn gateway_keys_read_as_the_order_and_the_call() {
    let key = |call| holdfast_core::order::GatewayKey { order: ORDER, call }.to_string();
    let id = "ord_0000000000000000000000000000beef";
    assert_eq!(key(GatewayCall::Authorize), format!("{id}:authorize"));
    assert_eq!(key(GatewayCall::Capture), format!("{id}:capture"));
    assert_eq!(key(GatewayCall::Void), format!("{id}:void"));
    assert_eq!(key(GatewayCall::Refund(0)), format!("{id}:refund:0"));
}

#[test]
fn a_move_from_a_version_the_caller_did_not_see_is_refused() {
    let confirmed = order_after(OnShipment, confirmation());
    let (actual, seen) = (confirmed.version(), confirmed.version() - 1);
    let stale = Err(OrderRejection::StaleVersion { expected: seen, actual });
    let moves = |expected_version| {
        let reason = CancelReason::Merchant;
        [
            OrderCommand::Ship { expected_version },
            OrderCommand::Deliver { expected_version },
            OrderCommand::Cancel { reason, expected_version },
        ]
    };
    for command in moves(Some(seen)) {
        assert_eq!(confirmed.decide(command, at(2)), stale);
    }
    let [ship, _, cancel] = moves(Some(actual));
    assert_eq!(confirmed.decide(ship, at(2)), Ok(vec![OrderEvent::Shipped]));
    assert!(confirmed.decide(cancel, at(2)).is_ok());
}
