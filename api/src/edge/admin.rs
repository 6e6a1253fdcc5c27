//! The operators' listener: metrics, shards and settings, on a port of its own that stays off the internet.
//!
//! Metrics and health are open to whoever reaches the port, as scrapers expect; everything else needs the admin token.

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
    routing::get,
};
use holdfast_actors::ShardReport;
use serde::Serialize;

use super::{
    App,
    auth::Admin,
    problem::{Kind, Problem},
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
        .route("/admin/v1/shards", get(shards))
        .route("/admin/v1/config", get(settings))
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

/// The shards of this node.
#[derive(Serialize)]
struct Shards {
    is_ready: bool,
    shards: Vec<ShardBody>,
}

#[derive(Serialize)]
struct ShardBody {
    shard: u16,
    is_open: bool,
    mailbox_depth: usize,
    live_entities: usize,
    cold_entities: usize,
    quarantined_entities: usize,
    pursuits: usize,
    journal_sequence: u64,
    snapshot_watermark: u64,
}

impl From<ShardReport> for ShardBody {
    fn from(report: ShardReport) -> Self {
        let figures = report.figures;
        Self {
            shard: report.shard.0,
            is_open: report.is_open,
            mailbox_depth: report.mailbox_depth,
            live_entities: figures.live,
            cold_entities: figures.cold,
            quarantined_entities: figures.quarantined,
            pursuits: figures.pursuits,
            journal_sequence: figures.sequence,
            snapshot_watermark: figures.watermark,
        }
    }
}

async fn shards(State(app): State<App>, _admin: Admin) -> Answer {
    let shards = app.node().map(|node| node.shards()).unwrap_or_default();
    let shards = shards.into_iter().map(ShardBody::from).collect();
    reply::json(StatusCode::OK, &Shards { is_ready: app.readiness().is_ok(), shards })
}

/// The settings in force, without secrets.
async fn settings(State(app): State<App>, _admin: Admin) -> Answer {
    reply::json(StatusCode::OK, &app.settings).map_err(|_| Problem::new(Kind::Internal))
}
