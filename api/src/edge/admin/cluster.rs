//! Where shards are and shall be: looking, moving, rebalancing, draining. Any node answers for all of them.
//!
//! Invariant: a call is answered once the plan has it, not once it is done; that is looked up under the same address.

use axum::{extract::State, http::StatusCode};
use holdfast_cluster::operator::{Change, OperatorError, RebalanceStatus};
use holdfast_core::ShardId;
use serde::{Deserialize, Serialize};

use super::{audit::Operator, operations::cluster};
use crate::edge::{
    App,
    body::{Json, OptionalJson},
    problem::{Kind, Problem},
    query::PathPart,
    reply::{self, Answer},
};

/// A node or a shard by its name in the path. It is read in the handler, so that a path that cannot be leaves its line too.
type Node = Result<PathPart, Problem>;

/// Where a shard shall go.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveTo {
    /// The node's name.
    to: String,
}

/// How to rebalance.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rebalance {
    /// Only show what would be done.
    #[serde(default)]
    dry_run: bool,
}

/// How far a rebalance is.
#[derive(Serialize)]
struct Progress {
    /// The plan's revision.
    revision: u64,
    /// The moves that are not done yet; `null` when every shard is where it shall be.
    rebalance: Option<RebalanceStatus>,
}

pub(super) async fn status(State(app): State<App>, operator: Operator) -> Answer {
    let answer = cluster(&app).and_then(|cluster| reply::json(StatusCode::OK, &cluster.status()));
    operator.note("cluster", "", answer)
}

pub(super) async fn move_shard(
    State(app): State<App>,
    operator: Operator,
    id: Node,
    body: Result<Json<MoveTo>, Problem>,
) -> Answer {
    let subject = named(&id);
    let moved = async {
        let (cluster, PathPart(id)) = (cluster(&app)?, id?);
        let Json(MoveTo { to }) = body?;
        accepted(cluster.move_shard(shard(&id)?, &to, operator.name()).await)
    };
    operator.note("move", &subject, moved.await)
}

pub(super) async fn rebalance(
    State(app): State<App>,
    operator: Operator,
    body: Result<OptionalJson<Rebalance>, Problem>,
) -> Answer {
    let mut call = "rebalance";
    let planned = async {
        let cluster = cluster(&app)?;
        let OptionalJson(Rebalance { dry_run }) = body?;
        if dry_run {
            call = "rebalance (dry run)";
        }
        let plan = cluster.rebalance(dry_run, operator.name()).await?;
        reply::json(if dry_run { StatusCode::OK } else { StatusCode::ACCEPTED }, &plan)
    };
    let planned = planned.await;
    operator.note(call, "", planned)
}

pub(super) async fn progress(State(app): State<App>, operator: Operator) -> Answer {
    let answer = cluster(&app).and_then(|cluster| {
        let status = cluster.status();
        reply::json(StatusCode::OK, &Progress { revision: status.revision, rebalance: status.rebalance })
    });
    operator.note("rebalance (look)", "", answer)
}

pub(super) async fn cancel(State(app): State<App>, operator: Operator) -> Answer {
    let canceled = async { accepted(cluster(&app)?.cancel_rebalance(operator.name()).await) };
    operator.note("rebalance (cancel)", "", canceled.await)
}

pub(super) async fn drain(State(app): State<App>, operator: Operator, node: Node) -> Answer {
    let subject = named(&node);
    let drained = async { accepted(cluster(&app)?.drain(&node?.0, operator.name()).await) };
    operator.note("drain", &subject, drained.await)
}

pub(super) async fn undrain(State(app): State<App>, operator: Operator, node: Node) -> Answer {
    let subject = named(&node);
    let undrained = async { accepted(cluster(&app)?.undrain(&node?.0, operator.name()).await) };
    operator.note("undrain", &subject, undrained.await)
}

/// What a path is about, for the log: the start of it, whatever was sent.
fn named(part: &Node) -> String {
    part.as_ref().map(|PathPart(part)| part.chars().take(64).collect()).unwrap_or_default()
}

/// The plan has it; the nodes make it so.
fn accepted(change: Result<Change, OperatorError>) -> Answer {
    reply::json(StatusCode::ACCEPTED, &change?)
}

/// The shard of a path.
pub(super) fn shard(id: &str) -> Result<ShardId, Problem> {
    let number = id.parse().map_err(|_| Problem::new(Kind::NotFound).detail("a shard is a number, from 0"))?;
    Ok(ShardId(number))
}
