//! Stock: holds, their ends, and counts.

use holdfast_core::{
    Entity, HoldId,
    stock::{SalePolicy, StockCommand, StockEvent, StockItem, StockLevel, StockRejection},
};

use crate::given::{at, hold, hold_of, order_id, sku, stock_with, tell, units};

const fn allocate(order: u128) -> StockCommand {
    StockCommand::Allocate { hold: hold_of(order) }
}

const fn release(order: u128) -> StockCommand {
    StockCommand::Release { hold: hold_of(order) }
}

const fn fulfill(order: u128) -> StockCommand {
    StockCommand::Fulfill { hold: hold_of(order) }
}

fn adjust(delta: i64) -> StockCommand {
    StockCommand::Adjust { delta, reason: "count".into(), expected_version: None }
}

#[test]
fn stock_that_does_not_exist_refuses_all_but_its_first_units_or_policy() {
    let stock = StockItem::new(sku("LAMP"));
    for command in [hold(1, 1), release(1), allocate(1), fulfill(1), StockCommand::Lapse, adjust(1)] {
        assert_eq!(stock.decide(command, at(0)), Err(StockRejection::NotFound));
    }
    let policy = StockCommand::SetPolicy(*stock.policy());
    assert_eq!(stock.decide(policy, at(0)), Ok(vec![StockEvent::PolicySet(*stock.policy())]));
}

#[test]
fn a_hold_takes_units_out_of_what_is_available() {
    let mut stock = stock_with(10);
    tell(&mut stock, hold(1, 3), at(1)).unwrap();
    assert_eq!(stock.level(), StockLevel { on_hand: 10, held: 3, allocated: 0, fulfilled: 0 });
    assert_eq!(stock.available(), 7);
    assert_eq!(stock.hold(&hold_of(1)).map(|hold| hold.quantity), Some(units(3)));
    assert_eq!(stock.next_deadline(), Some(at(100)));
}

#[test]
fn a_hold_above_what_is_available_is_refused_with_the_numbers() {
    let mut stock = stock_with(10);
    tell(&mut stock, hold(1, 8), at(1)).unwrap();
    let refusal = StockRejection::Insufficient { available: 2, requested: 3 };
    assert_eq!(stock.decide(hold(2, 3), at(1)), Err(refusal));
}

#[test]
fn the_same_hold_twice_is_one_hold() {
    let mut stock = stock_with(10);
    tell(&mut stock, hold(1, 3), at(1)).unwrap();
    assert_eq!(stock.decide(hold(1, 3), at(2)), Ok(Vec::new()));
    assert_eq!(stock.decide(hold(1, 4), at(2)), Err(StockRejection::HoldConflict));
    tell(&mut stock, allocate(1), at(3)).unwrap();
    assert_eq!(stock.decide(hold(1, 3), at(200)), Ok(Vec::new()));
}

#[test]
fn a_released_hold_returns_its_units_once() {
    let mut stock = stock_with(10);
    tell(&mut stock, hold(1, 3), at(1)).unwrap();
    assert_eq!(tell(&mut stock, release(1), at(2)).unwrap(), [StockEvent::Released { hold: hold_of(1) }]);
    assert_eq!(stock.available(), 10);
    assert_eq!(stock.decide(release(1), at(3)), Ok(Vec::new()));
    assert_eq!(stock.next_deadline(), None);
}

#[test]
fn a_lapsed_hold_returns_its_units() {
    let mut stock = stock_with(10);
    tell(&mut stock, hold(1, 3), at(1)).unwrap();
    assert_eq!(tell(&mut stock, StockCommand::Lapse, at(99)).unwrap(), []);
    assert_eq!(tell(&mut stock, StockCommand::Lapse, at(100)).unwrap(), [StockEvent::Lapsed { hold: hold_of(1) }]);
    assert_eq!((stock.available(), stock.hold_count()), (10, 0));
}

