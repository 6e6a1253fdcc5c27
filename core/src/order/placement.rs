//! What is fixed when an order is placed: lines with their frozen prices, who buys, and how it is paid.
//!
//! Invariant: no [`PaymentToken`] that looks like a card number gets in. What once got in is read back as it is, whatever
//! a later version takes for a card number: a stricter check must not make a journal unreadable.

use alloc::vec::Vec;
use core::fmt;

use compact_str::CompactString;
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    card::looks_like_card_number,
    id::{BuyerId, CustomerId, SkuId},
    money::Money,
    quantity::Quantity,
    time::Timestamp,
};

/// One line as it was sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// What.
    pub sku: SkuId,
    /// How many.
    pub quantity: Quantity,
    /// Price of one unit, frozen when the order was placed.
    pub unit_price: Money,
}

/// When an authorized amount is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum CapturePolicy {
    /// When the goods leave the house, as card schemes ask of merchants who ship.
    #[default]
    OnShipment,
    /// As soon as the order is confirmed.
    OnConfirmation,
}

/// A gateway's token for a means of payment: 1 to 128 of `A-Z a-z 0-9 _ - .`, and not like a card number when it came in.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "CompactString")]
pub struct PaymentToken(CompactString);

/// Everything fixed when an order is placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Who may read it.
    pub buyer: BuyerId,
    /// Who per-customer limits counted for.
    pub customer: Option<CustomerId>,
    /// One line per SKU, at least one; line `n` is held under [`HoldId`](crate::HoldId) `{ order, line: n }`.
    pub lines: Vec<OrderLine>,
    /// The sum of the lines, in the one currency of all of them.
    pub total: Money,
    /// How it is paid.
    pub payment_token: PaymentToken,
    /// When the total is captured.
    pub capture: CapturePolicy,
    /// When it was placed: the `now` of the turn that decided it, so listings sort the same after every replay.
    pub placed_at: Timestamp,
    /// Without an authorization by then the order expires and its units are released.
    pub expires_at: Timestamp,
    /// Digest of a request that did not name its lines, but the cart they were in: the same idempotency key with another body is told
    /// apart by it. [`Placement::OF_LINES`] otherwise.
    pub fingerprint: u128,
}

impl Placement {
    /// The fingerprint of a request that named its lines: it needs none, since it can be compared itself.
    pub const OF_LINES: u128 = 0;

    /// Whether this was placed for a request that asks for the same. By the fingerprints, if both have one; otherwise by what is asked
    /// for: what it costs by now, and when the request came, do not count.
    pub fn is_for<'a>(
        &'a self,
        buyer: BuyerId,
        customer: Option<&CustomerId>,
        payment_token: &PaymentToken,
        fingerprint: u128,
        lines: impl Iterator<Item = (&'a SkuId, Quantity)>,
    ) -> bool {
        if fingerprint != Self::OF_LINES && self.fingerprint != Self::OF_LINES {
            return self.fingerprint == fingerprint;
        }
        let is_same = self.buyer == buyer && self.customer.as_ref() == customer && self.payment_token == *payment_token;
        is_same && self.lines.iter().map(|line| (&line.sku, line.quantity)).eq(lines)
    }
}

/// Why a text is not a payment token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PaymentTokenError {
    /// A character outside `A-Z a-z 0-9 _ - .`.
    #[error("a payment token has only letters, digits, '_', '-' and '.'")]
    Charset,
    /// Empty, or longer than [`PaymentToken::MAX_BYTES`].
    #[error("a payment token has 1 to {max} characters", max = PaymentToken::MAX_BYTES)]
    Length,
    /// It looks like a card number, which must never be sent here.
    #[error("this looks like a card number: send the gateway's token instead")]
    CardNumber,
}

impl PaymentToken {
    /// The longest token, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// `text` as a payment token.
    ///
    /// # Errors
    /// [`PaymentTokenError`]: the first of charset, length and card number that is wrong.
    pub fn parse(text: &str) -> Result<Self, PaymentTokenError> {
        Self::check(text)?;
        // In free text '.' and '_' part several numbers; in a token, which has no spaces, also the groups of one.
        let has_digits = text.bytes().any(|byte| byte.is_ascii_digit());
        if has_digits && looks_like_card_number(&text.replace(['.', '_'], "-")) {
            return Err(PaymentTokenError::CardNumber);
        }
        Ok(Self(CompactString::new(text)))
    }

    /// `text` as the token it once was, read back from where only [`PaymentToken::parse`] let one in: whatever is taken
    /// for a card number today.
    ///
    /// # Errors
    /// [`PaymentTokenError::Charset`] or [`PaymentTokenError::Length`]: it never was a token.
    pub fn read_back(text: &str) -> Result<Self, PaymentTokenError> {
        Self::check(text)?;
        Ok(Self(CompactString::new(text)))
    }

    /// The token's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What every token of schema version 1 keeps to, however old it is.
    fn check(text: &str) -> Result<(), PaymentTokenError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if !text.bytes().all(allowed) {
            return Err(PaymentTokenError::Charset);
        }
        if text.is_empty() || text.len() > Self::MAX_BYTES {
            return Err(PaymentTokenError::Length);
        }
        Ok(())
    }
}

/// Reads a token back, from where only [`PaymentToken::parse`] let one in.
impl TryFrom<CompactString> for PaymentToken {
    type Error = PaymentTokenError;

    fn try_from(text: CompactString) -> Result<Self, PaymentTokenError> {
        Self::check(&text)?;
        Ok(Self(text))
    }
}

impl Serialize for PaymentToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Says that there is a token, not which: whoever has it can charge the buyer.
impl fmt::Debug for PaymentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PaymentToken(..)")
    }
}
