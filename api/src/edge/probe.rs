//! What reads requests, as functions of bytes: for the fuzz targets in `tests/fuzz` and the counted paths in
//! `benches/hotpaths`, and for nothing else.
//!
//! Why: bodies and handlers are private, because whoever wants them asks over HTTP. Those two have to reach them without
//! a socket in between. Nothing is decided here, and none of it is part of this crate's interface.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use holdfast_core::order::Order;
use http_body_util::BodyExt as _;
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::{
    App,
    accept::Stage,
    acceptable,
    body::parse,
    problem::Problem,
    reply,
    view::{
        cart::{ItemChange, Merge, NewCart, NewItem},
        checkout::{NewOrder, PlacedOrder},
        order::{NewRefund, StatusChange},
        product::{NewProduct, ProductChange},
        stock::StockAdjustment,
    },
};
use crate::{
    settings::{LimitSettings, Settings},
    telemetry::{Telemetry, TelemetryError},
};

/// The bodies that requests have.
pub const BODIES: [&str; 10] = [
    "new-cart",
    "new-item",
    "item-change",
    "merge",
    "new-order",
    "new-refund",
    "status-change",
    "new-product",
    "product-change",
    "stock-adjustment",
];

/// Reads `bytes` as the body named, and says what was read in a form that is equal for equal bodies. `None`: no such body.
pub fn read_body(name: &str, bytes: &[u8], limits: &LimitSettings) -> Option<Result<String, Problem>> {
    macro_rules! read {
        ($body:ty) => {
            parse::<$body>(bytes, limits).map(|body| format!("{body:?}"))
        };
    }
    Some(match name {
        "new-cart" => read!(NewCart),
        "new-item" => read!(NewItem),
        "item-change" => read!(ItemChange),
        "merge" => read!(Merge),
        "new-order" => {
            parse::<NewOrder>(bytes, limits).map(|order| format!("{order:?} paid with {}", order.payment.token))
        }
        "new-refund" => read!(NewRefund),
        "status-change" => read!(StatusChange),
        "new-product" => parse::<NewProduct>(bytes, limits).and_then(|new| {
            let read = format!("{new:?}");
            new.into_details(limits).map(|_| read)
        }),
        "product-change" => parse::<ProductChange>(bytes, limits).and_then(|change| {
            let read = format!("{change:?}");
            change.into_details(limits).map(|_| read)
        }),
        "stock-adjustment" => read!(StockAdjustment),
        _ => return None,
    })
}

/// The answer to the checkout that placed `order`; `None` for one that is not placed.
pub fn answer_placed(order: &Order, buyer_token: &str) -> Option<Response> {
    let body = PlacedOrder::new(order.id(), order.placement()?, buyer_token);
    reply::json(StatusCode::CREATED, &body).ok()
}

/// The public listener's routes over a server whose node is not there: every request is read to its end, and what would
/// go on to the shop is answered 503.
#[derive(Debug, Clone)]
pub struct Edge {
    router: Router,
    // The routes watch how the server ends; it does not.
    _stage: std::sync::Arc<watch::Sender<Stage>>,
}

impl Edge {
    /// The routes under these settings.
    ///
    /// # Errors
    /// When the metrics cannot be installed.
    pub fn new(settings: Settings) -> Result<Self, TelemetryError> {
        let (stage, watched) = watch::channel(Stage::Open);
        let router = super::router(App::new(settings, watched, Telemetry::install()?));
        Ok(Self { router, _stage: std::sync::Arc::new(stage) })
    }

    /// Answers one request, and reads the answer to its end.
    pub async fn answer(&self, request: axum::http::Request<Bytes>) -> axum::http::Response<Bytes> {
        let response = match acceptable::refuse(&request) {
            Some(problem) => problem.into_response(),
            None => self.call(request.map(Body::from)).await,
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        axum::http::Response::from_parts(parts, body)
    }

    async fn call(&self, request: Request) -> Response {
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
