//! Why a checkout made no order.

use holdfast_core::{Quantity, SkuId};

use crate::error::{CommandError, Effect};

/// Why there is no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckoutError {
    /// A request of the same key is under way.
    #[error("a request with this idempotency key is under way")]
    KeyInFlight,
    /// The key made an order of another request.
    #[error("this idempotency key was used for another request")]
    KeyReused,
    /// Nothing to order.
    #[error("an order needs at least one line")]
    NoLines,
    /// More lines than one order may have.
    #[error("an order has at most {limit} lines, not {given}")]
    TooManyLines {
        /// The limit.
        limit: usize,
        /// Lines asked for.
        given: usize,
    },
    /// The lines of one SKU add up to more than a line may have.
    #[error("{sku}: a line holds at most {max} units", max = Quantity::MAX)]
    QuantityTooLarge {
        /// Which SKU.
        sku: SkuId,
    },
    /// A line's price is not in the cart's currency.
    #[error("a line is priced in another currency than the cart")]
    MixedCurrencies,
    /// The command did not succeed.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl CheckoutError {
    /// Whether the order may have come to be all the same.
    pub fn effect(&self) -> Effect {
        match self {
            Self::Command(error) => error.effect(),
            Self::KeyInFlight
            | Self::KeyReused
            | Self::NoLines
            | Self::TooManyLines { .. }
            | Self::QuantityTooLarge { .. }
            | Self::MixedCurrencies => Effect::None,
        }
    }
}
