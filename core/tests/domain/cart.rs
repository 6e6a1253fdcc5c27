//! Carts: lines, versions, merging, and the one order a cart may become.

use holdfast_core::{
    Currency, Entity, Quantity,
    cart::{Cart, CartCommand, CartEvent, CartLine, CartRejection, CartState},
};

use crate::given::{at, cart_id, order_id, sku, tell, units};

fn add(text: &str, count: i64) -> CartCommand {
    CartCommand::AddItem { sku: sku(text), quantity: units(count), expires_at: at(1_000), expected_version: None }
}

fn change(item: u32, count: i64, expected_version: Option<u64>) -> CartCommand {
    CartCommand::ChangeQuantity { item, quantity: units(count), expires_at: at(1_000), expected_version }
}

const fn remove(item: u32) -> CartCommand {
    CartCommand::RemoveItem { item, expires_at: at(1_000), expected_version: None }
}

const fn begin(order: u128) -> CartCommand {
    CartCommand::BeginCheckout { order: order_id(order), deadline: at(50), expected_version: None }
}

const fn complete(order: u128) -> CartCommand {
    CartCommand::CompleteCheckout { order: order_id(order) }
}

const fn abandon(order: u128) -> CartCommand {
    CartCommand::AbandonCheckout { order: order_id(order) }
}

fn take_in(from: u128, lines: &[CartLine]) -> CartCommand {
    CartCommand::TakeIn { from: cart_id(from), lines: lines.to_vec(), expires_at: at(2_000) }
}

/// A cart to which all of this has happened.
fn cart_after(commands: impl IntoIterator<Item = CartCommand>) -> Cart {
    let mut cart = Cart::new(cart_id(1));
    tell(&mut cart, CartCommand::Create { currency: Currency::USD, expires_at: at(500) }, at(0)).unwrap();
    for command in commands {
        tell(&mut cart, command, at(1)).unwrap();
    }
    cart
}

fn contents(cart: &Cart) -> Vec<(u32, &str, u32)> {
    cart.lines().iter().map(|line| (line.item, line.sku.as_str(), line.quantity.get())).collect()
}

#[test]
fn a_cart_that_does_not_exist_refuses_all_but_its_creation() {
    let cart = Cart::new(cart_id(1));
    for command in
        [add("LAMP", 1), change(0, 1, None), remove(0), begin(1), complete(1), abandon(1), CartCommand::Expire]
    {
        assert_eq!(cart.decide(command, at(0)), Err(CartRejection::NotFound));
    }
    assert_eq!(cart.next_deadline(), None);
}

#[test]
fn a_cart_begins_empty_and_once() {
    let cart = cart_after([]);
    assert_eq!((cart.currency(), cart.expires_at(), cart.lines()), (Currency::USD, at(500), &[][..]));
    let again = CartCommand::Create { currency: Currency::EUR, expires_at: at(500) };
    assert_eq!(cart.decide(again, at(1)), Err(CartRejection::AlreadyExists));
}

#[test]
fn two_additions_of_one_sku_are_one_line() {
    let cart = cart_after([add("LAMP", 2), add("BULB", 1), add("LAMP", 3)]);
    assert_eq!(contents(&cart), [(0, "LAMP", 5), (1, "BULB", 1)]);
    assert_eq!((cart.version(), cart.expires_at()), (4, at(1_000)));
}

#[test]
fn a_line_never_passes_the_largest_quantity() {
    let cart = cart_after([add("LAMP", i64::from(Quantity::MAX.get()))]);
    assert_eq!(cart.decide(add("LAMP", 1), at(1)), Err(CartRejection::QuantityTooLarge));
}

#[test]
fn a_removed_lines_number_is_not_used_again() {
    let cart = cart_after([add("LAMP", 2), add("BULB", 1), remove(1), add("CORD", 1), remove(0), add("LAMP", 1)]);
    assert_eq!(contents(&cart), [(2, "CORD", 1), (3, "LAMP", 1)]);
    assert_eq!(cart.decide(remove(0), at(1)), Err(CartRejection::ItemNotFound { item: 0 }));
}

#[test]
fn a_change_of_what_somebody_else_changed_is_refused() {
    let mut cart = cart_after([add("LAMP", 2)]);
    let stale = CartRejection::StaleVersion { expected: 1, actual: 2 };
    assert_eq!(cart.decide(change(0, 5, Some(1)), at(1)), Err(stale));
    tell(&mut cart, change(0, 5, Some(2)), at(1)).unwrap();
    assert_eq!(contents(&cart), [(0, "LAMP", 5)]);
    assert_eq!(cart.decide(change(0, 5, None), at(1)), Ok(Vec::new()));
}

