//! An order, its stock and its gateway in every order of events: answers late, lost and repeated, time passing, people
//! changing their minds. Whatever happens, money and goods agree at the end.

use holdfast_core::{
    Entity,
    order::{
        CancelReason,
        CapturePolicy::{OnConfirmation, OnShipment},
        LineStock, Order, OrderCommand, OrderStatus, RefundState,
    },
};
use proptest::prelude::*;

use crate::{
    given::eur,
    house::{House, Script},
};

#[derive(Debug, Clone)]
enum Happening {
    /// A step is performed; its answer travels.
    Perform(prop::sample::Index),
    /// An answer under way arrives, and may arrive again.
    Arrive(prop::sample::Index),
    /// Time passes, in milliseconds.
    Pass(i64),
    /// Expired holds lapse.
    Lapse,
    Ask(OrderCommand),
}

fn any_happening() -> impl Strategy<Value = Happening> {
    let ask = prop_oneof![
        2 => Just(OrderCommand::Expire),
        1 => Just(OrderCommand::Cancel { reason: CancelReason::Buyer, expected_version: None }),
        3 => Just(OrderCommand::Ship { expected_version: None }),
        1 => Just(OrderCommand::Deliver { expected_version: None }),
        2 => (0_u128..4, prop::option::of(1_i64..2_000))
            .prop_map(|(request, cents)| OrderCommand::Refund { request, amount: cents.map(eur) }),
    ];
    prop_oneof![
        8 => any::<prop::sample::Index>().prop_map(Happening::Perform),
        8 => any::<prop::sample::Index>().prop_map(Happening::Arrive),
        1 => (1_i64..40).prop_map(Happening::Pass),
        1 => Just(Happening::Lapse),
        3 => ask.prop_map(Happening::Ask),
    ]
}

fn any_script() -> impl Strategy<Value = Script> {
    (prop::bool::weighted(0.8), prop::bool::weighted(0.8), prop::bool::weighted(0.8))
        .prop_map(|(approves, captures, refunds)| Script { approves, captures, refunds })
}

fn happen(house: &mut House, under_way: &mut Vec<OrderCommand>, happening: Happening) {
    match happening {
        Happening::Perform(which) => {
            let steps = house.order.next_steps();
            if !steps.is_empty() {
                let answer = house.perform(&steps[which.index(steps.len())]);
                under_way.push(answer);
            }
        }
        Happening::Arrive(which) => {
            if !under_way.is_empty() {
                let answer = under_way[which.index(under_way.len())].clone();
                assert!(house.tell(answer.clone()), "{answer:?} refused by {:?}", house.order);
            }
        }
        Happening::Pass(millis) => house.now += millis,
        Happening::Lapse => house.lapse(),
        Happening::Ask(command) => {
            house.tell(command);
        }
    }
}

/// What must hold at every moment.
fn check(house: &House) {
    assert!(house.gateway.captures <= 1, "captured twice");
    assert!(!house.captured_unallocated, "captured without every line allocated");
    assert!(house.gateway.refunded <= house.gateway.captured, "more went back than was taken");
    let payment = house.order.payment().unwrap();
    assert!(payment.refunded.minor() <= payment.captured.minor());
    assert!(house.order.next_steps() == house.order.clone().next_steps());
}

/// What must hold when every answer has arrived.
fn check_end(house: &House) {
    let payment = house.order.payment().unwrap();
    assert_eq!(payment.captured.minor(), house.gateway.captured, "the ledgers agree on what was taken");
    assert_eq!(payment.refunded.minor(), house.gateway.refunded, "and on what went back");
    let refund_failed = house.order.refunds().iter().any(|refund| matches!(refund.state, RefundState::Failed { .. }));
    let (tied, gone) = house.units();
    match house.order.status() {
        OrderStatus::Canceled | OrderStatus::Expired => {
            assert_eq!((tied, gone), (0, 0), "an order that ended has no units");
            assert!(house.charged() == 0 || refund_failed, "and costs nothing, or says what failed");
            assert!(!house.gateway.authorized || house.gateway.voided || house.gateway.captured > 0);
            assert!(house.order.lines().all(|(_, stock)| stock == LineStock::Released));
        }
        _ => assert_eq!(gone, if is_shipped(&house.order) { 3 } else { 0 }, "goods leave with a shipped order only"),
    }
}

fn is_shipped(order: &Order) -> bool {
    order.lines().all(|(_, stock)| stock == LineStock::Fulfilled)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn money_and_goods_agree_whatever_happens(
        on_confirmation: bool,
        script in any_script(),
        holds_until in 20_i64..150,
        happenings in prop::collection::vec(any_happening(), 0..60),
    ) {
        let capture = if on_confirmation { OnConfirmation } else { OnShipment };
        let mut house = House::with_order(capture, script, holds_until);
        let mut under_way = Vec::new();
        for happening in happenings {
            happen(&mut house, &mut under_way, happening);
            check(&house);
        }
        for answer in under_way {
            prop_assert!(house.tell(answer));
        }
        house.now = 1_000;
        house.lapse();
        house.tell(OrderCommand::Expire);
        house.settle();
        check(&house);
        check_end(&house);
        prop_assert!(house.order.is_settled());
        prop_assert_eq!(house.order.next_deadline(), None);
    }
}