#[test]
fn many_holds_lapse_in_bounded_turns_and_the_rest_is_due_at_once() {
    let outstanding = StockItem::MAX_LAPSES_AT_ONCE as u128 + 5;
    let mut stock = stock_with(100_000);
    for order in 0..outstanding {
        tell(&mut stock, hold(order, 1), at(1)).unwrap();
    }
    let first = tell(&mut stock, StockCommand::Lapse, at(500)).unwrap();
    assert_eq!(first.len(), StockItem::MAX_LAPSES_AT_ONCE);
    assert_eq!(stock.next_deadline(), Some(at(100)));
    assert_eq!(tell(&mut stock, StockCommand::Lapse, at(500)).unwrap().len(), 5);
    assert_eq!((stock.next_deadline(), stock.available()), (None, 100_000));
}

#[test]
fn an_allocation_does_not_lapse() {
    let mut stock = stock_with(10);
    tell(&mut stock, hold(1, 3), at(1)).unwrap();
    tell(&mut stock, allocate(1), at(99)).unwrap();
    assert_eq!(tell(&mut stock, StockCommand::Lapse, at(10_000)).unwrap(), []);
    assert!(stock.is_allocated(&hold_of(1)));
    assert_eq!(stock.level(), StockLevel { on_hand: 10, held: 0, allocated: 3, fulfilled: 0 });
    assert_eq!(stock.decide(allocate(1), at(10_000)), Ok(Vec::new()));
}

#[test]
fn a_hold_past_its_time_cannot_be_allocated_even_before_its_lapse_is_recorded() {
    let mut stock = stock_with(10);
    tell(&mut stock, hold(1, 3), at(1)).unwrap();
    assert_eq!(stock.decide(allocate(1), at(100)), Err(StockRejection::HoldGone));
    assert_eq!(stock.decide(allocate(2), at(1)), Err(StockRejection::HoldGone));
}

#[test]
fn a_hold_past_its_time_is_renewed_not_taken_for_done() {
    let mut stock = stock_with(3);
    tell(&mut stock, hold(1, 3), at(1)).unwrap();
    let again = StockCommand::Hold { hold: hold_of(1), quantity: units(2), expires_at: at(300), customer: None };
    let facts = tell(&mut stock, again, at(150)).unwrap();
    assert!(matches!(facts[..], [StockEvent::Lapsed { .. }, StockEvent::Held { .. }]), "{facts:?}");
    assert_eq!((stock.available(), stock.next_deadline()), (1, Some(at(300))));
}

#[test]
fn a_hold_wanted_until_another_time_is_renewed_at_once() {
    let mut stock = stock_with(3);
    tell(&mut stock, hold(1, 3), at(1)).unwrap();
    let until =
        |millis| StockCommand::Hold { hold: hold_of(1), quantity: units(3), expires_at: at(millis), customer: None };
    let facts = tell(&mut stock, until(300), at(50)).unwrap();
    assert!(matches!(facts[..], [StockEvent::Released { .. }, StockEvent::Held { .. }]), "{facts:?}");
    assert_eq!((stock.available(), stock.hold_count(), stock.next_deadline()), (0, 1, Some(at(300))));
    assert_eq!(stock.decide(hold(1, 2), at(51)), Err(StockRejection::HoldConflict));
    tell(&mut stock, allocate(1), at(60)).unwrap();
    assert_eq!(stock.decide(until(400), at(61)), Ok(Vec::new()), "an allocation has no time to renew");
}

#[test]
fn a_renewal_that_is_refused_leaves_the_hold_as_it_was() {
    let mut stock = stock_with(3);
    tell(&mut stock, hold(1, 3), at(1)).unwrap();
    let closed = SalePolicy { closes_at: Some(at(40)), ..SalePolicy::default() };
    tell(&mut stock, StockCommand::SetPolicy(closed), at(2)).unwrap();
    let renewal = StockCommand::Hold { hold: hold_of(1), quantity: units(3), expires_at: at(300), customer: None };
    assert!(stock.decide(renewal, at(50)).is_err());
    assert_eq!(stock.hold(&hold_of(1)).unwrap().expires_at, at(100));
}