#[test]
fn a_cart_has_room_for_so_many_lines_and_no_more() {
    let cart = cart_after((0..Cart::MAX_LINES).map(|line| add(&format!("SKU-{line}"), 1)));
    assert_eq!(cart.decide(add("ONE-MORE", 1), at(1)), Err(CartRejection::TooManyLines));
    assert!(cart.decide(add("SKU-0", 1), at(1)).is_ok());
    let line = CartLine { item: 0, sku: sku("ONE-MORE"), quantity: units(1) };
    assert_eq!(cart.decide(take_in(2, &[line]), at(1)), Err(CartRejection::TooManyLines));
}

#[test]
fn a_merge_adds_up_per_sku_and_only_once() {
    let theirs = cart_after([add("BULB", 4), add("LAMP", 1)]);
    let mut cart = cart_after([add("LAMP", 2)]);
    tell(&mut cart, take_in(2, theirs.lines()), at(1)).unwrap();
    assert_eq!(contents(&cart), [(0, "LAMP", 3), (1, "BULB", 4)]);
    assert!(cart.has_taken_in(cart_id(2)));
    assert_eq!(cart.decide(take_in(2, theirs.lines()), at(2)), Ok(Vec::new()));
    tell(&mut cart, add("CORD", 1), at(2)).unwrap();
    assert_eq!(cart.lines().last().map(|line| line.item), Some(2));
}

#[test]
fn a_merge_is_remembered_over_many_others() {
    let mut cart = cart_after([]);
    let newest = Cart::MAX_MERGES_REMEMBERED as u128 + 10;
    for from in 2..=newest {
        tell(&mut cart, take_in(from, &[]), at(1)).unwrap();
    }
    assert!(cart.has_taken_in(cart_id(newest)));
    assert!(cart.has_taken_in(cart_id(newest + 1 - Cart::MAX_MERGES_REMEMBERED as u128)));
    assert!(!cart.has_taken_in(cart_id(2)));
}

#[test]
fn a_cart_whose_lines_went_elsewhere_is_over_and_still_readable() {
    let mut cart = cart_after([add("LAMP", 2)]);
    let merge = CartCommand::MergeInto { into: cart_id(9) };
    tell(&mut cart, merge.clone(), at(1)).unwrap();
    assert_eq!(cart.state(), CartState::Merged { into: cart_id(9) });
    assert!(cart.is_over());
    assert_eq!(contents(&cart), [(0, "LAMP", 2)]);
    assert_eq!(cart.decide(merge, at(2)), Ok(Vec::new()));
    assert_eq!(cart.decide(CartCommand::MergeInto { into: cart_id(8) }, at(2)), Err(CartRejection::NotFound));
    assert_eq!(cart.decide(add("LAMP", 1), at(2)), Err(CartRejection::NotFound));
}

#[test]
fn a_cart_is_not_merged_with_itself() {
    let cart = cart_after([add("LAMP", 2)]);
    assert_eq!(cart.decide(take_in(1, cart.lines()), at(1)), Err(CartRejection::SameCart));
    assert_eq!(cart.decide(CartCommand::MergeInto { into: cart_id(1) }, at(1)), Err(CartRejection::SameCart));
}

#[test]
fn a_cart_in_checkout_is_locked_for_its_order() {
    let cart = cart_after([add("LAMP", 2), begin(7)]);
    let locked = Err(CartRejection::CheckingOut { order: order_id(7) });
    let merge = CartCommand::MergeInto { into: cart_id(9) };
    for command in [add("LAMP", 1), remove(0), begin(8), complete(8), abandon(8), merge, take_in(2, &[])] {
        assert_eq!(cart.decide(command, at(2)), locked);
    }
    assert_eq!(cart.decide(begin(7), at(2)), Ok(Vec::new()));
    assert!(!cart.is_over());
}

