//! What goes over the wire: bodies as clients write and read them, apart from the domain, so that either can change
//! without the other. Answers borrow what they show; nothing is copied to be serialized.

pub(crate) mod cart;
pub(crate) mod checkout;
pub(crate) mod findings;
pub(crate) mod money;
pub(crate) mod order;
pub(crate) mod product;
pub(crate) mod stock;

use std::fmt::Display;

use holdfast_core::Timestamp;
use serde::{Deserialize, Deserializer, Serializer, de::Error};

use super::instant;

/// Writes an id as its text.
pub(crate) fn as_text<T: Display, S: Serializer>(id: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// Writes an instant as RFC 3339.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
pub(crate) fn as_instant<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&instant::text(*at))
}

/// Writes an instant as RFC 3339, where there is one.
#[expect(clippy::ref_option, reason = "the signature serde asks for")]
pub(crate) fn as_instant_or_null<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => as_instant(at, serializer),
        None => serializer.serialize_none(),
    }
}

/// Reads an RFC 3339 instant, or null.
pub(crate) fn instant_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    instant::parse(&text).map(Some).map_err(D::Error::custom)
}
