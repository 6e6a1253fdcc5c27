//! Whether a client takes what we answer with (RFC 9110, section 12.5.1): JSON, or a stream of events where there is
//! one.

use axum::http::{Request, header};

use super::problem::{Kind, Problem};

/// The ranges that take JSON, and those that take a stream.
const TAKES_JSON: [&str; 4] = ["*/*", "application/*", "application/json", "application/problem+json"];
const TAKES_EVENTS: [&str; 3] = ["*/*", "text/*", "text/event-stream"];

/// The problem of a request to the API that takes none of what it could get. Weights are not read: whoever lists a type
/// takes it, unless it says `q=0`.
pub(super) fn refuse<B>(request: &Request<B>) -> Option<Problem> {
    let accept = request.headers().get(header::ACCEPT)?;
    let path = request.uri().path();
    if accept == "*/*" || !path.starts_with("/api/") {
        return None;
    }
    let taken: &[&str] = if path.ends_with("/events") { &TAKES_EVENTS } else { &TAKES_JSON };
    let ranges = request.headers().get_all(header::ACCEPT);
    let mut ranges = ranges.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let takes_one = ranges.any(|range| {
        let (range, weight) = range.split_once(';').unwrap_or((range, ""));
        let refused =
            weight.replace(' ', "").split(';').any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        !refused && taken.iter().any(|one| one.eq_ignore_ascii_case(range.trim()))
    });
    (!takes_one).then(|| Problem::new(Kind::NotAcceptable))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(path: &str, accept: &str) -> bool {
        let request = Request::builder().uri(path).header(header::ACCEPT, accept).body(()).expect("a request");
        refuse(&request).is_some()
    }

    #[test]
    fn a_client_that_takes_only_something_else_is_told_so() {
        assert!(is_refused("/api/v1/products", "text/html"));
        assert!(is_refused("/api/v1/products", "application/json;q=0"));
        assert!(!is_refused("/api/v1/products", "text/html, application/*;q=0.8"));
        assert!(!is_refused("/api/v1/products", "Application/JSON; charset=utf-8"));
        assert!(!is_refused("/docs", "text/html"));
        assert!(!is_refused("/api/v1/stock/A/events", "text/event-stream"));
        assert!(is_refused("/api/v1/stock/A/events", "application/json"));
    }
}
