//! How many units one line asks for: at least one, at most [`Quantity::MAX`].

use core::fmt;

use serde::{Deserialize, Serialize};

/// A positive number of units of one SKU. Zero and negative quantities cannot be expressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Quantity(u32);

/// The number given is not a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a quantity is a whole number from 1 to {max}, not {given}", max = Quantity::MAX.get())]
pub struct QuantityError {
    /// What was given, in units.
    pub given: i64,
}

impl Quantity {
    /// The largest quantity of one line, in units: far above any real order, far below any overflow.
    pub const MAX: Self = Self(1_000_000);
    /// One unit.
    pub const ONE: Self = Self(1);

    /// `units` as a quantity.
    ///
    /// # Errors
    /// [`QuantityError`] outside 1..=[`Quantity::MAX`].
    pub const fn new(units: i64) -> Result<Self, QuantityError> {
        if units >= 1 && units <= Self::MAX.0 as i64 {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "just checked against 1..=MAX"
            )]
            return Ok(Self(units as u32));
        }
        Err(QuantityError { given: units })
    }

    /// The number of units.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Both together.
    ///
    /// # Errors
    /// [`QuantityError`] when the sum passes [`Quantity::MAX`].
    pub fn checked_add(self, other: Self) -> Result<Self, QuantityError> {
        Self::new(i64::from(self.0).saturating_add(i64::from(other.0)))
    }
}

impl TryFrom<u32> for Quantity {
    type Error = QuantityError;

    fn try_from(units: u32) -> Result<Self, Self::Error> {
        Self::new(i64::from(units))
    }
}

impl From<Quantity> for u32 {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
