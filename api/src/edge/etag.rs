//! Entity tags made of versions, and the conditions a request may put on them (RFC 9110, section 13).
//!
//! A tag names each part with a letter: `"p3-s10"` is a product at version 3 with stock at version 10. A write states
//! the part it is about, so a price can be changed under `If-Match` while its stock sells by the second.

use std::fmt::Display;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
};

use super::{
    App,
    problem::{Kind, Problem},
};

/// What `If-Match` asks for.
pub(crate) struct IfMatch(Option<String>);

impl IfMatch {
    /// Reads the header.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(value) = headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(tag) if !tag.contains('"') => Ok(Self(Some(tag.to_owned()))),
            // A weak tag never matches a write; a list of tags names states that cannot all be current.
            _ if text.starts_with("W/") => {
                Err(Problem::new(Kind::PreconditionFailed).detail("a weak tag never matches"))
            }
            _ => Err(Problem::new(Kind::InvalidHeader).field("If-Match", "one entity tag in double quotes, or *")),
        }
    }

    /// The version asked for of the part named by `letter`; `None` when any will do.
    pub(crate) fn version(&self, letter: char) -> Result<Option<u64>, Problem> {
        let Some(tag) = &self.0 else { return Ok(None) };
        let part = tag.split('-').find_map(|part| part.strip_prefix(letter));
        let version = part.and_then(|digits| digits.parse().ok());
        // A tag that is not one of ours names a state that is not the current one.
        version
            .map(Some)
            .ok_or_else(|| Problem::new(Kind::PreconditionFailed).detail("the tag is not of this resource"))
    }
}

impl FromRequestParts<App> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Problem> {
        Self::of(&parts.headers)
    }
}

/// The header value of a tag.
pub(crate) fn header_value(tag: impl Display) -> HeaderValue {
    // Letters, digits and hyphens are always valid.
    HeaderValue::try_from(format!("\"{tag}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Whether the client has this state already, by `If-None-Match` (weak comparison).
pub(crate) fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let given = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let tag = tag.to_str().unwrap_or_default();
    given.is_some_and(|given| {
        given.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &str, letter: char) -> Result<Option<u64>, Kind> {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_MATCH, value.parse().expect("a header value"));
        IfMatch::of(&headers).and_then(|tag| tag.version(letter)).map_err(|problem| problem.kind())
    }

    #[test]
    fn a_condition_is_read_for_the_part_it_is_about() {
        assert_eq!(asked("\"p3-s10\"", 'p'), Ok(Some(3)));
        assert_eq!(asked("\"p3-s10\"", 's'), Ok(Some(10)));
        assert_eq!(asked("*", 'p'), Ok(None));
        assert_eq!(asked("\"c3\"", 'p'), Err(Kind::PreconditionFailed));
        assert_eq!(asked("W/\"p3\"", 'p'), Err(Kind::PreconditionFailed));
        assert_eq!(asked("p3", 'p'), Err(Kind::InvalidHeader));
    }

    #[test]
    fn a_known_state_is_recognized_in_a_list_and_weakly() {
        let tag = header_value("p3-s10");
        let known = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, value.parse().expect("a header value"));
            is_known(&headers, &tag)
        };
        assert!(known("\"x\", W/\"p3-s10\""));
        assert!(known("*"));
        assert!(!known("\"p3-s11\""));
    }
}
