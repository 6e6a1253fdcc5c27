//! Values as PostgreSQL takes them in binary: amounts, instants, and whatever prints itself.
//!
//! Invariant: nothing a buyer or a merchant wrote can make a row unwritable. A NUL character, which PostgreSQL's text cannot
//! hold, becomes U+FFFD; an instant beyond its range becomes infinity.

use std::{
    error::Error,
    fmt::{Debug, Display, Write as _},
};

use bytes::{BufMut as _, BytesMut};
use holdfast_core::{Money, Timestamp};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

type Written = Result<IsNull, Box<dyn Error + Sync + Send>>;

/// A text that PostgreSQL takes.
pub(super) fn text(text: &str) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.to_owned() }
}

/// Anything, as the text it prints itself as. Its text must not have NUL characters: ids, codes and statuses have none.
#[derive(Debug)]
pub(super) struct Shown<T>(pub(super) T);

impl<T: Display + Debug> ToSql for Shown<T> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Written {
        write!(out, "{}", self.0)?;
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TEXT
    }

    to_sql_checked!();
}

/// An instant as `timestamptz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::postgres) struct Instant(pub(in crate::postgres) Timestamp);

/// From the Unix epoch to PostgreSQL's, 2000-01-01, in milliseconds.
const EPOCH_MS: i64 = 946_684_800_000;
/// The last instant PostgreSQL can show, at the end of the year 294276, in microseconds of its epoch.
const LAST_US: i64 = 9_223_371_331_199_999_999;
/// The first one, in the year 4713 before Christ, likewise.
const FIRST_US: i64 = -211_813_488_000_000_000;

impl ToSql for Instant {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Written {
        let micros = self.0.as_millis().checked_sub(EPOCH_MS).and_then(|millis| millis.checked_mul(1_000));
        out.put_i64(match micros {
            Some(micros) if (FIRST_US..=LAST_US).contains(&micros) => micros,
            // Infinity and its negative.
            _ if self.0.as_millis() > 0 => i64::MAX,
            _ => i64::MIN,
        });
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

/// An amount as `numeric`, in major units with its currency's decimal places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Amount(pub(super) Money);

const NEGATIVE: u16 = 0x4000;
/// PostgreSQL counts a numeric's digits in groups of four.
const GROUP_DIGITS: u8 = 4;
const GROUP: u128 = 10_000;

impl ToSql for Amount {
    /// `groups | weight of the first | sign | decimal places | groups, each below 10,000`.
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Written {
        let places = self.0.currency().exponent();
        let padding = (GROUP_DIGITS - places % GROUP_DIGITS) % GROUP_DIGITS;
        let mut rest = u128::from(self.0.minor().unsigned_abs()) * 10_u128.pow(padding.into());
        // 64 bits and three more digits fit into six groups.
        let mut groups = [0_u16; 8];
        let mut count = 0_usize;
        while rest > 0 {
            groups[count] = u16::try_from(rest % GROUP)?;
            rest /= GROUP;
            count += 1;
        }
        let fraction = i16::from(places.div_ceil(GROUP_DIGITS));
        let number = i16::try_from(count)?;
        out.put_i16(number);
        out.put_i16(if number == 0 { 0 } else { number - fraction - 1 });
        out.put_u16(if self.0.is_negative() { NEGATIVE } else { 0 });
        out.put_u16(places.into());
        for group in groups[..count].iter().rev() {
            out.put_u16(*group);
        }
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::NUMERIC
    }

    to_sql_checked!();
}

/// A count or a version as `int8`: none of ours comes near its end.
pub(super) fn int8(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A place in a list as `int2`: no list of ours is that long.
pub(super) fn int2(value: usize) -> i16 {
    i16::try_from(value).unwrap_or(i16::MAX)
}
