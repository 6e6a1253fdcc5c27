//! Whole requests against the public routes of a server whose node is not there: everything a request brings is read, and
//! what would go on to the shop is answered 503.
//!
//! Must hold: no other fault is answered; whatever is refused is a problem, in JSON, of bounded size.

use std::cell::RefCell;

use axum::{
    body::Bytes,
    http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header},
};
use holdfast_api::{Settings, edge::probe::Edge, settings::Secret};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// What requests are made of.
pub(crate) const WORDS: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"/api/v1/orders",
    b"/api/v1/products",
    b"/api/v1/cart/items",
    b"?limit=",
    b"&cursor=",
    b"%00",
    b"%ff",
    b"%2F",
    b"+",
    b"\nIf-Match: \"p1-s1\"",
    b"\nIf-Match: *",
    b"\nIf-None-Match: ",
    b"\nIdempotency-Key: ",
    b"\nX-Cart-Token: cart_",
    b"\nAuthorization: Bearer ",
    b"\nAccept: ",
    b"\nContent-Type: application/json",
    b"\nContent-Length: 0",
    b"\nContent-Encoding: gzip",
    b";q=0",
    b"\n\n",
    b"{\"lines\":[",
    b"18446744073709551616",
    b"0000000000000000",
    b"admin-token-for-fuzzing-0123456789",
];

/// The admin's token, so that what only the admin may send is read too.
const ADMIN: &str = "admin-token-for-fuzzing-0123456789";
/// The most bytes of an answer: the document and the pages are the longest.
const MAX_ANSWER: usize = 512 << 10;
/// The most bytes of a problem, beside what it repeats of the request.
const MAX_PROBLEM: usize = 4_096;

thread_local! {
    static EDGE: RefCell<Option<(Runtime, Edge)>> = const { RefCell::new(None) };
}

/// A request written as HTTP/1.1 writes it, but for the version: `POST /path\nName: value\n\nbody`.
pub(crate) fn run(bytes: &[u8]) {
    let Some(request) = read(bytes) else { return };
    let response = EDGE.with_borrow_mut(|edge| {
        // What the first request sets up stays: it is no memory of this one.
        let (runtime, edge) = match edge {
            Some(edge) => edge,
            none => set_up(none),
        };
        runtime.block_on(edge.answer(request))
    });
    check(bytes, &response);
}

fn set_up(slot: &mut Option<(Runtime, Edge)>) -> &mut (Runtime, Edge) {
    allocation_counter::opt_out(|| {
        let mut settings = Settings::default();
        settings.admin.token = Some(Secret::new(ADMIN));
        let runtime = Builder::new_current_thread().enable_time().build();
        let edge = Edge::new(settings);
        match (runtime, edge) {
            (Ok(runtime), Ok(edge)) => {
                for built_once in ["/api/v1/openapi.json", "/docs"] {
                    runtime.block_on(edge.answer(Request::get(built_once).body(Bytes::new()).unwrap_or_default()));
                }
                *slot = Some((runtime, edge));
            }
            _ => panic!("the edge cannot be set up"),
        }
    });
    match slot {
        Some(edge) => edge,
        None => panic!("the edge was not set up"),
    }
}

/// The request, if it is one that the HTTP library lets through.
fn read(bytes: &[u8]) -> Option<Request<Bytes>> {
    let at = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap_or(bytes.len());
    let (head, body) = (&bytes[..at], bytes.get(at + 2..).unwrap_or_default());
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = lines.next()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let method = Method::from_bytes(&first[..space]).ok()?;
    let uri: Uri = Uri::try_from(&first[space + 1..]).ok().filter(|uri| uri.path().starts_with('/'))?;
    let mut request = Request::new(Bytes::copy_from_slice(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request)
}

fn check(request: &[u8], response: &Response<Bytes>) {
    let (status, body) = (response.status(), response.body());
    assert!(!status.is_server_error() || status.as_u16() == 503, "{status}: {}", String::from_utf8_lossy(body));
    assert!(body.len() <= MAX_ANSWER, "an answer of {} bytes", body.len());
    if status.is_client_error() || status.is_server_error() {
        assert!(body.len() <= MAX_PROBLEM + 8 * request.len(), "a problem of {} bytes", body.len());
        let media_type = response.headers().get(header::CONTENT_TYPE);
        assert_eq!(media_type.map(HeaderValue::as_bytes), Some(&b"application/problem+json"[..]), "{status}");
        let problem: Value = serde_json::from_slice(body).unwrap_or_default();
        assert_eq!(problem["status"], status.as_u16(), "{}", String::from_utf8_lossy(body));
    }
}
