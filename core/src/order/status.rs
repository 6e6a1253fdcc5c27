//! Where an order stands, in the words of the API.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Where an order stands, in the words of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OrderStatus {
    /// Units are held; payment is under way.
    Placed,
    /// Payment is authorized; holds are being allocated.
    Authorized,
    /// Paid for (authorized at least) and every unit allocated.
    Confirmed,
    /// The goods left the house.
    Shipped,
    /// The goods arrived.
    Delivered,
    /// Ended before it shipped.
    Canceled,
    /// No payment in time.
    Expired,
    /// Part of the captured amount went back.
    PartiallyRefunded,
    /// All of the captured amount went back.
    Refunded,
}

impl OrderStatus {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::Placed,
        Self::Authorized,
        Self::Confirmed,
        Self::Shipped,
        Self::Delivered,
        Self::Canceled,
        Self::Expired,
        Self::PartiallyRefunded,
        Self::Refunded,
    ];

    /// The status that prints itself as `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == text)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Authorized => "authorized",
            Self::Confirmed => "confirmed",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
            Self::PartiallyRefunded => "partially_refunded",
            Self::Refunded => "refunded",
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn every_status_is_read_as_it_is_shown() {
        for (place, status) in OrderStatus::ALL.into_iter().enumerate() {
            assert_eq!(OrderStatus::parse(&status.to_string()), Some(status));
            assert!(!OrderStatus::ALL[..place].contains(&status));
        }
        assert_eq!(OrderStatus::parse("Placed"), None);
    }
}
