//! Refusals and faults as RFC 9457 problem details. Everything the edge answers that is not a success goes through
//! [`Problem`], so no error body can have another form and none can leak an internal.
//!
//! A refusal is as frequent as a sale once a SKU is sold out, so building one costs one allocation for the content and
//! one for the bytes: texts that do not vary are `&'static str`, and members are typed, not a JSON tree.

mod doc;
mod kind;
mod refusal;

use std::{borrow::Cow, sync::OnceLock};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use metrics::Counter;
use serde::{Serialize, Serializer, ser::SerializeMap};

pub use doc::{FieldErrorDoc, ProblemDoc};
pub use kind::{Kind, TYPE_BASE};

/// The media type of every problem.
pub const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// When to try again what cannot be done now, unless somebody knows better, in milliseconds.
const RETRY_AFTER_MS: u64 = 1_000;

/// One refusal or fault, ready to be answered. Small to pass around; the content is boxed.
#[derive(Debug)]
pub struct Problem(Box<Content>);

#[derive(Debug)]
struct Content {
    kind: Kind,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    members: Vec<(&'static str, Member)>,
    headers: Vec<(header::HeaderName, HeaderValue)>,
    retry_after_ms: Option<u64>,
}

/// What is wrong with one field, parameter or header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// A JSON pointer into the body (`/lines/0/quantity`), or the name of a parameter or header.
    pub field: String,
    /// What is wrong with it.
    pub detail: String,
}

/// The value of an extension member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Member {
    /// A number.
    Count(u64),
    /// A number that may be negative.
    Amount(i64),
    /// A text.
    Text(String),
}

impl From<u64> for Member {
    fn from(value: u64) -> Self {
        Self::Count(value)
    }
}

impl From<u32> for Member {
    fn from(value: u32) -> Self {
        Self::Count(u64::from(value))
    }
}

impl From<usize> for Member {
    fn from(value: usize) -> Self {
        Self::Count(value as u64)
    }
}

impl From<i64> for Member {
    fn from(value: i64) -> Self {
        Self::Amount(value)
    }
}

impl From<String> for Member {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Member {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl Problem {
    /// A problem of this kind; without more, its detail is the kind's general explanation, and one that passes is to be tried
    /// again after a second.
    pub fn new(kind: Kind) -> Self {
        let passes = kind.status() == StatusCode::SERVICE_UNAVAILABLE;
        Self(Box::new(Content {
            kind,
            detail: Cow::Borrowed(kind.about()),
            errors: Vec::new(),
            members: Vec::new(),
            headers: Vec::new(),
            retry_after_ms: passes.then_some(RETRY_AFTER_MS),
        }))
    }

    /// What happened this time, for people.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// Names a field and what is wrong with it.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.errors.push(FieldError { field: field.into(), detail: detail.into() });
        self
    }

    /// Names several fields at once.
    #[must_use]
    pub fn fields(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors.extend(errors);
        self
    }

    /// Adds an extension member for programs.
    #[must_use]
    pub fn member(mut self, name: &'static str, value: impl Into<Member>) -> Self {
        self.0.members.push((name, value.into()));
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// When to try again, in milliseconds from now; answered as `Retry-After` in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after_ms(mut self, millis: u64) -> Self {
        self.0.retry_after_ms = Some(millis);
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The JSON body.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(TYPICAL_BYTES);
        // Serializing strings and integers into memory cannot fail; an empty object would still be a valid problem.
        serde_json::to_writer(&mut bytes, self).map_or_else(|_| Bytes::from_static(b"{}"), |()| Bytes::from(bytes))
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let content = &*self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", content.kind.type_uri())?;
        map.serialize_entry("title", content.kind.title())?;
        map.serialize_entry("status", &content.kind.status().as_u16())?;
        map.serialize_entry("detail", &content.detail)?;
        if !content.errors.is_empty() {
            map.serialize_entry("errors", &content.errors)?;
        }
        for (name, member) in &content.members {
            map.serialize_entry(name, member)?;
        }
        if let Some(millis) = content.retry_after_ms {
            map.serialize_entry("retry_after_ms", &millis)?;
        }
        map.end()
    }
}

/// Room for a typical problem, in bytes.
const TYPICAL_BYTES: usize = 320;

/// How many of each kind were answered, by the kind's place in [`Kind::ALL`].
static ANSWERED: [OnceLock<Counter>; Kind::ALL.len()] = [const { OnceLock::new() }; Kind::ALL.len()];

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let kind = self.0.kind;
        let counter = &ANSWERED[kind as usize];
        counter.get_or_init(|| metrics::counter!("holdfast_http_problems_total", "type" => kind.slug())).increment(1);
        let mut response = Response::new(Body::from(self.to_bytes()));
        *response.status_mut() = self.0.kind.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(millis) = self.0.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(millis.div_ceil(1_000).max(1)));
        }
        for (name, value) in self.0.headers {
            headers.insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_passes_says_when_to_try_again() {
        for kind in Kind::ALL {
            let response = Problem::new(*kind).into_response();
            let passes = kind.status() == StatusCode::SERVICE_UNAVAILABLE;
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), passes, "{kind:?}");
        }
    }

    #[test]
    fn a_problem_carries_its_type_its_fields_and_its_members() {
        let problem = Problem::new(Kind::InsufficientStock)
            .detail("3 requested, 1 available")
            .field("/lines/0/quantity", "3 requested")
            .member("available", 1_u64)
            .retry_after_ms(1_200);
        assert_eq!(
            String::from_utf8_lossy(&problem.to_bytes()),
            "{\"type\":\"https://holdfast.dev/problems/insufficient-stock\",\"title\":\"Not enough units are available\",\
             \"status\":409,\"detail\":\"3 requested, 1 available\",\"errors\":[{\"field\":\"/lines/0/quantity\",\
             \"detail\":\"3 requested\"}],\"available\":1,\"retry_after_ms\":1200}"
        );
        let response = problem.into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
    }

    #[test]
    fn every_kind_has_its_own_type_and_an_error_status() {
        for (index, kind) in Kind::ALL.iter().enumerate() {
            assert!(kind.status().is_client_error() || kind.status().is_server_error());
            assert!(Kind::ALL.iter().skip(index + 1).all(|other| other.slug() != kind.slug()));
            assert_eq!(kind.type_uri().strip_prefix(TYPE_BASE), Some(kind.slug()));
            assert_eq!(Kind::from_slug(kind.slug()), Some(*kind));
        }
    }
}
