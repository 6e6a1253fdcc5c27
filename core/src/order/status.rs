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

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Placed => "placed",
            Self::Authorized => "authorized",
            Self::Confirmed => "confirmed",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
            Self::PartiallyRefunded => "partially_refunded",
            Self::Refunded => "refunded",
        })
    }
}
