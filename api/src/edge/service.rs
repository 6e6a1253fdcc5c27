//! What happens around every request: its id, its place in the metrics, its span. Everything else is a handler's.
//!
//! This is the hot path: it allocates the request id and nothing else, and logs nothing above debug unless a fault is
//! answered.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderName, HeaderValue},
    response::{IntoResponse as _, Response},
};
use hyper::body::Incoming;
use tower::Service as _;
use tracing::Instrument as _;

use super::{
    App, acceptable, host,
    pulse::{Phase, Pulse},
    routes,
    traffic::{Route, Traffic},
};

/// The header a request id comes and goes in.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id taken over from a client, in bytes.
const MAX_REQUEST_ID: usize = 64;

/// The router of one listener and what surrounds it.
#[derive(Clone)]
pub(crate) struct Service {
    router: Router,
    shared: Arc<Shared>,
}

struct Shared {
    listener: &'static str,
    /// The shop, where orders are placed.
    shop: Option<App>,
    traffic: Traffic,
    ids: AtomicU64,
}

impl Service {
    /// Answers with `router`. `seed` sets where the request ids begin, so that two runs of the server do not share any.
    pub(crate) fn new(listener: &'static str, router: Router, seed: u64) -> Self {
        Self::with(listener, None, router, seed)
    }

    /// The same for the listener of `shop`: orders are placed without a detour. A sale is made of this one request, and the
    /// router would put its body, its future and the parameters it does not have into six boxes.
    pub(crate) fn selling(listener: &'static str, shop: App, router: Router, seed: u64) -> Self {
        Self::with(listener, Some(shop), router, seed)
    }

    fn with(listener: &'static str, shop: Option<App>, router: Router, seed: u64) -> Self {
        let (traffic, ids) = (Traffic::default(), AtomicU64::new(seed));
        Self { router, shared: Arc::new(Shared { listener, shop, traffic, ids }) }
    }

    /// The listener's name in the metrics.
    pub(crate) fn listener_name(&self) -> &'static str {
        self.shared.listener
    }

    /// Answers one request.
    pub(crate) fn call<'a>(
        &'a self,
        request: hyper::Request<Incoming>,
        pulse: &'a Pulse,
    ) -> impl Future<Output = Result<Response, Infallible>> + Send + 'a {
        let began = now();
        pulse.enter(Phase::Serving);
        let route = Traffic::classify(request.method(), request.uri().path());
        let id = self.request_id(&request);
        let span = tracing::debug_span!("request", id = ?id, method = %request.method(), path = request.uri().path());
        let refused = host::refuse(&request).or_else(|| acceptable::refuse(&request));
        async move {
            let mut response = match (refused, &self.shared.shop) {
                (Some(problem), _) => problem.into_response(),
                (None, Some(shop)) if route == Route::PlaceOrder => {
                    let (parts, body) = request.into_parts();
                    routes::place_order(shop, &parts.headers, body).await.into_response()
                }
                (None, _) => self.router.clone().call(request.map(Body::new)).await?,
            };
            let status = response.status();
            if status.is_server_error() && status != hyper::StatusCode::SERVICE_UNAVAILABLE {
                tracing::error!(?id, %status, "a fault was answered");
            }
            pulse.linger(leaves_body_unread(status));
            response.headers_mut().insert(REQUEST_ID, id);
            self.shared.traffic.record(route, status, began.elapsed());
            tracing::debug!(%status, "answered");
            pulse.enter(Phase::Idle);
            Ok(response)
        }
        .instrument(span)
    }

    /// The client's request id if it is sane, else a new one.
    fn request_id<B>(&self, request: &hyper::Request<B>) -> HeaderValue {
        let sane = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        match request.headers().get(REQUEST_ID) {
            Some(id) if (1..=MAX_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(sane) => id.clone(),
            _ => fresh_id(self.shared.ids.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// The answers that may be given before the body was read to its end.
fn leaves_body_unread(status: hyper::StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 401 | 403 | 404 | 405 | 406 | 408 | 413 | 415 | 503)
}

/// Sixteen hexadecimal digits from a counter, spread so that neighbors do not look alike.
fn fresh_id(count: u64) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bits = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut text = [b'0'; 16];
    for (index, digit) in text.iter_mut().enumerate() {
        *digit = DIGITS[usize::try_from(bits >> (index * 4) & 0xf).unwrap_or_default()];
    }
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

/// When a request began, for its duration.
#[expect(clippy::disallowed_methods, reason = "telemetry measures how long an answer took; no decision depends on it")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_request_id_is_kept_and_another_is_replaced() {
        let service = Service::new("test", Router::new(), 1);
        let with = |id: &str| hyper::Request::builder().header(REQUEST_ID, id).body(()).expect("a request");
        assert_eq!(service.request_id(&with("abc-1_2.3")), "abc-1_2.3");
        assert_ne!(service.request_id(&with("two words")), "two words");
        assert_ne!(service.request_id(&with(&"x".repeat(65))), "x".repeat(65).as_str());
        assert_ne!(fresh_id(1), fresh_id(2));
    }
}
