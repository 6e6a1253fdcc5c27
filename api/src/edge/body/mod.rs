//! Reading a JSON body: bounded in bytes, time, depth and items, strict about what it holds, and clear about what is
//! wrong.
//!
//! A good body is parsed once, without bookkeeping. Only a refused one is parsed again, to name the field by JSON
//! pointer.

mod field;
mod pointer;
mod shape;
mod strict;

use std::{
    borrow::Cow,
    future::{Future as _, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use axum::{
    body::{Bytes, HttpBody},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use http_body_util::BodyExt as _;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

pub(crate) use field::{distinct_map, quantity, quantity_or_null};
use shape::ShapeError;
use strict::Strict;

use super::{
    App,
    problem::{Kind, Problem},
};
use crate::settings::{LimitSettings, Settings};

/// A JSON body as `T`, or the problem that names what is wrong.
pub(crate) struct Json<T>(pub(crate) T);

/// The same, where no body at all stands for the default.
pub(crate) struct OptionalJson<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, &app.settings).await?;
        parse(&bytes, &app.settings.limits).map(Self)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<App> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        Json::from_request(request, app).await.map(|Json(value)| Self(value))
    }
}

/// Reads a whole JSON body within the limits of bytes and time.
pub(crate) async fn read<B>(headers: &HeaderMap, body: B, settings: &Settings) -> Result<Bytes, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    check_media_type(headers)?;
    let limit = settings.limits.body_bytes;
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    let mut collecting = pin!(collect(body, limit));
    // A body that came with its head, as nearly all do, costs no timer.
    if let Poll::Ready(collected) = poll_fn(|context| Poll::Ready(collecting.as_mut().poll(context))).await {
        return collected;
    }
    let deadline = Duration::from_millis(settings.deadlines.body_ms);
    match tokio::time::timeout(deadline, collecting).await {
        Ok(collected) => collected,
        Err(_) => Err(Problem::new(Kind::RequestTimeout)),
    }
}

/// The body in one piece. One that came in one piece, as nearly all do, is not copied.
async fn collect<B>(mut body: B, limit: usize) -> Result<Bytes, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let mut whole: Cow<'static, [u8]> = Cow::Borrowed(&[]);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::new(Kind::MalformedRequest).detail("the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len().saturating_add(data.len()) > limit {
            return Err(too_large(limit));
        }
        if whole.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        whole.to_mut().extend_from_slice(&data);
    }
    Ok(Bytes::from(whole.into_owned()))
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Kind::PayloadTooLarge)
        .member("limit_bytes", limit)
        .header(header::CONNECTION, header::HeaderValue::from_static("close"))
}

/// JSON in UTF-8, as it is: nothing else is read.
fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(Problem::new(Kind::UnsupportedMediaType).detail("the body must not be encoded (Content-Encoding)"));
    }
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given == "application/json" {
        return Ok(());
    }
    let (essence, parameters) = given.split_once(';').unwrap_or((given, ""));
    let essence = essence.trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    let parameters = parameters.to_ascii_lowercase();
    let is_utf8 = !parameters.contains("charset") || parameters.contains("utf-8") || parameters.contains("utf8");
    if is_json && is_utf8 { Ok(()) } else { Err(Problem::new(Kind::UnsupportedMediaType)) }
}

/// `bytes` as `T`, strictly.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], limits: &LimitSettings) -> Result<T, Problem> {
    shape::check(bytes, limits.json_depth, limits.json_items).map_err(|error| refuse_shape(bytes, error, limits))?;
    // Checked for UTF-8 once, and not string by string. What is not UTF-8 is refused with the parser's own words.
    let parsed = match str::from_utf8(bytes) {
        Ok(text) => parse_whole(serde_json::Deserializer::from_str(text)),
        Err(_) => parse_whole(serde_json::Deserializer::from_slice(bytes)),
    };
    parsed.map_err(|error| refuse::<T>(bytes, &error))
}

/// All that `deserializer` reads, as one value.
fn parse_whole<'de, T: DeserializeOwned, R: serde_json::de::Read<'de>>(
    mut deserializer: serde_json::Deserializer<R>,
) -> Result<T, serde_json::Error> {
    let value = T::deserialize(Strict(&mut deserializer))?;
    deserializer.end()?;
    Ok(value)
}

fn refuse_shape(bytes: &[u8], error: ShapeError, limits: &LimitSettings) -> Problem {
    let (kind, at, what) = match error {
        ShapeError::TooDeep { at } => {
            (Kind::BodyTooComplex, at, format!("nested deeper than {} levels", limits.json_depth))
        }
        ShapeError::TooManyItems { at } => {
            (Kind::BodyTooComplex, at, format!("more than {} items in one list", limits.json_items))
        }
        ShapeError::Nul { at } => (Kind::MalformedJson, at, "a NUL character".to_owned()),
    };
    let (line, column) = shape::line_and_column(bytes, at);
    Problem::new(kind)
        .detail(format!("line {line}, column {column}: {what}"))
        .member("line", line)
        .member("column", column)
}

/// Names what is wrong: the place for bad syntax, the field for a value that does not fit.
fn refuse<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    if error.classify() != Category::Data && !is_json(bytes) {
        return Problem::new(Kind::MalformedJson)
            .detail(format!("line {line}, column {column}: {}", reason(error)))
            .member("line", line)
            .member("column", column);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(Strict(&mut deserializer)) else {
        return Problem::new(Kind::MalformedJson).detail(reason(error));
    };
    let why = match error.inner().classify() {
        Category::Syntax if reason(error.inner()) == "expected value" => {
            "a value of another type is expected".to_owned()
        }
        _ => reason(error.inner()),
    };
    let pointer = pointer::of(error.path(), &words(error.inner()));
    Problem::new(Kind::InvalidRequest).detail(format!("{pointer}: {why}")).field(pointer, why)
}

/// Whether `bytes` are JSON, though the parser called it a fault of syntax: a number that no machine type holds, or a
/// value where the name of a choice should be.
fn is_json(bytes: &[u8]) -> bool {
    let is_readable = match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(_) => true,
        Err(error) => reason(&error) == "number out of range",
    };
    is_readable && serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// The parser's words, whole, without its place.
fn words(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    if let Some(end) = text.rfind(" at line ") {
        text.truncate(end);
    }
    text
}

/// The parser's words for the client: not all it sent, and not what it may have meant to keep to itself.
fn reason(error: &serde_json::Error) -> String {
    let text = words(error);
    if holdfast_core::card::looks_like_card_number(&text) {
        return "not valid here, and it looks like a card number".to_owned();
    }
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests;
