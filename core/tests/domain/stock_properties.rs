//! Whatever is asked of stock in whatever order: it balances, a replay gives the same state, no limit is passed.

use std::collections::BTreeMap;

use holdfast_core::{
    Entity, HoldId, Timestamp,
    stock::{SalePolicy, StockCommand, StockEvent, StockItem},
};
use proptest::prelude::*;

use crate::given::{apply_all, at, customer, hold_of, sku, units};

const LIMIT: i64 = 6;

fn any_hold() -> impl Strategy<Value = HoldId> {
    (0_u128..12).prop_map(hold_of)
}

fn any_command() -> impl Strategy<Value = StockCommand> {
    let name = prop::option::of("[a-c]");
    prop_oneof![
        1 => (1_i64..20).prop_map(|count| StockCommand::Receive { quantity: units(count), expected_version: None }),
        1 => (-30_i64..30)
            .prop_map(|delta| StockCommand::Adjust { delta, reason: "count".into(), expected_version: None }),
        1 => any::<bool>().prop_map(|limited| StockCommand::SetPolicy(SalePolicy {
            per_customer_limit: limited.then(|| units(LIMIT)),
            ..SalePolicy::default()
        })),
        6 => (any_hold(), 1_i64..5, 0_i64..400, name).prop_map(|(hold, count, expires_at, name)| StockCommand::Hold {
            hold,
            quantity: units(count),
            expires_at: at(expires_at),
            customer: name.map(|name| customer(&name)),
        }),
        2 => any_hold().prop_map(|hold| StockCommand::Release { hold }),
        4 => any_hold().prop_map(|hold| StockCommand::Allocate { hold }),
        2 => any_hold().prop_map(|hold| StockCommand::Fulfill { hold }),
        2 => Just(StockCommand::Lapse),
    ]
}

/// Commands, and how much time passes before each.
fn any_history() -> impl Strategy<Value = Vec<(StockCommand, i64)>> {
    prop::collection::vec((any_command(), 0_i64..10), 1..120)
}

fn run(stock: &mut StockItem, history: Vec<(StockCommand, i64)>, mut check: impl FnMut(&StockItem, Timestamp)) {
    let mut now = 0;
    for (command, pause) in history {
        now += pause;
        let before = stock.clone();
        match stock.decide(command, at(now)) {
            Ok(events) => apply_all(stock, &events),
            Err(_) => assert_eq!(*stock, before, "a refusal changes nothing"),
        }
        check(stock, at(now));
    }
}

/// How many units the facts say there are of each kind: (on hand, held, allocated, fulfilled).
fn tally(events: &[StockEvent]) -> (i64, i64, i64, i64) {
    let mut sizes: BTreeMap<HoldId, i64> = BTreeMap::new();
    let mut level = (0, 0, 0, 0);
    for event in events {
        match event {
            StockEvent::Received { quantity } => level.0 += i64::from(quantity.get()),
            StockEvent::Adjusted { delta, .. } => level.0 += delta,
            StockEvent::PolicySet(_) => {}
            StockEvent::Held { hold, quantity, .. } => {
                level.1 += i64::from(quantity.get());
                sizes.insert(*hold, i64::from(quantity.get()));
            }
            StockEvent::Released { hold } | StockEvent::Lapsed { hold } => level.1 -= sizes[hold],
            StockEvent::Allocated { hold } => {
                level.1 -= sizes[hold];
                level.2 += sizes[hold];
            }
            StockEvent::Deallocated { hold } => level.2 -= sizes[hold],
            StockEvent::Fulfilled { hold } => {
                level.0 -= sizes[hold];
                level.2 -= sizes[hold];
                level.3 += sizes[hold];
            }
        }
    }
    level
}

proptest! {
    #[test]
    fn stock_always_balances(history in any_history()) {
        let mut stock = StockItem::new(sku("LAMP"));
        run(&mut stock, history, |stock, _| {
            let level = stock.level();
            assert_eq!(level.on_hand, level.available() + level.held + level.allocated);
        });
    }

    #[test]
    fn a_replay_gives_the_same_stock_and_the_facts_add_up(history in any_history()) {
        let mut stock = StockItem::new(sku("LAMP"));
        let mut events = Vec::new();
        let mut now = 0;
        for (command, pause) in history {
            now += pause;
            let facts = stock.decide(command, at(now)).unwrap_or_default();
            apply_all(&mut stock, &facts);
            events.extend(facts);
        }
        let mut replayed = StockItem::new(sku("LAMP"));
        apply_all(&mut replayed, &events);
        prop_assert_eq!(&replayed, &stock);
        prop_assert_eq!(stock.version(), events.len() as u64);
        let (on_hand, held, allocated, fulfilled) = tally(&events);
        let level = stock.level();
        prop_assert_eq!(i64::try_from(level.on_hand).unwrap(), on_hand);
        prop_assert_eq!(i64::try_from(level.held).unwrap(), held);
        prop_assert_eq!(i64::try_from(level.allocated).unwrap(), allocated);
        prop_assert_eq!(i64::try_from(level.fulfilled).unwrap(), fulfilled);
    }

    #[test]
    fn no_customer_passes_the_limit(history in any_history()) {
        let mut stock = StockItem::new(sku("LAMP"));
        let policy = SalePolicy { per_customer_limit: Some(units(LIMIT)), ..SalePolicy::default() };
        stock.apply(&StockEvent::PolicySet(policy));
        let kept = history.into_iter().filter(|(command, _)| !matches!(command, StockCommand::SetPolicy(_))).collect();
        run(&mut stock, kept, |stock, _| {
            for name in ["a", "b", "c"] {
                assert!(stock.taken_by(&customer(name)) <= LIMIT.unsigned_abs());
            }
        });
    }

    #[test]
    fn after_a_lapse_no_hold_is_past_its_time(history in any_history()) {
        let mut stock = StockItem::new(sku("LAMP"));
        stock.apply(&StockEvent::Received { quantity: units(1) });
        run(&mut stock, history, |stock, now| {
            let mut lapsed = stock.clone();
            for event in stock.decide(StockCommand::Lapse, now).unwrap() {
                lapsed.apply(&event);
            }
            assert!(lapsed.next_deadline().is_none_or(|deadline| deadline > now));
            assert!(lapsed.available() >= stock.available());
        });
    }
}
