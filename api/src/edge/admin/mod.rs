//! The operators' listener: metrics, shards, the cluster and settings, on a port of its own that stays off the internet.
//!
//! Metrics and health are open to whoever reaches the port, as scrapers expect; everything else needs the admin token and
//! leaves a line in the audit log (`audit`), refused or not.

mod audit;
mod cluster;
mod operations;
mod rates;
mod shards;
mod snapshots;

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
    routing::{get, post},
};

use self::audit::Operator;
pub(crate) use self::{operations::Operations, rates::Rates};
use super::{
    App,
    reply::{self, Answer},
    routes::{healthz, method_not_allowed, not_found, readyz},
};
use crate::telemetry::Telemetry;

/// The admin listener's router.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/admin/v1/config", get(settings))
        .route("/admin/v1/cluster", get(cluster::status))
        .route("/admin/v1/shards", get(shards::list))
        .route("/admin/v1/shards/{id}/move", post(cluster::move_shard))
        .route("/admin/v1/rebalance", get(cluster::progress).post(cluster::rebalance).delete(cluster::cancel))
        .route("/admin/v1/nodes/{id}/drain", post(cluster::drain).delete(cluster::undrain))
        .route("/admin/v1/snapshots", post(snapshots::take))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(app)
}

/// All metrics in the Prometheus text format.
async fn metrics(State(app): State<App>) -> Response {
    if let Some(node) = app.node() {
        Telemetry::observe(node);
    }
    let mut response = Response::new(Body::from(app.telemetry.render()));
    let media_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

/// The settings in force, without secrets.
async fn settings(State(app): State<App>, operator: Operator) -> Answer {
    operator.note("config", "", reply::json(StatusCode::OK, &app.settings))
}