#[test]
fn a_canceled_orders_allocation_returns_its_units() {
    let mut stock = stock_with(10);
    tell(&mut stock, hold(1, 3), at(1)).unwrap();
    tell(&mut stock, allocate(1), at(2)).unwrap();
    assert_eq!(tell(&mut stock, release(1), at(3)).unwrap(), [StockEvent::Deallocated { hold: hold_of(1) }]);
    assert_eq!(stock.available(), 10);
}

#[test]
fn fulfilled_units_leave_the_house_once() {
    let mut stock = stock_with(10);
    tell(&mut stock, hold(1, 3), at(1)).unwrap();
    assert_eq!(stock.decide(fulfill(1), at(1)), Err(StockRejection::HoldGone), "units only held are not paid for");
    tell(&mut stock, allocate(1), at(2)).unwrap();
    tell(&mut stock, fulfill(1), at(3)).unwrap();
    assert_eq!(stock.level(), StockLevel { on_hand: 7, held: 0, allocated: 0, fulfilled: 3 });
    assert_eq!(stock.decide(fulfill(1), at(4)), Ok(Vec::new()));
    assert_eq!(stock.decide(release(1), at(4)), Ok(Vec::new()));
}

#[test]
fn a_count_is_never_corrected_below_what_is_promised() {
    let mut stock = stock_with(10);
    tell(&mut stock, hold(1, 4), at(1)).unwrap();
    let refusal = StockRejection::BelowCommitted { delta: -7, available: 6 };
    assert_eq!(stock.decide(adjust(-7), at(2)), Err(refusal));
    assert!(stock.decide(adjust(i64::MIN), at(2)).is_err());
    tell(&mut stock, adjust(-6), at(2)).unwrap();
    assert_eq!(stock.available(), 0);
    assert_eq!(stock.decide(adjust(0), at(3)), Ok(Vec::new()));
}

#[test]
fn more_units_than_can_be_counted_are_refused() {
    let mut stock = stock_with(1);
    tell(&mut stock, adjust(i64::MAX), at(1)).unwrap();
    tell(&mut stock, adjust(i64::MAX - 1), at(1)).unwrap();
    assert_eq!(stock.decide(adjust(2), at(1)), Err(StockRejection::Overflow));
    let receive = StockCommand::Receive { quantity: units(2), expected_version: None };
    assert_eq!(stock.decide(receive, at(1)), Err(StockRejection::Overflow));
}

#[test]
fn a_count_of_what_somebody_else_changed_is_refused() {
    let stock = stock_with(1);
    let stale = Err(StockRejection::StaleVersion { expected: 0, actual: 1 });
    let receive = StockCommand::Receive { quantity: units(1), expected_version: Some(0) };
    assert_eq!(stock.decide(receive, at(1)), stale);
    let adjust = StockCommand::Adjust { delta: 1, reason: String::new(), expected_version: Some(0) };
    assert_eq!(stock.decide(adjust, at(1)), stale);
    let seen = StockCommand::Adjust { delta: 1, reason: String::new(), expected_version: Some(1) };
    assert!(stock.decide(seen, at(1)).is_ok(), "nobody changed it");
}

#[test]
fn lines_of_one_order_hold_on_their_own() {
    let mut stock = stock_with(10);
    let second = HoldId { order: order_id(1), line: 1 };
    tell(&mut stock, hold(1, 3), at(1)).unwrap();
    let more = StockCommand::Hold { hold: second, quantity: units(2), expires_at: at(100), customer: None };
    tell(&mut stock, more, at(1)).unwrap();
    tell(&mut stock, release(1), at(2)).unwrap();
    assert_eq!(stock.level().held, 2);
    assert!(stock.hold(&second).is_some());
}
