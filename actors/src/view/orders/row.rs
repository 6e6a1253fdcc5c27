//! One order in the index: 72 bytes, with its customer and SKUs as numbers.

use holdfast_core::{BuyerId, Currency, Money, OrderId, Timestamp, order::OrderStatus};

/// What listings know of an order, and the next older order of the same buyer and of the same customer.
///
/// The ids are kept as big-endian bytes: they compare like the ids and need no alignment.
pub(super) struct Row {
    id: [u8; 16],
    buyer: [u8; 16],
    placed_at: Timestamp,
    total_minor: i64,
    /// The order's version; held at the largest 32-bit number.
    pub(super) version: u32,
    /// Number of the customer, or [`NONE`](crate::rows::NONE).
    pub(super) customer: u32,
    /// Number of the SKU, or with [`SKU_SET`] the position of a list of numbers.
    pub(super) skus: u32,
    older_of_buyer: u32,
    older_of_customer: u32,
    currency: Currency,
    pub(super) status: OrderStatus,
}

/// Set in [`Row::skus`]: the order has another number of SKUs than one.
pub(super) const SKU_SET: u32 = 1 << 31;

/// What orders are sorted by: the time they were placed, then their id.
pub(super) type RowKey = (Timestamp, [u8; 16]);

/// Whose orders a chain of rows connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chain {
    /// One buyer's.
    Buyer,
    /// One customer's.
    Customer,
}

/// What a row is made of, beside its entry.
pub(super) struct Numbers {
    pub(super) customer: u32,
    pub(super) skus: u32,
}

impl Row {
    pub(super) fn new(entry: &crate::view::OrderEntry, numbers: &Numbers) -> Self {
        Self {
            id: entry.id.as_u128().to_be_bytes(),
            buyer: entry.buyer.as_u128().to_be_bytes(),
            placed_at: entry.placed_at,
            total_minor: entry.total.minor(),
            version: short_version(entry.version),
            customer: numbers.customer,
            skus: numbers.skus,
            older_of_buyer: crate::rows::NONE,
            older_of_customer: crate::rows::NONE,
            currency: entry.total.currency(),
            status: entry.status,
        }
    }

    pub(super) fn id(&self) -> OrderId {
        OrderId::from_u128(u128::from_be_bytes(self.id))
    }

    pub(super) fn buyer(&self) -> BuyerId {
        BuyerId::from_u128(u128::from_be_bytes(self.buyer))
    }

    pub(super) fn placed_at(&self) -> Timestamp {
        self.placed_at
    }

    pub(super) fn total(&self) -> Money {
        Money::new(self.total_minor, self.currency)
    }

    pub(super) fn key(&self) -> RowKey {
        (self.placed_at, self.id)
    }

    pub(super) fn older(&self, chain: Chain) -> u32 {
        match chain {
            Chain::Buyer => self.older_of_buyer,
            Chain::Customer => self.older_of_customer,
        }
    }

    pub(super) fn set_older(&mut self, chain: Chain, row: u32) {
        match chain {
            Chain::Buyer => self.older_of_buyer = row,
            Chain::Customer => self.older_of_customer = row,
        }
    }
}

/// The sort key of an order that may not be in the index.
pub(super) fn key_of(placed_at: Timestamp, id: OrderId) -> RowKey {
    (placed_at, id.as_u128().to_be_bytes())
}

/// A version in 32 bits: an order has far fewer events.
pub(super) fn short_version(version: u64) -> u32 {
    u32::try_from(version).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_takes_no_more_than_the_documentation_says() {
        assert_eq!(size_of::<Row>(), 72);
    }
}
