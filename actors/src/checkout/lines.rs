//! The lines of an order: one per SKU.

use holdfast_core::{Quantity, SkuId};

use super::CheckoutError;
use crate::message::PlaceLine;

/// One line per SKU, in the order in which each SKU was first named.
pub(super) fn add_up(lines: &[(SkuId, Quantity)], limit: usize) -> Result<Vec<PlaceLine>, CheckoutError> {
    let mut sums: Vec<PlaceLine> = Vec::with_capacity(lines.len().min(limit));
    for (sku, quantity) in lines {
        if let Some(line) = sums.iter_mut().find(|line| line.sku == *sku) {
            let sum = line.quantity.checked_add(*quantity);
            line.quantity = sum.map_err(|_| CheckoutError::QuantityTooLarge { sku: sku.clone() })?;
        } else if sums.len() < limit {
            sums.push(PlaceLine { sku: sku.clone(), quantity: *quantity, held: None });
        } else {
            return Err(CheckoutError::TooManyLines { limit, given: lines.len() });
        }
    }
    if sums.is_empty() { Err(CheckoutError::NoLines) } else { Ok(sums) }
}
