//! The `Idempotency-Key` header (IETF draft-ietf-httpapi-idempotency-key-header-07): a structured-field string, or
//! bare.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::problem::{Kind, Problem};
use crate::settings::IdempotencySettings;

/// The header a key comes in.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header that marks an answer given before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The value of [`REPLAYED`].
pub(super) const TRUE: HeaderValue = HeaderValue::from_static("true");

/// The key of a request that must have one.
pub(crate) fn key<'a>(headers: &'a HeaderMap, settings: &IdempotencySettings) -> Result<&'a str, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let missing = || Problem::new(Kind::IdempotencyKeyMissing).field("Idempotency-Key", "this header is required");
    let value = values.next().ok_or_else(missing)?;
    if values.next().is_some() {
        return Err(malformed("the header comes more than once"));
    }
    let text = value.to_str().map_err(|_| malformed("only printable ASCII characters are allowed"))?.trim();
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    if !bare.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')) {
        return Err(malformed("spaces, quotes and backslashes are not allowed within a key"));
    }
    let allowed = settings.min_key_bytes..=settings.max_key_bytes;
    if !allowed.contains(&bare.len()) {
        let problem = format!("a key has {} to {} characters, not {}", allowed.start(), allowed.end(), bare.len());
        return Err(malformed(&problem));
    }
    Ok(bare)
}

fn malformed(why: &str) -> Problem {
    Problem::new(Kind::IdempotencyKeyMalformed).detail(why.to_owned()).field("Idempotency-Key", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<String, Kind> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value.as_bytes()).expect("a header value"));
        }
        key(&headers, &IdempotencySettings::default()).map(ToOwned::to_owned).map_err(|problem| problem.kind())
    }

    #[test]
    fn a_key_is_taken_quoted_or_bare_and_means_the_same() {
        assert_eq!(read(&["0123456789abcdef"]), Ok("0123456789abcdef".to_owned()));
        assert_eq!(read(&["\"0123456789abcdef\""]), Ok("0123456789abcdef".to_owned()));
    }

    #[test]
    fn a_missing_repeated_short_long_or_odd_key_is_refused() {
        assert_eq!(read(&[]), Err(Kind::IdempotencyKeyMissing));
        assert_eq!(read(&["0123456789abcdef", "0123456789abcdef"]), Err(Kind::IdempotencyKeyMalformed));
        assert_eq!(read(&["0123456789abcde"]), Err(Kind::IdempotencyKeyMalformed));
        assert_eq!(read(&[&"x".repeat(256)]), Err(Kind::IdempotencyKeyMalformed));
        assert_eq!(read(&["0123456789 abcdef"]), Err(Kind::IdempotencyKeyMalformed));
        assert_eq!(read(&["\"0123456789abcdef"]), Err(Kind::IdempotencyKeyMalformed));
        assert_eq!(read(&["0123456789abcd\u{e9}f"]), Err(Kind::IdempotencyKeyMalformed));
        assert_eq!(read(&[""]), Err(Kind::IdempotencyKeyMalformed));
    }
}