#[test]
fn a_retried_checkout_is_not_stale() {
    let cart = cart_after([add("LAMP", 2), begin(7)]);
    let retry = CartCommand::BeginCheckout { order: order_id(7), deadline: at(90), expected_version: Some(2) };
    assert_eq!(cart.decide(retry, at(2)), Ok(Vec::new()));
    let stale = CartCommand::BeginCheckout { order: order_id(7), deadline: at(90), expected_version: Some(9) };
    let open = cart_after([add("LAMP", 2)]);
    assert_eq!(open.decide(stale, at(2)), Err(CartRejection::StaleVersion { expected: 9, actual: 2 }));
}

#[test]
fn a_cart_becomes_one_order_once() {
    let mut cart = cart_after([add("LAMP", 2), begin(7)]);
    assert_eq!(tell(&mut cart, complete(7), at(3)).unwrap(), [CartEvent::CheckoutCompleted { order: order_id(7) }]);
    assert_eq!(cart.decide(complete(7), at(4)), Ok(Vec::new()));
    assert_eq!(cart.decide(begin(7), at(4)), Ok(Vec::new()));
    let converted = Err(CartRejection::Converted { order: order_id(7) });
    for command in [begin(8), complete(8), abandon(7), add("LAMP", 1)] {
        assert_eq!(cart.decide(command, at(4)), converted);
    }
    assert_eq!((cart.is_over(), cart.next_deadline()), (true, None));
}

#[test]
fn an_order_that_did_not_come_to_be_opens_its_cart_again() {
    let mut cart = cart_after([add("LAMP", 2), begin(7), abandon(7)]);
    assert_eq!(cart.state(), CartState::Open);
    assert_eq!(cart.decide(abandon(7), at(2)), Ok(Vec::new()));
    assert_eq!(cart.decide(complete(7), at(2)), Err(CartRejection::NotCheckingOut));
    assert!(tell(&mut cart, begin(8), at(3)).is_ok());
}

#[test]
fn a_checkout_out_of_time_stays_locked_until_somebody_knows() {
    let mut cart = cart_after([add("LAMP", 2), begin(7)]);
    assert_eq!(cart.next_deadline(), Some(at(50)));
    assert_eq!(tell(&mut cart, CartCommand::Expire, at(5_000)).unwrap(), []);
    assert_eq!(cart.decide(begin(8), at(5_000)), Err(CartRejection::CheckingOut { order: order_id(7) }));
    assert!(cart.decide(complete(7), at(5_000)).is_ok());
}

#[test]
fn an_empty_cart_is_not_checked_out() {
    assert_eq!(cart_after([]).decide(begin(7), at(1)), Err(CartRejection::Empty));
}

#[test]
fn a_cart_nobody_touches_expires_at_its_time() {
    let mut cart = cart_after([add("LAMP", 2)]);
    assert_eq!(cart.next_deadline(), Some(at(1_000)));
    assert_eq!(tell(&mut cart, CartCommand::Expire, at(999)).unwrap(), []);
    assert_eq!(tell(&mut cart, CartCommand::Expire, at(1_000)).unwrap(), [CartEvent::Expired]);
    assert_eq!((cart.is_over(), cart.lines(), cart.next_deadline()), (true, &[][..], None));
    assert_eq!(cart.decide(add("LAMP", 1), at(1_001)), Err(CartRejection::NotFound));
}

#[test]
fn a_cart_with_one_line_is_small() {
    let line = size_of::<CartLine>();
    assert!(size_of::<Cart>() + line <= 200, "{} + {line} bytes", size_of::<Cart>());
}

#[test]
fn a_merged_cart_opens_again_for_the_cart_that_refused_it_and_for_no_other() {
    let mut cart = Cart::new(cart_id(1));
    let created = cart.decide(CartCommand::Create { currency: Currency::EUR, expires_at: at(1_000) }, at(0)).unwrap();
    for event in &created {
        cart.apply(event);
    }
    let merged = cart.decide(CartCommand::MergeInto { into: cart_id(9) }, at(1)).unwrap();
    for event in &merged {
        cart.apply(event);
    }
    assert_eq!(cart.decide(CartCommand::Reopen { into: cart_id(8) }, at(2)), Err(CartRejection::NotFound));
    let reopened = cart.decide(CartCommand::Reopen { into: cart_id(9) }, at(2)).unwrap();
    assert_eq!(reopened, [CartEvent::Reopened]);
    for event in &reopened {
        cart.apply(event);
    }
    assert_eq!(cart.state(), CartState::Open);
    assert_eq!(cart.decide(CartCommand::Reopen { into: cart_id(9) }, at(3)), Ok(vec![]), "a repeat changes nothing");
}
