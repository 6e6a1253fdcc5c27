//! Answers that are not problems.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;

use super::{
    etag,
    problem::{Kind, Problem},
};

/// What every handler answers with.
pub(crate) type Answer = Result<Response, Problem>;

/// The media type of every answer that is not a problem.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Room for a typical answer, in bytes: an order with a line or two.
const TYPICAL_BYTES: usize = 768;

/// `body` as JSON. Private and changing data: nothing between us and the client may keep it.
pub(crate) fn json<T: Serialize>(status: StatusCode, body: &T) -> Answer {
    let mut bytes = Vec::with_capacity(TYPICAL_BYTES);
    serde_json::to_writer(&mut bytes, body).map_err(|error| {
        tracing::error!(%error, "an answer could not be written as JSON");
        Problem::new(Kind::Internal)
    })?;
    Ok(written(status, bytes))
}

/// A body that is JSON already, under the same headers.
pub(crate) fn written(status: StatusCode, json: impl Into<Body>) -> Response {
    let mut response = Response::new(json.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `body` as JSON with its tag; 304 without it when the client has this state already.
pub(crate) fn tagged<T: Serialize>(headers: &HeaderMap, tag: impl std::fmt::Display, body: &T) -> Answer {
    let tag = etag::header_value(tag);
    if etag::is_known(headers, &tag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(header::ETAG, tag);
        return Ok(response);
    }
    let mut response = json(StatusCode::OK, body)?;
    response.headers_mut().insert(header::ETAG, tag);
    // It may be kept, but must be asked about before it is shown again.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

/// The same answer with one more header.
pub(crate) fn with(mut response: Response, name: header::HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().insert(name, value);
    response
}
