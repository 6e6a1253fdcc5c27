//! Every shard: whose it is, and its figures. A server on its own answers in the same shape.

use axum::{extract::State, http::StatusCode};
use holdfast_actors::ShardReport;
use holdfast_cluster::operator::{ShardState, ShardStatus};
use serde::Serialize;

use super::audit::Operator;
use crate::edge::{
    App,
    reply::{self, Answer},
};

/// What a server that has no name among others is called.
const ALONE: &str = "local";

#[derive(Serialize)]
struct Shards {
    /// Whether this server takes requests.
    is_ready: bool,
    shards: Vec<ShardBody>,
}

/// A shard of the store, and what this server knows of its own copy.
#[derive(Serialize)]
struct ShardBody {
    #[serde(flatten)]
    status: ShardStatus,
    #[serde(flatten)]
    here: Option<Here>,
}

/// The copy of a shard in this server's memory: the owner's, or a warm one.
#[derive(Serialize)]
struct Here {
    is_open: bool,
    live_entities: usize,
    cold_entities: usize,
    quarantined_entities: usize,
    pursuits: usize,
    journal_sequence: u64,
    snapshot_watermark: u64,
}

impl From<&ShardReport> for Here {
    fn from(report: &ShardReport) -> Self {
        let figures = &report.figures;
        Self {
            is_open: report.is_open,
            live_entities: figures.live,
            cold_entities: figures.cold,
            quarantined_entities: figures.quarantined,
            pursuits: figures.pursuits,
            journal_sequence: figures.sequence,
            snapshot_watermark: figures.watermark,
        }
    }
}

pub(super) async fn list(State(app): State<App>, operator: Operator) -> Answer {
    let reports = app.node().map(|node| node.shards()).unwrap_or_default();
    let statuses = match app.cluster() {
        Some(cluster) => cluster.shards(),
        None => alone(&app, &reports),
    };
    let with_here = |status: ShardStatus| {
        let here = reports.iter().find(|report| report.shard == status.shard).map(Here::from);
        ShardBody { status, here }
    };
    let shards = statuses.into_iter().map(with_here).collect();
    operator.note("shards", "", reply::json(StatusCode::OK, &Shards { is_ready: app.readiness().is_ok(), shards }))
}

/// The shards of a server that owns all of them.
fn alone(app: &App, reports: &[ShardReport]) -> Vec<ShardStatus> {
    let name = if app.settings.cluster.is_on() { &app.settings.cluster.node } else { ALONE };
    let rates = app.rates.observe(reports);
    let status = |report: &ShardReport| {
        let figures = &report.figures;
        ShardStatus {
            shard: report.shard,
            owner: report.is_open.then(|| name.to_owned()),
            desired: Some(name.to_owned()),
            epoch: 0,
            state: if report.is_open { ShardState::Owned } else { ShardState::Unowned },
            entities: figures.live.saturating_add(figures.cold) as u64,
            commands_per_s: rates.get(&report.shard).copied().unwrap_or_default(),
            mailbox_depth: report.mailbox_depth as u64,
            lag_records: 0,
            memory_bytes: figures.memory_bytes,
            sequence: figures.sequence,
        }
    };
    reports.iter().map(status).collect()
}
