//! Whatever is asked of a cart in whatever order: it becomes at most one order, and a replay gives the same cart.

use std::collections::BTreeSet;

use holdfast_core::{
    Currency, Entity, OrderId,
    cart::{Cart, CartCommand, CartEvent, CartLine, CartState},
};
use proptest::prelude::*;

use crate::given::{apply_all, at, cart_id, order_id, sku, units};

fn any_version() -> impl Strategy<Value = Option<u64>> {
    prop::option::weighted(0.1, 0_u64..30)
}

fn any_command() -> impl Strategy<Value = CartCommand> {
    let expiry = (100_i64..2_000).prop_map(at);
    let edit = (0_u32..6, 1_i64..9, expiry, any_version());
    prop_oneof![
        1 => Just(CartCommand::Create { currency: Currency::EUR, expires_at: at(1_000) }),
        5 => ("[A-D]", 1_i64..9, any_version()).prop_map(|(text, count, expected_version)| CartCommand::AddItem {
            sku: sku(&text), quantity: units(count), expires_at: at(1_000), expected_version,
        }),
        2 => edit.prop_map(|(item, count, expires_at, expected_version)| CartCommand::ChangeQuantity {
            item, quantity: units(count), expires_at, expected_version,
        }),
        2 => (0_u32..6, any_version()).prop_map(|(item, expected_version)| CartCommand::RemoveItem {
            item, expires_at: at(1_000), expected_version,
        }),
        1 => (1_u128..5, "[A-D]{1,3}").prop_map(|(from, skus)| CartCommand::TakeIn {
            from: cart_id(from),
            lines: skus
                .chars()
                .map(|name| CartLine { item: 0, sku: sku(&name.to_string()), quantity: units(1) })
                .collect(),
            expires_at: at(1_000),
        }),
        1 => (1_u128..3).prop_map(|into| CartCommand::MergeInto { into: cart_id(into) }),
        2 => (1_u128..4, any_version()).prop_map(|(order, expected_version)| CartCommand::BeginCheckout {
            order: order_id(order), deadline: at(500), expected_version,
        }),
        1 => (1_u128..4).prop_map(|order| CartCommand::CompleteCheckout { order: order_id(order) }),
        2 => (1_u128..4).prop_map(|order| CartCommand::AbandonCheckout { order: order_id(order) }),
        1 => Just(CartCommand::Expire),
    ]
}

fn run(history: Vec<(CartCommand, i64)>, mut check: impl FnMut(&Cart)) -> (Cart, Vec<CartEvent>) {
    let mut cart = Cart::new(cart_id(1));
    let mut facts = Vec::new();
    let mut now = 0;
    for (command, pause) in history {
        now += pause;
        let events = cart.decide(command, at(now)).unwrap_or_default();
        apply_all(&mut cart, &events);
        facts.extend(events);
        check(&cart);
    }
    (cart, facts)
}

fn any_history() -> impl Strategy<Value = Vec<(CartCommand, i64)>> {
    let first = CartCommand::Create { currency: Currency::EUR, expires_at: at(1_000) };
    prop::collection::vec((any_command(), 0_i64..40), 0..60).prop_map(move |mut history| {
        history.insert(0, (first.clone(), 0));
        history
    })
}

proptest! {
    #[test]
    fn a_cart_becomes_at_most_one_order(history in any_history()) {
        let (cart, facts) = run(history, |_| {});
        let became: Vec<OrderId> = facts
            .iter()
            .filter_map(|fact| match fact {
                CartEvent::CheckoutCompleted { order } => Some(*order),
                _ => None,
            })
            .collect();
        prop_assert!(became.len() <= 1);
        if let [order] = became[..] {
            prop_assert_eq!(cart.state(), CartState::Converted { order });
        }
    }

    #[test]
    fn a_replay_gives_the_same_cart(history in any_history()) {
        let (cart, facts) = run(history, |_| {});
        let mut replayed = Cart::new(cart_id(1));
        apply_all(&mut replayed, &facts);
        prop_assert_eq!(replayed, cart);
    }

    #[test]
    fn a_cart_has_one_line_per_sku_and_one_number_per_line(history in any_history()) {
        let mut numbers: BTreeSet<(u32, String)> = BTreeSet::new();
        run(history, |cart| {
            let skus: BTreeSet<_> = cart.lines().iter().map(|line| &line.sku).collect();
            assert_eq!(skus.len(), cart.lines().len());
            numbers.extend(cart.lines().iter().map(|line| (line.item, line.sku.to_string())));
        });
        let distinct: BTreeSet<u32> = numbers.iter().map(|(item, _)| *item).collect();
        prop_assert_eq!(distinct.len(), numbers.len(), "a number named two SKUs: {:?}", numbers);
    }
}
