//! When and how much of a SKU may be sold. The stock item asks it before it looks at its units.

use serde::{Deserialize, Serialize};

use super::StockRejection;
use crate::{quantity::Quantity, time::Timestamp};

/// When and how much may be sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SalePolicy {
    /// The sale is refused before this instant.
    pub opens_at: Option<Timestamp>,
    /// The sale is refused from this instant on.
    pub closes_at: Option<Timestamp>,
    /// The most units one order may hold.
    pub per_order_limit: Option<Quantity>,
    /// The most units one customer may have over all orders: held, allocated and fulfilled together.
    pub per_customer_limit: Option<Quantity>,
}

impl SalePolicy {
    /// Whether the sale can ever be open: it closes after it opens.
    pub fn is_consistent(&self) -> bool {
        match (self.opens_at, self.closes_at) {
            (Some(opens_at), Some(closes_at)) => opens_at < closes_at,
            _ => true,
        }
    }

    /// Whether the sale is open at `now`: from `opens_at` on, and before `closes_at`.
    ///
    /// # Errors
    /// [`StockRejection::NotOpen`] or [`StockRejection::Closed`].
    pub fn check_open(&self, now: Timestamp) -> Result<(), StockRejection> {
        match (self.opens_at, self.closes_at) {
            (Some(opens_at), _) if now < opens_at => Err(StockRejection::NotOpen { opens_at }),
            (_, Some(closes_at)) if now >= closes_at => Err(StockRejection::Closed { closes_at }),
            _ => Ok(()),
        }
    }
}
