//! Histories made by hand: the checker accepts what some order explains, and refuses each wrong answer on its own.

use holdfast_tests::linearizability::{
    Check, History, Record,
    checker::Timed,
    model::{AdjustAnswer, CancelAnswer, CheckoutAnswer, Level, Operation, Seen},
};

/// Enough for any history here.
const LIMIT: usize = 100_000;

fn history(units: u64, orders: usize, records: Vec<Record>) -> History {
    History { units, orders, declined: Vec::new(), hold_ttl_ns: None, records }
}

/// An operation from `from` to `to`.
fn at(from: u64, to: u64, operation: Operation) -> Record {
    Record { timed: Timed { invoked: from, returned: Some(to), operation }, is_listed: false }
}

/// An operation that was sent and never answered.
fn lost(from: u64, operation: Operation) -> Record {
    Record { timed: Timed { invoked: from, returned: None, operation }, is_listed: false }
}

fn listed(from: u64, to: u64, order: usize, seen: Seen) -> Record {
    Record { is_listed: true, ..at(from, to, Operation::ReadOrder { order, seen }) }
}

const fn buy(order: usize, units: u64, answer: CheckoutAnswer) -> Operation {
    Operation::Checkout { order, units, answer: Some(answer) }
}

const fn placed(order: usize, units: u64) -> Operation {
    buy(order, units, CheckoutAnswer::Placed)
}

const fn sold_out(order: usize, units: u64, available: u64) -> Operation {
    buy(order, units, CheckoutAnswer::Insufficient { available })
}

const fn level(on_hand: u64, available: u64) -> Operation {
    Operation::ReadLevel(Level { on_hand, available })
}

const fn canceled(order: usize) -> Operation {
    Operation::Cancel { order, answer: Some(CancelAnswer::Canceled) }
}

const fn adjusted(delta: i64, on_hand: u64, available: u64) -> Operation {
    Operation::Adjust { delta, answer: Some(AdjustAnswer::Done(Level { on_hand, available })) }
}

const fn read(order: usize, seen: Seen) -> Operation {
    Operation::ReadOrder { order, seen }
}

#[track_caller]
fn assert_accepted(history: &History) {
    assert_eq!(history.check(LIMIT), Check::Linearizable);
}

#[track_caller]
fn assert_refused(history: &History) {
    let found = history.check(LIMIT);
    assert!(matches!(found, Check::Violation { .. }), "{found:?}");
}

#[test]
fn overlapping_operations_may_have_happened_in_either_order() {
    assert_accepted(&history(1, 2, vec![at(0, 9, placed(0, 1)), at(1, 8, sold_out(1, 1, 0)), at(2, 3, level(1, 1))]));
    assert_accepted(&history(1, 2, vec![at(0, 9, sold_out(0, 1, 0)), at(1, 8, placed(1, 1)), at(2, 3, level(1, 0))]));
}

#[test]
fn two_orders_for_the_last_unit_are_refused() {
    assert_refused(&history(1, 2, vec![at(0, 9, placed(0, 1)), at(0, 9, placed(1, 1))]));
}

#[test]
fn a_read_that_misses_an_earlier_answer_is_refused() {
    assert_refused(&history(2, 1, vec![at(0, 1, placed(0, 1)), at(2, 3, level(2, 2))]));
    assert_accepted(&history(2, 1, vec![at(0, 3, placed(0, 1)), at(2, 3, level(2, 2))]));
}

#[test]
fn two_reads_that_go_backwards_are_refused_even_while_the_write_is_under_way() {
    let write = at(0, 9, placed(0, 1));
    assert_accepted(&history(2, 1, vec![write.clone(), at(1, 2, level(2, 2)), at(3, 4, level(2, 1))]));
    assert_refused(&history(2, 1, vec![write, at(1, 2, level(2, 1)), at(3, 4, level(2, 2))]));
}

#[test]
fn sold_out_while_units_were_there_all_the_time_is_refused() {
    assert_refused(&history(2, 2, vec![at(0, 1, placed(0, 1)), at(2, 3, sold_out(1, 1, 0))]));
    assert_refused(&history(2, 1, vec![at(0, 1, sold_out(0, 3, 1))]));
}

#[test]
fn a_key_that_makes_two_orders_is_refused_and_so_is_a_replay_of_nothing() {
    assert_refused(&history(5, 1, vec![at(0, 1, placed(0, 1)), at(2, 3, placed(0, 1))]));
    assert_refused(&history(5, 1, vec![at(0, 1, buy(0, 1, CheckoutAnswer::Replayed))]));
    assert_refused(&history(5, 1, vec![at(0, 1, placed(0, 1)), at(2, 3, buy(0, 2, CheckoutAnswer::Replayed))]));
    assert_refused(&history(5, 1, vec![at(0, 1, placed(0, 1)), at(2, 3, buy(0, 1, CheckoutAnswer::Reused))]));
    assert_accepted(&history(5, 1, vec![at(0, 1, placed(0, 1)), at(2, 3, buy(0, 2, CheckoutAnswer::Reused))]));
}

