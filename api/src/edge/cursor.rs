//! Opaque cursors: where a listing goes on, written so that a client cannot mistake it for something to build itself.
//!
//! A checksum tells a cursor that was cut short, edited or meant for another listing from one of ours: it is refused,
//! and never quietly read as the beginning.

use std::fmt::Write as _;

use holdfast_core::{OrderId, SkuId, Timestamp};

use super::problem::{Kind, Problem};

/// Bytes of checksum.
const CHECK: usize = 4;
const PRODUCTS: u8 = b'p';
const ORDERS: u8 = b'o';

/// After this product.
pub(crate) fn after_product(sku: &SkuId) -> String {
    encode(PRODUCTS, sku.as_str().as_bytes())
}

/// The product to go on after.
pub(crate) fn product(cursor: &str) -> Result<SkuId, Problem> {
    let payload = decode(PRODUCTS, cursor).ok_or_else(bad)?;
    std::str::from_utf8(&payload).ok().and_then(|text| SkuId::parse(text).ok()).ok_or_else(bad)
}

/// Before this order.
pub(crate) fn before_order(placed_at: Timestamp, id: OrderId) -> String {
    let mut payload = placed_at.as_millis().to_be_bytes().to_vec();
    payload.extend_from_slice(&id.as_u128().to_be_bytes());
    encode(ORDERS, &payload)
}

/// The order to go on before.
pub(crate) fn order(cursor: &str) -> Result<(Timestamp, OrderId), Problem> {
    let payload = decode(ORDERS, cursor).ok_or_else(bad)?;
    let (at, id) = payload.split_at_checked(8).ok_or_else(bad)?;
    let at = i64::from_be_bytes(at.try_into().map_err(|_| bad())?);
    let id = u128::from_be_bytes(id.try_into().map_err(|_| bad())?);
    Ok((Timestamp::from_millis(at), OrderId::from_u128(id)))
}

fn bad() -> Problem {
    Problem::new(Kind::InvalidCursor).field("cursor", "not a cursor of this listing")
}

fn encode(kind: u8, payload: &[u8]) -> String {
    let mut text = String::with_capacity((CHECK + payload.len()) * 2);
    for byte in check(kind, payload).iter().chain(payload) {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn decode(kind: u8, cursor: &str) -> Option<Vec<u8>> {
    if cursor.len() > 2 * (CHECK + SkuId::MAX_BYTES) {
        return None;
    }
    let (pairs, rest) = cursor.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    let bytes = pairs.iter().map(byte).collect::<Option<Vec<u8>>>()?;
    let (given, payload) = bytes.split_at_checked(CHECK)?;
    (rest.is_empty() && given == check(kind, payload)).then(|| payload.to_vec())
}

fn check(kind: u8, payload: &[u8]) -> [u8; CHECK] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"cursor").update(&[kind]).update(payload);
    let mut first = [0; CHECK];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..CHECK]);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let sku = SkuId::parse("TEE-01").expect("a SKU");
        assert_eq!(product(&after_product(&sku)).ok(), Some(sku));
        let place = (Timestamp::from_millis(-5), OrderId::from_u128(u128::MAX));
        assert_eq!(order(&before_order(place.0, place.1)).ok(), Some(place));
    }

    #[test]
    fn a_changed_cut_or_foreign_cursor_is_refused() {
        let cursor = after_product(&SkuId::parse("TEE-01").expect("a SKU"));
        for at in 0..cursor.len() {
            assert!(product(&cursor[..at]).is_err());
            let mut changed = cursor.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert!(product(&String::from_utf8_lossy(&changed)).is_err());
        }
        assert!(order(&cursor).is_err());
        assert!(product(&cursor.to_uppercase()).is_err());
        assert!(product(&"0".repeat(100_001)).is_err());
        assert!(product("\u{e9}\u{e9}").is_err());
    }
}
