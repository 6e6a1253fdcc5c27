//! Who may buy, when, and how much.

use holdfast_core::{
    Entity, HoldId,
    stock::{SalePolicy, StockCommand, StockItem, StockRejection},
};

use crate::given::{at, customer, hold, hold_of, order_id, stock_with, tell, units};

fn sale(policy: SalePolicy) -> StockItem {
    let mut stock = stock_with(100);
    tell(&mut stock, StockCommand::SetPolicy(policy), at(0)).unwrap();
    stock
}

fn hold_for(who: &str, order: u128, count: i64) -> StockCommand {
    let customer = Some(customer(who));
    StockCommand::Hold { hold: hold_of(order), quantity: units(count), expires_at: at(100), customer }
}

fn two_per_customer() -> StockItem {
    sale(SalePolicy { per_customer_limit: Some(units(2)), ..SalePolicy::default() })
}

#[test]
fn a_sale_opens_at_its_instant_and_closes_at_its_instant() {
    let stock = sale(SalePolicy { opens_at: Some(at(10)), closes_at: Some(at(20)), ..SalePolicy::default() });
    assert_eq!(stock.decide(hold(1, 1), at(9)), Err(StockRejection::NotOpen { opens_at: at(10) }));
    assert!(stock.decide(hold(1, 1), at(10)).is_ok());
    assert!(stock.decide(hold(1, 1), at(19)).is_ok());
    assert_eq!(stock.decide(hold(1, 1), at(20)), Err(StockRejection::Closed { closes_at: at(20) }));
}

#[test]
fn a_hold_taken_in_time_is_allocated_after_the_sale_has_closed() {
    let mut stock = sale(SalePolicy { closes_at: Some(at(20)), ..SalePolicy::default() });
    tell(&mut stock, hold(1, 1), at(19)).unwrap();
    assert_eq!(stock.decide(hold(1, 1), at(30)), Ok(Vec::new()), "a retry of a hold that was taken");
    assert!(stock.decide(StockCommand::Allocate { hold: hold_of(1) }, at(30)).is_ok());
}

#[test]
fn a_sale_that_closes_before_it_opens_is_refused() {
    let stock = stock_with(1);
    let policy = SalePolicy { opens_at: Some(at(20)), closes_at: Some(at(20)), ..SalePolicy::default() };
    assert_eq!(stock.decide(StockCommand::SetPolicy(policy), at(0)), Err(StockRejection::InvalidPolicy));
}

#[test]
fn setting_the_same_policy_again_is_no_fact() {
    let stock = two_per_customer();
    assert_eq!(stock.decide(StockCommand::SetPolicy(*stock.policy()), at(1)), Ok(Vec::new()));
}

#[test]
fn an_order_cannot_pass_its_limit_with_two_lines_of_one_sku() {
    let mut stock = sale(SalePolicy { per_order_limit: Some(units(3)), ..SalePolicy::default() });
    let over = |requested| Err(StockRejection::OverOrderLimit { limit: units(3), requested });
    assert_eq!(stock.decide(hold(1, 4), at(1)), over(4));
    tell(&mut stock, hold(1, 2), at(1)).unwrap();
    let id = HoldId { order: order_id(1), line: 1 };
    let second = StockCommand::Hold { hold: id, quantity: units(2), expires_at: at(100), customer: None };
    assert_eq!(stock.decide(second.clone(), at(1)), over(4));
    tell(&mut stock, StockCommand::Allocate { hold: hold_of(1) }, at(1)).unwrap();
    assert_eq!(stock.decide(second, at(1)), over(4));
    assert!(stock.decide(hold(2, 3), at(1)).is_ok(), "another order has its own limit");
}

#[test]
fn a_customer_limit_counts_over_all_orders() {
    let mut stock = two_per_customer();
    tell(&mut stock, hold_for("kim", 1, 1), at(1)).unwrap();
    tell(&mut stock, hold_for("kim", 2, 1), at(1)).unwrap();
    let over = StockRejection::OverCustomerLimit { limit: units(2), taken: 2, requested: 1 };
    assert_eq!(stock.decide(hold_for("kim", 3, 1), at(1)), Err(over));
    assert!(stock.decide(hold_for("lee", 3, 2), at(1)).is_ok());
}

#[test]
fn units_that_were_fulfilled_still_count_for_their_customer() {
    let mut stock = two_per_customer();
    tell(&mut stock, hold_for("kim", 1, 2), at(1)).unwrap();
    tell(&mut stock, StockCommand::Allocate { hold: hold_of(1) }, at(2)).unwrap();
    tell(&mut stock, StockCommand::Fulfill { hold: hold_of(1) }, at(3)).unwrap();
    assert_eq!(stock.taken_by(&customer("kim")), 2);
    assert!(stock.decide(hold_for("kim", 2, 1), at(4)).is_err());
}

#[test]
fn released_lapsed_and_deallocated_units_no_longer_count() {
    let mut stock = two_per_customer();
    tell(&mut stock, hold_for("kim", 1, 2), at(1)).unwrap();
    tell(&mut stock, StockCommand::Release { hold: hold_of(1) }, at(2)).unwrap();
    tell(&mut stock, hold_for("kim", 2, 2), at(3)).unwrap();
    tell(&mut stock, StockCommand::Lapse, at(100)).unwrap();
    let later = StockCommand::Hold {
        hold: hold_of(3),
        quantity: units(2),
        expires_at: at(300),
        customer: Some(customer("kim")),
    };
    tell(&mut stock, later, at(200)).unwrap();
    tell(&mut stock, StockCommand::Allocate { hold: hold_of(3) }, at(201)).unwrap();
    tell(&mut stock, StockCommand::Release { hold: hold_of(3) }, at(202)).unwrap();
    assert_eq!(stock.taken_by(&customer("kim")), 0);
}

#[test]
fn a_renewed_hold_counts_once_for_its_customer() {
    let mut stock = two_per_customer();
    tell(&mut stock, hold_for("kim", 1, 2), at(1)).unwrap();
    assert!(tell(&mut stock, hold_for("kim", 1, 2), at(150)).is_ok());
    assert_eq!(stock.taken_by(&customer("kim")), 2);
}

#[test]
fn a_limited_sku_is_not_sold_to_nobody() {
    assert_eq!(two_per_customer().decide(hold(1, 1), at(1)), Err(StockRejection::CustomerRequired));
}

#[test]
fn a_limit_set_later_counts_what_was_sold_before() {
    let mut stock = stock_with(100);
    tell(&mut stock, hold_for("kim", 1, 5), at(1)).unwrap();
    let policy = SalePolicy { per_customer_limit: Some(units(2)), ..SalePolicy::default() };
    tell(&mut stock, StockCommand::SetPolicy(policy), at(2)).unwrap();
    let over = StockRejection::OverCustomerLimit { limit: units(2), taken: 5, requested: 1 };
    assert_eq!(stock.decide(hold_for("kim", 2, 1), at(3)), Err(over));
}
