//! Exact money: an integer of minor units that carries its currency. There is no `+` and no float; every operation names
//! what can go wrong.

mod currency;

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

pub use currency::Currency;

use crate::quantity::Quantity;

/// An amount in minor units (cents for EUR, yen for JPY, fils for KWD) of one currency. May be negative; prices may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// Why an amount could not be computed or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The two amounts are in different currencies.
    #[error("{left} and {right} are different currencies")]
    CurrencyMismatch {
        /// The currency of the first amount.
        left: Currency,
        /// The currency of the second amount.
        right: Currency,
    },
    /// The result does not fit 64 bits of minor units.
    #[error("the amount is too large")]
    Overflow,
    /// Not an active ISO 4217 code.
    #[error("not an active ISO 4217 currency code")]
    UnknownCurrency,
    /// An amount can only be split into at least one part.
    #[error("an amount cannot be split into no parts")]
    NoParts,
}

impl Money {
    /// `minor` units of `currency`: 1,234 of EUR is 12.34 euros.
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing, in `currency`.
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// The amount in minor units.
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// Its currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Whether it is more than nothing.
    pub const fn is_positive(self) -> bool {
        self.minor > 0
    }

    /// Whether it is less than nothing.
    pub const fn is_negative(self) -> bool {
        self.minor < 0
    }

    /// Both together.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`] or [`MoneyError::Overflow`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.check_same_currency(other)?;
        self.with(self.minor.checked_add(other.minor))
    }

    /// What is left of this amount after `other` is taken away; may be negative.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`] or [`MoneyError::Overflow`].
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.check_same_currency(other)?;
        self.with(self.minor.checked_sub(other.minor))
    }

    /// The price of `quantity` units at this price each.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn checked_mul(self, quantity: Quantity) -> Result<Self, MoneyError> {
        self.with(self.minor.checked_mul(i64::from(quantity.get())))
    }

    /// The amount in `parts` shares that add up to it exactly: they differ by one minor unit at most, the larger first.
    ///
    /// # Errors
    /// [`MoneyError::NoParts`] for zero parts.
    pub fn split(self, parts: u16) -> Result<Vec<Self>, MoneyError> {
        let divisor = i64::from(parts);
        let (Some(share), Some(rest)) = (self.minor.checked_div(divisor), self.minor.checked_rem(divisor)) else {
            return Err(MoneyError::NoParts);
        };
        let larger = share.saturating_add(rest.signum());
        let share_of = |part: u16| if u64::from(part) < rest.unsigned_abs() { larger } else { share };
        Ok((0..parts).map(|part| Self::new(share_of(part), self.currency)).collect())
    }

    fn check_same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            return Ok(());
        }
        Err(MoneyError::CurrencyMismatch { left: self.currency, right: other.currency })
    }

    fn with(self, minor: Option<i64>) -> Result<Self, MoneyError> {
        minor.map(|minor| Self::new(minor, self.currency)).ok_or(MoneyError::Overflow)
    }
}

/// In major units with the currency's decimal places: `12.34 EUR`, `1200 JPY`, `-0.005 KWD`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = self.currency.exponent();
        let sign = if self.is_negative() { "-" } else { "" };
        let unit = 10_u64.saturating_pow(u32::from(exponent));
        let minor = self.minor.unsigned_abs();
        let (Some(major), Some(rest)) = (minor.checked_div(unit), minor.checked_rem(unit)) else {
            return Err(fmt::Error);
        };
        if exponent == 0 {
            return write!(f, "{sign}{major} {}", self.currency);
        }
        write!(f, "{sign}{major}.{rest:0width$} {}", self.currency, width = usize::from(exponent))
    }
}
