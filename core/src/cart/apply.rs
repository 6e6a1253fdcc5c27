//! How a fact changes a cart. A fact never fails.

use alloc::vec::Vec;

use super::{Cart, CartEvent, CartLine, CartState};
use crate::id::CartId;

impl Cart {
    pub(super) fn take_in_fact(&mut self, event: &CartEvent) {
        self.version = self.version.saturating_add(1);
        match event {
            CartEvent::Created { currency, expires_at } => {
                self.currency = *currency;
                self.expires_at = *expires_at;
            }
            CartEvent::LineSet { line, expires_at } => {
                self.set_line(line);
                self.expires_at = *expires_at;
            }
            CartEvent::LineRemoved { item, expires_at } => {
                self.lines.retain(|line| line.item != *item);
                self.expires_at = *expires_at;
            }
            CartEvent::TookIn { from, lines, expires_at } => {
                self.lines.clone_from(lines);
                let used = lines.iter().map(|line| line.item.saturating_add(1)).max().unwrap_or(0);
                self.next_item = self.next_item.max(used);
                self.remember(*from);
                self.expires_at = *expires_at;
            }
            CartEvent::MergedInto { into } => self.state = CartState::Merged { into: *into },
            CartEvent::CheckoutBegun { order, deadline } => {
                self.state = CartState::CheckingOut { order: *order, deadline: *deadline };
            }
            CartEvent::CheckoutCompleted { order } => self.state = CartState::Converted { order: *order },
            CartEvent::CheckoutAbandoned { .. } | CartEvent::Reopened => self.state = CartState::Open,
            CartEvent::Expired => {
                self.state = CartState::Expired;
                self.lines = Vec::new();
            }
        }
    }

    fn set_line(&mut self, line: &CartLine) {
        self.next_item = self.next_item.max(line.item.saturating_add(1));
        if let Some(known) = self.lines.iter_mut().find(|known| known.item == line.item) {
            known.quantity = line.quantity;
            return;
        }
        // Exactly one more: most carts have one line, and there are a million carts.
        self.lines.reserve_exact(1);
        self.lines.push(line.clone());
    }

    fn remember(&mut self, from: CartId) {
        let forgotten = usize::from(self.took_in.len() >= Self::MAX_MERGES_REMEMBERED);
        self.took_in = self.took_in.iter().skip(forgotten).copied().chain([from]).collect();
    }
}
