//! The books after the storm: everything has come to an end, and stock, orders and the gateway agree to the unit and the cent.

use std::collections::BTreeMap;

use holdfast_core::{EntityId, OrderId, SkuId, cart::CartState};
use holdfast_persistence::EntityState;

use crate::{
    book::State,
    gateway::Account,
    model::{OrderModel, Phase},
    violation::{Promise, Violations},
    world::World,
};

/// Compares everything with everything.
pub(crate) fn audit(world: &World) {
    let Some(process) = &world.process else {
        world.violations.report(Promise::Progress, "the node is not up at the end");
        return;
    };
    world.machine.book.check_all(&process.node, &world.machine.snapshots, &process.recovered);
    let state = world.machine.book.open();
    let accounts = world.machine.gateway.accounts();
    check_orders(&state, &accounts, &world.violations);
    check_stock(&state, &world.violations);
    for order in accounts.keys() {
        if state.order(*order).is_none() {
            let what = format!("the gateway knows {order}, the shop does not");
            world.violations.report(Promise::Money, what);
        }
    }
    check_carts(&state, &world.violations);
    let views = process.node.commerce().views();
    let placed = state.model.orders.len();
    if views.order_count() != placed {
        let what = format!("the listing has {} orders, the journal {placed}", views.order_count());
        world.violations.report(Promise::State, what);
    }
    for (entity, stock) in &state.states {
        let (EntityId::Stock(sku), EntityState::Stock(stock)) = (entity, stock) else { continue };
        let shown = views.stock(sku).map(|view| view.level);
        if shown != Some(stock.level()) {
            let what = format!("{sku} is shown as {shown:?}, its records give {:?}", stock.level());
            world.violations.report(Promise::State, what);
        }
    }
}

/// A cart whose order somebody was told of became that order, and none is left locked.
fn check_carts(state: &State, violations: &Violations) {
    for (entity, cart) in &state.states {
        if let EntityState::Cart(cart) = cart
            && let CartState::CheckingOut { order, .. } = cart.state()
        {
            violations.report(Promise::Progress, format!("{entity} is still locked for {order}"));
        }
    }
    for (cart, order) in &state.converted {
        let Some(EntityState::Cart(found)) = state.states.get(&EntityId::Cart(*cart)) else { continue };
        if found.state() != (CartState::Converted { order: *order }) {
            violations.report(Promise::State, format!("{cart} became {order} and is {:?}", found.state()));
        }
    }
}

fn check_orders(state: &State, accounts: &BTreeMap<OrderId, Account>, violations: &Violations) {
    for (id, order) in &state.model.orders {
        if let Some(entity) = state.order(*id)
            && !entity.next_steps().is_empty()
        {
            violations.report(Promise::Progress, format!("{id} is still owed {:?}", entity.next_steps()));
        }
        if matches!(order.phase, Phase::Placed | Phase::Authorized | Phase::Unknown) {
            violations.report(Promise::Progress, format!("{id} came no further than {:?}", order.phase));
        }
        check_money(*id, order, accounts.get(id), violations);
    }
}

fn check_money(id: OrderId, order: &OrderModel, account: Option<&Account>, violations: &Violations) {
    let nothing = Account::default();
    let account = account.unwrap_or(&nothing);
    let agree = account.captured == order.money.captured && account.refunded == order.money.refunded;
    if !agree {
        violations.report(Promise::Money, format!("{id}: the order says {:?}, the gateway {account:?}", order.money));
    }
    if !order.has_ended() && account.authorized < order.total() {
        violations.report(Promise::Money, format!("{id} goes on without an authorization: {account:?}"));
    }
    if order.has_ended() {
        // What failed to go back stays visible and is an operator's business.
        let asked_back = order.money.spoken_for == order.money.captured || order.has_failed_refund();
        let settled = if account.captured > 0 { asked_back } else { account.voided || account.authorized == 0 };
        if !settled {
            let what = format!("{id} has ended and kept money: {:?}, the gateway {account:?}", order.money);
            violations.report(Promise::Money, what);
        }
    }
}

fn check_stock(state: &State, violations: &Violations) {
    let mut bound: BTreeMap<&SkuId, (i64, i64)> = BTreeMap::new();
    for order in state.model.orders.values() {
        let Some(placement) = &order.placement else { continue };
        for line in &placement.lines {
            let (allocated, gone) = bound.entry(&line.sku).or_default();
            match order.phase {
                Phase::Confirmed => *allocated += i64::from(line.quantity.get()),
                Phase::Shipped | Phase::Delivered => *gone += i64::from(line.quantity.get()),
                Phase::Unknown | Phase::Placed | Phase::Authorized | Phase::Ended => {}
            }
        }
    }
    for (sku, stock) in &state.model.stock {
        let (allocated, gone) = bound.get(sku).copied().unwrap_or_default();
        if (stock.held, stock.allocated, stock.gone) != (0, allocated, gone) {
            let what = format!(
                "{sku} has {} held, {} allocated, {} gone; its orders say 0, {allocated}, {gone}",
                stock.held, stock.allocated, stock.gone
            );
            violations.report(Promise::Units, what);
        }
    }
}
