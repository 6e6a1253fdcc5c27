//! Whatever an order is told, asked for or not: it never panics, a replay gives the same order, and money stays in bounds.

use holdfast_core::{
    Entity,
    order::{AuthorizationOutcome, CancelReason, CapturePolicy, Order, OrderCommand, OrderEvent, SettlementOutcome},
};
use proptest::prelude::*;

use crate::given::{ORDER, apply_all, approved, at, declined, eur, placement};

fn any_outcome() -> impl Strategy<Value = SettlementOutcome> {
    prop_oneof![
        2 => Just(SettlementOutcome::Done),
        1 => Just(SettlementOutcome::Failed { reason: "refused".into() }),
    ]
}

fn any_command() -> impl Strategy<Value = OrderCommand> {
    let line = 0_u16..3;
    prop_oneof![
        4 => Just(approved()),
        1 => Just(declined()),
        8 => line.clone().prop_map(|line| OrderCommand::LineAllocated { line }),
        1 => line.clone().prop_map(|line| OrderCommand::LineLost { line }),
        2 => line.clone().prop_map(|line| OrderCommand::LineReleased { line }),
        3 => line.prop_map(|line| OrderCommand::LineFulfilled { line }),
        4 => any_outcome().prop_map(OrderCommand::RecordCapture),
        2 => Just(OrderCommand::RecordVoid),
        3 => (0_u16..4, any_outcome()).prop_map(|(refund, outcome)| OrderCommand::RecordRefund { refund, outcome }),
        1 => Just(OrderCommand::Cancel { reason: CancelReason::Merchant, expected_version: None }),
        1 => Just(OrderCommand::Expire),
        4 => Just(OrderCommand::Ship { expected_version: None }),
        2 => Just(OrderCommand::Deliver { expected_version: None }),
        4 => (0_u128..9, prop::option::of(-10_i64..2_600))
            .prop_map(|(request, cents)| OrderCommand::Refund { request, amount: cents.map(eur) }),
    ]
}

fn any_policy() -> impl Strategy<Value = CapturePolicy> {
    prop_oneof![Just(CapturePolicy::OnShipment), Just(CapturePolicy::OnConfirmation)]
}

fn run(capture: CapturePolicy, commands: Vec<(OrderCommand, i64)>) -> (Order, Vec<OrderEvent>) {
    let mut order = Order::new(ORDER);
    let mut facts = vec![OrderEvent::Placed(placement(capture).into())];
    order.apply(&facts[0]);
    let mut now = 0;
    for (command, pause) in commands {
        now += pause;
        let before = order.clone();
        match order.decide(command, at(now)) {
            Ok(events) => {
                apply_all(&mut order, &events);
                facts.extend(events);
            }
            Err(_) => assert_eq!(order, before, "a refusal changes nothing"),
        }
        let payment = order.payment().unwrap();
        let pending: i64 = order
            .refunds()
            .iter()
            .map(|refund| match refund.state {
                holdfast_core::order::RefundState::Failed { .. } => 0,
                _ => refund.amount.minor(),
            })
            .sum();
        assert!(payment.refunded.minor() <= pending && pending <= payment.captured.minor());
    }
    (order, facts)
}

fn any_history() -> impl Strategy<Value = Vec<(OrderCommand, i64)>> {
    prop::collection::vec((any_command(), 0_i64..8), 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_replay_gives_the_same_order_and_the_same_steps(capture in any_policy(), commands in any_history()) {
        let (order, facts) = run(capture, commands);
        let mut replayed = Order::new(ORDER);
        apply_all(&mut replayed, &facts);
        prop_assert_eq!(&replayed, &order);
        prop_assert_eq!(replayed.next_steps(), order.next_steps());
        prop_assert_eq!(order.version(), facts.len() as u64);
    }

    #[test]
    fn money_stays_only_with_an_order_that_was_confirmed(capture in any_policy(), commands in any_history()) {
        let (_, facts) = run(capture, commands);
        let place = |wanted: fn(&OrderEvent) -> bool| facts.iter().position(wanted);
        let done = |fact: &OrderEvent| *fact == OrderEvent::CaptureRecorded(SettlementOutcome::Done);
        if let Some(taken) = facts.iter().position(done) {
            let is_earned = place(|fact| *fact == OrderEvent::Confirmed).is_some_and(|confirmed| confirmed < taken);
            let goes_back = matches!(facts.get(taken + 1), Some(OrderEvent::RefundRequested { amount, .. })
                if *amount == eur(2_500));
            prop_assert!(is_earned || goes_back, "taken by hand and kept");
            prop_assert_eq!(facts.iter().filter(|fact| done(fact)).count(), 1);
        }
        let ended = |fact: &OrderEvent| matches!(fact, OrderEvent::Canceled { .. } | OrderEvent::Expired);
        let shipped = place(|fact| *fact == OrderEvent::Shipped);
        prop_assert!(shipped.is_none() || !facts.iter().any(ended), "shipped and ended");
        let known = |fact: &&OrderEvent| {
            matches!(fact, OrderEvent::AuthorizationRecorded(AuthorizationOutcome::Approved { .. }))
        };
        prop_assert!(facts.iter().filter(known).count() <= 1);
    }
}
