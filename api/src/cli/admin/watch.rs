//! How far the moves are: asked again and again, shown as a bar on a terminal.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use anyhow::Context as _;
use holdfast_api::load::stopwatch::Stopwatch;
use holdfast_cluster::operator::{ClusterStatus, NodeState};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::client::{AdminClient, AdminError};

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(250);

/// How the watching ended.
pub(super) enum End {
    /// Every shard is where it shall be.
    Done(ClusterStatus),
    /// Somebody canceled what was left.
    Canceled(ClusterStatus),
    /// It takes longer than was waited for.
    TooLong(ClusterStatus),
}

impl End {
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    pub(super) fn status(&self) -> &ClusterStatus {
        let (Self::Done(status) | Self::Canceled(status) | Self::TooLong(status)) = self;
        status
    }

    pub(super) fn in_words(&self) -> String {
        let left = self.status().rebalance.as_ref().map_or(0, |moves| moves.remaining.len());
        match self {
            Self::Done(_) => "every shard is where it shall be".to_owned(),
            Self::Canceled(_) => format!("canceled: {left} moves were not made"),
            Self::TooLong(_) => format!("still under way, {left} moves are left: `holdfast admin rebalance --watch`"),
        }
    }
}

/// Watches until nothing moves any more, and the node `drained` (if one is named) has no shards. A node that is away for a
/// moment is waited for, and one that has not heard of the plan's `revision` yet does not count.
pub(super) async fn until_done(
    client: &AdminClient,
    limit: Duration,
    revision: u64,
    drained: Option<&str>,
) -> anyhow::Result<End> {
    let (bar, watch) = (bar()?, Stopwatch::start());
    let end = loop {
        let status: ClusterStatus = match client.get("/admin/v1/cluster").await {
            Ok(value) => serde_json::from_value(value)?,
            Err(AdminError::Unreachable { .. }) if watch.elapsed() < limit => {
                tokio::time::sleep(EVERY).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let has_heard = status.revision >= revision;
        if let Some(moves) = status.rebalance.as_ref().filter(|_| has_heard) {
            bar.set_length(moves.moves as u64);
            bar.set_position(moves.done as u64);
            if let Some(next) = moves.remaining.first() {
                bar.set_message(format!("shard {} to {}", next.shard.0, next.to));
            }
            // A node that is drained gives its shards away all the same.
            if moves.cancelled && drained.is_none() {
                break End::Canceled(status);
            }
        } else if has_heard && is_empty(&status, drained) {
            break End::Done(status);
        }
        if watch.elapsed() >= limit {
            break End::TooLong(status);
        }
        tokio::time::sleep(EVERY).await;
    };
    bar.finish_and_clear();
    Ok(end)
}

/// Whether the node that gives its shards away has none left.
fn is_empty(status: &ClusterStatus, drained: Option<&str>) -> bool {
    let Some(name) = drained else { return true };
    let node = status.nodes.iter().find(|node| node.node == name);
    node.is_none_or(|node| matches!(node.state, NodeState::Drained | NodeState::Dead))
}

/// On a terminal only, and on standard error.
fn bar() -> anyhow::Result<ProgressBar> {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    let template = "{elapsed_precise} {bar:40} {pos}/{len} moves {msg}";
    bar.set_style(ProgressStyle::with_template(template).context("a progress bar")?);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}
