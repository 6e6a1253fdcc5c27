//! Which facts follow from a command to a cart.

use alloc::{vec, vec::Vec};

use super::{Cart, CartCommand, CartEvent, CartLine, CartRejection, CartState};
use crate::{
    id::{CartId, OrderId, SkuId},
    quantity::Quantity,
    time::Timestamp,
};

type Decision = Result<Vec<CartEvent>, CartRejection>;

/// Done before, or nothing to do.
const NOTHING: Decision = Ok(Vec::new());

impl Cart {
    pub(super) fn decide_at(&self, command: CartCommand, now: Timestamp) -> Decision {
        match command {
            CartCommand::Create { currency, expires_at } if self.version == 0 => {
                Ok(vec![CartEvent::Created { currency, expires_at }])
            }
            CartCommand::Create { .. } => Err(CartRejection::AlreadyExists),
            _ if self.version == 0 => Err(CartRejection::NotFound),
            CartCommand::AddItem { sku, quantity, expires_at, expected_version } => {
                self.check_editable(expected_version)?;
                self.add_item(sku, quantity, expires_at)
            }
            CartCommand::ChangeQuantity { item, quantity, expires_at, expected_version } => {
                self.check_editable(expected_version)?;
                self.change_quantity(item, quantity, expires_at)
            }
            CartCommand::RemoveItem { item, expires_at, expected_version } => {
                self.check_editable(expected_version)?;
                self.line(item).ok_or(CartRejection::ItemNotFound { item })?;
                Ok(vec![CartEvent::LineRemoved { item, expires_at }])
            }
            CartCommand::TakeIn { from, lines, expires_at } => self.take_in(from, lines, expires_at),
            CartCommand::MergeInto { into } => self.merge_into(into),
            CartCommand::Reopen { into } => self.reopen(into),
            CartCommand::BeginCheckout { order, deadline, expected_version } => {
                self.begin_checkout(order, deadline, expected_version)
            }
            CartCommand::CompleteCheckout { order } => self.complete_checkout(order),
            CartCommand::AbandonCheckout { order } => self.abandon_checkout(order),
            CartCommand::Expire => Ok(self.expire(now)),
        }
    }

    fn add_item(&self, sku: SkuId, more: Quantity, expires_at: Timestamp) -> Decision {
        let line = match self.lines.iter().find(|line| line.sku == sku) {
            Some(line) => CartLine { item: line.item, sku, quantity: add(line.quantity, more)? },
            None => CartLine { item: new_item(self.lines.len(), self.next_item)?, sku, quantity: more },
        };
        Ok(vec![CartEvent::LineSet { line, expires_at }])
    }

    fn change_quantity(&self, item: u32, quantity: Quantity, expires_at: Timestamp) -> Decision {
        let line = self.line(item).ok_or(CartRejection::ItemNotFound { item })?;
        if line.quantity == quantity {
            return NOTHING;
        }
        Ok(vec![CartEvent::LineSet { line: CartLine { item, sku: line.sku.clone(), quantity }, expires_at }])
    }

    fn take_in(&self, from: CartId, theirs: Vec<CartLine>, expires_at: Timestamp) -> Decision {
        if from == self.id {
            return Err(CartRejection::SameCart);
        }
        if self.has_taken_in(from) {
            return NOTHING;
        }
        self.check_open()?;
        let mut lines = self.lines.clone();
        let mut next = self.next_item;
        for CartLine { sku, quantity, .. } in theirs {
            if let Some(line) = lines.iter_mut().find(|line| line.sku == sku) {
                line.quantity = add(line.quantity, quantity)?;
                continue;
            }
            let item = new_item(lines.len(), next)?;
            next = item.saturating_add(1);
            lines.push(CartLine { item, sku, quantity });
        }
        Ok(vec![CartEvent::TookIn { from, lines, expires_at }])
    }

    fn reopen(&self, into: CartId) -> Decision {
        if self.state == (CartState::Merged { into }) {
            return Ok(vec![CartEvent::Reopened]);
        }
        self.check_open()?;
        NOTHING
    }

    fn merge_into(&self, into: CartId) -> Decision {
        if into == self.id {
            return Err(CartRejection::SameCart);
        }
        if self.state == (CartState::Merged { into }) {
            return NOTHING;
        }
        self.check_open()?;
        Ok(vec![CartEvent::MergedInto { into }])
    }

    fn begin_checkout(&self, order: OrderId, deadline: Timestamp, expected_version: Option<u64>) -> Decision {
        match self.state {
            // A retry saw the version before the checkout began: it is not stale.
            CartState::CheckingOut { order: current, .. } | CartState::Converted { order: current }
                if current == order =>
            {
                return NOTHING;
            }
            _ => self.check_editable(expected_version)?,
        }
        if self.lines.is_empty() {
            return Err(CartRejection::Empty);
        }
        Ok(vec![CartEvent::CheckoutBegun { order, deadline }])
    }

    fn complete_checkout(&self, order: OrderId) -> Decision {
        match self.state {
            CartState::CheckingOut { order: current, .. } if current == order => {
                Ok(vec![CartEvent::CheckoutCompleted { order }])
            }
            CartState::Converted { order: current } if current == order => NOTHING,
            _ => Err(self.check_open().err().unwrap_or(CartRejection::NotCheckingOut)),
        }
    }

    fn abandon_checkout(&self, order: OrderId) -> Decision {
        match self.state {
            CartState::CheckingOut { order: current, .. } if current == order => {
                Ok(vec![CartEvent::CheckoutAbandoned { order }])
            }
            _ => self.check_open().and(NOTHING),
        }
    }

    /// A cart whose checkout has run out of time stays locked: only who knows whether the order came to be may open it.
    fn expire(&self, now: Timestamp) -> Vec<CartEvent> {
        if self.state == CartState::Open && now >= self.expires_at { vec![CartEvent::Expired] } else { Vec::new() }
    }

    fn check_open(&self) -> Result<(), CartRejection> {
        match self.state {
            CartState::Open => Ok(()),
            CartState::CheckingOut { order, .. } => Err(CartRejection::CheckingOut { order }),
            CartState::Converted { order } => Err(CartRejection::Converted { order }),
            CartState::Merged { .. } | CartState::Expired => Err(CartRejection::NotFound),
        }
    }

    fn check_editable(&self, expected_version: Option<u64>) -> Result<(), CartRejection> {
        self.check_open()?;
        match expected_version {
            Some(expected) if expected != self.version => {
                Err(CartRejection::StaleVersion { expected, actual: self.version })
            }
            _ => Ok(()),
        }
    }
}

/// The number of a new line beside `count` others, if there is room for it.
fn new_item(count: usize, next: u32) -> Result<u32, CartRejection> {
    if count >= Cart::MAX_LINES || next == u32::MAX { Err(CartRejection::TooManyLines) } else { Ok(next) }
}

fn add(units: Quantity, more: Quantity) -> Result<Quantity, CartRejection> {
    units.checked_add(more).map_err(|_| CartRejection::QuantityTooLarge)
}
