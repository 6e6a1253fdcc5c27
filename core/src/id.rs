//! Typed ids. Each prints with its prefix (`ord_...`), parses only with it, and knows its [`Slot`]: the stable 16-bit
//! partition key from which the shard follows. An order's slot is that of its first line, so the hold and the order of a
//! one-SKU checkout meet in one shard.

use alloc::string::String;
use core::{fmt, str::FromStr};

use compact_str::CompactString;
use serde::{Deserialize, Serialize, Serializer};

/// One of 65,536 partitions of the id space. Never changes for an id, whatever the number of shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

/// One shard of the deployment, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(pub u16);

/// How many shards the deployment has: fixed for its life, 1 to 1,024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardCount(u16);

/// The text is not an id of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {expected}")]
pub struct IdError {
    /// What was expected, as a noun phrase for people.
    pub expected: &'static str,
}

impl ShardCount {
    /// The largest number of shards.
    pub const MAX: u16 = 1_024;

    /// `count` shards.
    ///
    /// # Errors
    /// [`IdError`] outside 1..=[`ShardCount::MAX`].
    pub const fn new(count: u16) -> Result<Self, IdError> {
        if count == 0 || count > Self::MAX {
            return Err(IdError { expected: "a number of shards from 1 to 1024" });
        }
        Ok(Self(count))
    }

    /// The number of shards.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The shard of a slot: contiguous ranges of slots, as even as the count allows.
    pub const fn shard_of(self, slot: Slot) -> ShardId {
        #[expect(
            clippy::arithmetic_side_effects,
            reason = "a product of two 16-bit numbers fits 32 bits, and its upper half is below the count"
        )]
        ShardId(((slot.0 as u32 * self.0 as u32) >> 16) as u16)
    }

    /// Every shard, in order.
    pub fn iter(self) -> impl Iterator<Item = ShardId> {
        (0..self.0).map(ShardId)
    }
}

/// A stock-keeping unit: 1 to 64 of `A-Z a-z 0-9 . _ -`, case-sensitive, as the merchant writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "CompactString")]
pub struct SkuId(CompactString);

/// Who a per-customer limit counts for: an opaque 1 to 64 printable ASCII characters given by the storefront.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "CompactString")]
pub struct CustomerId(CompactString);

/// Declares a 128-bit id that prints as `prefix_` and 32 lower-case hexadecimal digits.
macro_rules! id128 {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u128);

        impl $name {
            /// The id with these 128 bits.
            pub const fn from_u128(bits: u128) -> Self {
                Self(bits)
            }

            /// The id's 128 bits.
            pub const fn as_u128(self) -> u128 {
                self.0
            }

            /// What its text begins with.
            pub const PREFIX: &str = concat!($prefix, "_");

            /// The length of its text, in bytes.
            pub const TEXT_BYTES: usize = Self::PREFIX.len() + HexDigits::COUNT;

            /// Appends its text, without the detour over a formatter.
            pub fn append_to(self, text: &mut String) {
                text.push_str(Self::PREFIX);
                text.push_str(HexDigits::of(self.0).as_str());
            }

            /// The partition: the low 16 bits.
            #[expect(clippy::cast_possible_truncation, reason = "the low 16 bits are what a slot is")]
            pub const fn slot(self) -> Slot {
                Slot(self.0 as u16)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Self::PREFIX)?;
                f.write_str(HexDigits::of(self.0).as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let digits = text.strip_prefix(Self::PREFIX).filter(|digits| is_lower_hex_32(digits));
                let bits = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok());
                bits.map(Self).ok_or(IdError { expected: $expected })
            }
        }
    };
}

/// 128 bits as 32 lower-case hexadecimal digits, in one piece: ids and tokens are on every answer, and the formatting
/// machinery costs ten times this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HexDigits([u8; Self::COUNT]);

impl HexDigits {
    const COUNT: usize = 32;

    /// The digits of `bits`.
    pub fn of(bits: u128) -> Self {
        let mut digits = [0_u8; Self::COUNT];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bits.to_be_bytes()) {
            pair.copy_from_slice(&PAIRS[usize::from(byte)]);
        }
        Self(digits)
    }

    /// The digits as a text.
    pub fn as_str(&self) -> &str {
        // They are digits, so this is their text and never the empty one.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The two digits of every byte.
static PAIRS: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [digits[byte >> 4], digits[byte & 0xf]];
        byte += 1;
    }
    pairs
};

fn is_lower_hex_32(digits: &str) -> bool {
    digits.len() == 32 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

id128!(
    /// An order. Its upper 112 bits follow from the idempotency key, its low 16 bits are the slot of its first line.
    OrderId,
    "ord",
    "an order id (ord_ and 32 hexadecimal digits)"
);
id128!(
    /// A cart: a digest of the bearer token that reaches it, so that neither journal nor logs hold the token.
    CartId,
    "crt",
    "a cart id (crt_ and 32 hexadecimal digits)"
);
id128!(
    /// Whoever may read an order: a digest of the bearer token returned at checkout.
    BuyerId,
    "byr",
    "a buyer id (byr_ and 32 hexadecimal digits)"
);

impl OrderId {
    /// The order made under one idempotency key, living in `slot`. Only the upper 112 bits of `key_digest` count.
    #[must_use]
    pub const fn from_key(key_digest: u128, slot: Slot) -> Self {
        Self((key_digest & !0xffff) | slot.0 as u128)
    }

    /// What all orders of one idempotency key share, whatever their slot: the id with its slot bits zero.
    pub const fn key_digest(self) -> u128 {
        self.0 & !0xffff
    }
}

/// A hold on stock: the order it is for and the line's number. Deterministic, so taking it twice is harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HoldId {
    /// The order the units are held for.
    pub order: OrderId,
    /// The line of that order, from 0.
    pub line: u16,
}

impl SkuId {
    /// The longest SKU, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// `text` as a SKU.
    ///
    /// # Errors
    /// [`IdError`] when it is empty, longer than [`SkuId::MAX_BYTES`] or has another character.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > Self::MAX_BYTES || !text.bytes().all(allowed) {
            return Err(IdError { expected: "a SKU (1 to 64 letters, digits, '.', '_' or '-')" });
        }
        Ok(Self(CompactString::new(text)))
    }

    /// The SKU's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition: FNV-1a of the text, folded to 16 bits. Part of the on-disk contract: it never changes.
    #[expect(clippy::cast_possible_truncation, reason = "folding keeps the low 16 bits on purpose")]
    pub fn slot(&self) -> Slot {
        let hash = self
            .0
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Slot((hash ^ (hash >> 16) ^ (hash >> 32) ^ (hash >> 48)) as u16)
    }
}

impl CustomerId {
    /// The longest customer id, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// `text` as a customer id.
    ///
    /// # Errors
    /// [`IdError`] when it is empty, longer than [`CustomerId::MAX_BYTES`] or not printable ASCII.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if text.is_empty() || text.len() > Self::MAX_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(IdError { expected: "a customer id (1 to 64 printable ASCII characters without spaces)" });
        }
        Ok(Self(CompactString::new(text)))
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The conversions and the display that both text ids share.
macro_rules! text_id {
    ($name:ident) => {
        impl TryFrom<CompactString> for $name {
            type Error = IdError;

            fn try_from(text: CompactString) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(SkuId);
text_id!(CustomerId);