#[test]
fn units_that_come_back_twice_or_never_are_refused() {
    let sold_and_canceled = vec![at(0, 1, placed(0, 2)), at(2, 3, canceled(0)), at(4, 5, canceled(0))];
    let then = |read| history(2, 1, [sold_and_canceled.clone(), vec![at(6, 7, read)]].concat());
    assert_accepted(&then(level(2, 2)));
    assert_refused(&then(level(2, 4)));
    assert_refused(&then(level(2, 0)));
}

#[test]
fn a_lost_request_may_have_happened_at_any_time_after_it_was_sent_or_never() {
    let lost_order = lost(2, Operation::Checkout { order: 0, units: 1, answer: None });
    for available in [0, 1] {
        assert_accepted(&history(1, 1, vec![lost_order.clone(), at(5, 6, level(1, available))]));
    }
    assert_accepted(&history(1, 1, vec![lost_order.clone(), at(5, 6, buy(0, 1, CheckoutAnswer::Replayed))]));
    assert_refused(&history(1, 1, vec![lost_order.clone(), at(0, 1, level(1, 0))]));
    assert_refused(&history(1, 1, vec![lost_order, at(5, 6, level(1, 0)), at(7, 8, level(1, 1))]));
}

#[test]
fn an_acknowledged_order_that_is_lost_is_refused() {
    let bought = at(0, 1, placed(0, 1));
    assert_refused(&history(1, 1, vec![bought.clone(), at(5, 6, read(0, Seen::Absent))]));
    assert_refused(&history(1, 1, vec![bought.clone(), at(5, 6, level(1, 1))]));
    assert_refused(&history(1, 1, vec![bought, at(5, 6, placed(0, 1))]));
}

#[test]
fn a_listing_is_held_to_its_orders_but_not_to_the_moment_of_the_stock() {
    let bought = at(0, 4, placed(0, 1));
    let behind = vec![bought.clone(), at(1, 2, level(1, 0)), listed(3, 4, 0, Seen::Absent)];
    assert_accepted(&history(1, 1, behind));
    assert_refused(&history(1, 1, vec![bought.clone(), listed(5, 6, 0, Seen::Absent)]));
    assert_refused(&history(1, 1, vec![bought, at(5, 6, canceled(0)), listed(7, 8, 0, Seen::Live)]));
}

#[test]
fn an_order_that_ends_by_itself_needs_a_reason() {
    let ended = vec![at(0, 1, placed(0, 1)), at(50, 51, read(0, Seen::Ended)), at(52, 53, level(1, 1))];
    let plain = history(1, 1, ended);
    assert_refused(&plain);
    assert_accepted(&History { declined: vec![0], ..plain.clone() });
    let lapsing = |ttl_ms: u64| History { hold_ttl_ns: Some(ttl_ms * 1_000_000), ..plain.clone() };
    assert_refused(&lapsing(1_000));
    assert_accepted(&lapsing(0));
}

#[test]
fn an_adjustment_counts_once_and_takes_nothing_that_is_held() {
    assert_accepted(&history(1, 1, vec![at(0, 1, adjusted(2, 3, 3)), at(2, 3, placed(0, 3))]));
    assert_refused(&history(1, 1, vec![at(0, 1, adjusted(2, 5, 5))]));
    let taken = at(0, 1, placed(0, 1));
    assert_refused(&history(1, 1, vec![taken.clone(), at(2, 3, adjusted(-1, 0, 0))]));
    let below = Operation::Adjust { delta: -1, answer: Some(AdjustAnswer::Below { available: 0 }) };
    assert_accepted(&history(1, 1, vec![taken, at(2, 3, below)]));
    assert_refused(&history(1, 1, vec![at(2, 3, below)]));
}

#[test]
fn a_search_that_is_too_long_is_undecided_and_never_accepted() {
    let lost_orders = (0..20).map(|order| lost(0, Operation::Checkout { order, units: 1, answer: None }));
    let impossible = lost_orders.chain([at(5, 6, level(100, 1))]).collect();
    assert!(matches!(history(100, 20, impossible).check(1_000), Check::Undecided { .. }));
    let many = (0..200).map(|number| at(number, number, level(1, 1))).collect();
    assert!(matches!(history(1, 0, many).check(LIMIT), Check::Undecided { .. }));
}
