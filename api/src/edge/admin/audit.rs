//! Who asks an operator's call, and the line about it in the log: target `audit`; who, what, about what, with what outcome.
//!
//! Invariant: every call that needs the admin token leaves exactly one line, also the one that was refused for lack of it.
//! Why a name beside the token: there is one token, and "admin" did it is no answer the day after. The name is what the
//! caller says (`X-Operator`); whoever has the token is believed.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, request::Parts},
};

use crate::{
    edge::{
        App,
        auth::Admin,
        problem::{Kind, Problem},
        reply::Answer,
    },
    telemetry::AUDIT,
};

/// The header in which an operator says who they are.
pub(crate) const OPERATOR: HeaderName = HeaderName::from_static("x-operator");

/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Who is called so that says nothing.
const NOBODY: &str = "admin";

/// Somebody with the admin token, by the name they give.
#[derive(Debug)]
pub(crate) struct Operator {
    name: String,
}

impl Operator {
    /// What they call themselves.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Leaves the line about a call and hands its answer on. `subject` is the shard or node it is about.
    pub(crate) fn note(&self, call: &'static str, subject: &str, answer: Answer) -> Answer {
        let by = self.name();
        match &answer {
            Ok(answered) => {
                tracing::info!(target: AUDIT, by, call, subject, outcome = answered.status().as_u16(), "operator");
            }
            Err(problem) => {
                tracing::info!(target: AUDIT, by, call, subject, outcome = problem.kind().slug(), "operator");
            }
        }
        answer
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let is_admin = Admin::from_request_parts(parts, app).await.map(|_| ());
        let operator = is_admin.and_then(|()| name(&parts.headers).map(|name| Self { name }));
        operator.inspect_err(|problem| {
            // Neither the name nor the path of somebody without the token is worth a line they could make long.
            let (call, outcome) = (parts.method.as_str(), problem.kind().slug());
            let path: String = parts.uri.path().chars().take(MAX_NAME_BYTES).collect();
            tracing::info!(target: AUDIT, by = "?", call, subject = path, outcome, "operator");
        })
    }
}

/// The name in the header; what is no plain name is refused, because it goes into the log and into the plan.
fn name(headers: &HeaderMap) -> Result<String, Problem> {
    let Some(value) = headers.get(OPERATOR) else { return Ok(NOBODY.to_owned()) };
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.@+".contains(byte);
    match value.to_str() {
        Ok(name) if (1..=MAX_NAME_BYTES).contains(&name.len()) && name.as_bytes().iter().all(is_plain) => {
            Ok(name.to_owned())
        }
        _ => {
            let expected = format!("1 to {MAX_NAME_BYTES} letters, digits or any of -_.@+");
            Err(Problem::new(Kind::InvalidHeader).field("X-Operator", expected))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn an_operator_is_who_they_say_unless_that_would_not_fit_into_a_line() {
        let named = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(OPERATOR, HeaderValue::from_str(value).expect("a header"));
            name(&headers).ok()
        };
        assert_eq!(name(&HeaderMap::new()).ok().as_deref(), Some("admin"));
        assert_eq!(named("jo.doe+ops@shop").as_deref(), Some("jo.doe+ops@shop"));
        for wrong in ["", "two words", "a\"b", &"x".repeat(65)] {
            assert_eq!(named(wrong), None, "{wrong:?}");
        }
    }
}
