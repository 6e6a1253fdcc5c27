//! Every body a request can have, read as the handlers read it.
//!
//! Must hold: a body that is accepted names no field twice, and means the same when it is written another way; one that is
//! refused gets a problem of bounded size, whose pointers lead into the body, and which repeats no card number.

use std::collections::BTreeSet;

use holdfast_api::{
    edge::{
        probe::{BODIES, read_body},
        problem::Problem,
    },
    settings::LimitSettings,
};
use holdfast_core::card::looks_like_card_number;
use serde_json::Value;

/// What bodies are made of.
pub(crate) const WORDS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"[[[[[[[[",
    b"\"",
    b":",
    b",",
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1",
    b"1e400",
    b"1.0",
    b"2147483648",
    b"18446744073709551615",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"\\u0000",
    b"\\ud800",
    b"\0",
    b"\xff",
    b"4111111111111111",
    b"4111 1111 1111 1111",
    b"`",
    b"~1",
    b"/",
    b"\"sku\":\"A\",",
    b"\"quantity\":1",
    b"\"lines\":[",
    b"\"payment\":{\"token\":\"tok_approve\"}",
    b"\"amount_minor\":1",
    b"\"currency\":\"EUR\"",
    b"\"metadata\":{",
    b"\"options\":{",
    b"\"sale\":{",
    b"\"opens_at\":\"2026-01-01T00:00:00Z\"",
    b"-999999999-01-01T00:00:00Z",
    b"\"unknown\":1,",
];

/// The first byte says which body the rest is read as.
pub(crate) fn run(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let name = BODIES[usize::from(*which) % BODIES.len()];
    let limits = LimitSettings::default();
    match read_body(name, bytes, &limits) {
        Some(Ok(read)) => check_accepted(name, bytes, &read, &limits),
        Some(Err(problem)) => check_refused(bytes, &problem),
        None => panic!("{name} is no body"),
    }
}

fn check_accepted(name: &str, bytes: &[u8], read: &str, limits: &LimitSettings) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { panic!("{name} was accepted, and is no JSON") };
    assert!(serde_json::from_slice::<Distinct>(bytes).is_ok(), "{name} was accepted with a field named twice");
    let otherwise = serde_json::to_vec_pretty(&value).unwrap_or_default();
    match read_body(name, &otherwise, limits) {
        Some(Ok(again)) => assert_eq!(again, read, "{name} means something else when its fields are in order"),
        _ => panic!("{name} is refused when its fields are in order"),
    }
}

fn check_refused(bytes: &[u8], problem: &Problem) {
    let status = problem.kind().status().as_u16();
    assert!(matches!(status, 400 | 422), "a body was answered {status}");
    let text = problem.to_bytes();
    assert!(text.len() <= 4_096 + bytes.len() * 8, "{} bytes about a body of {}", text.len(), bytes.len());
    let Ok(told) = serde_json::from_slice::<Value>(&text) else { panic!("a problem is no JSON") };
    let errors = told["errors"].as_array().map_or(&[][..], Vec::as_slice);
    for error in errors {
        let (Some(field), Some(_)) = (error["field"].as_str(), error["detail"].as_str()) else {
            panic!("an error without a field or a detail: {error}");
        };
        check_pointer(bytes, field);
    }
    assert!(!looks_like_card_number(&String::from_utf8_lossy(&text)), "a card number was repeated");
}

/// The pointer leads to a value, or to a field that is missing from an object.
fn check_pointer(bytes: &[u8], pointer: &str) {
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else { return };
    let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    assert!(body.pointer(pointer).is_some() || body.pointer(parent).is_some(), "{pointer} leads nowhere");
}

/// JSON in which no object names a field twice.
struct Distinct;

impl<'de> serde::Deserialize<'de> for Distinct {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> serde::de::Visitor<'de> for Distinct {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut access: A) -> Result<Self, A::Error> {
        while access.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut access: A) -> Result<Self, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some((key, Self)) = access.next_entry::<String, Self>()? {
            if !seen.insert(key) {
                return Err(serde::de::Error::custom("a field is named twice"));
            }
        }
        Ok(self)
    }
}
