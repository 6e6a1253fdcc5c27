//! `admin`: what operators ask of a running cluster, over the admin listener of any of its nodes.
//!
//! Exit codes beside the usual: 3 when no node could be reached. What is planned already (a node drained twice) is waited for
//! all the same.

mod change;
pub(crate) mod client;
mod snapshot;
mod table;
mod watch;

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use holdfast_cluster::{
    operator::{ClusterStatus, RebalancePlan},
    settings::is_name,
};
use hyper::Method;
use serde_json::json;

pub(crate) use self::table::{bytes, node_word, shard_word};
use self::{
    change::{Change, change},
    client::{AdminClient, AdminError, Reach},
};
use super::console;

/// Where to ask, and what.
#[derive(Debug, Args)]
pub(crate) struct AdminArguments {
    #[command(flatten)]
    reach: Reach,
    /// One line of JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    call: Call,
}

/// What to ask.
#[derive(Debug, Subcommand)]
enum Call {
    /// Show the nodes, who plans, and what is moving.
    Cluster,
    /// Show every shard: owner, epoch, entities, rate, mailbox, lag, memory.
    Shards,
    /// Move a shard to a node.
    Move {
        /// The shard's number.
        shard: u16,
        /// The node's name.
        #[arg(value_parser = node_name)]
        node: String,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Spread the shards evenly over the nodes, with as few moves as that takes, and show how far it is.
    Rebalance {
        /// Only show the moves and why.
        #[arg(long, conflicts_with_all = ["cancel", "watch", "no_wait"])]
        dry_run: bool,
        /// Leave the moves that have not begun where they are.
        #[arg(long, conflicts_with_all = ["watch", "no_wait"])]
        cancel: bool,
        /// Only show how far the moves are that are under way.
        #[arg(long, conflicts_with = "no_wait")]
        watch: bool,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Have a node give its shards away and get none: before it is stopped.
    Drain {
        /// The node's name.
        #[arg(value_parser = node_name)]
        node: String,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Have a drained node get shards again.
    Undrain {
        /// The node's name.
        #[arg(value_parser = node_name)]
        node: String,
    },
    /// Have every node write a checkpoint of the shards it owns, now.
    Snapshot {
        /// Only this shard.
        #[arg(long)]
        shard: Option<u16>,
    },
}

/// Whether to wait.
#[derive(Debug, Clone, Copy, Args)]
struct Waiting {
    /// Return once it is planned, not once it is done.
    #[arg(long)]
    no_wait: bool,
    /// How long it may take until it is done, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    wait_s: u64,
}

impl Waiting {
    /// How long to wait; `None`: not at all.
    fn limit(self) -> Option<Duration> {
        (!self.no_wait).then(|| Duration::from_secs(self.wait_s))
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &AdminArguments) -> anyhow::Result<ExitCode> {
    let client = AdminClient::new(&arguments.reach)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the operating system gave no event queue")?;
    runtime.block_on(ask(&client, &arguments.call, arguments.json))
}

async fn ask(client: &AdminClient, call: &Call, as_json: bool) -> anyhow::Result<ExitCode> {
    match call {
        Call::Cluster => {
            let value = client.get("/admin/v1/cluster").await?;
            let text = table::cluster(&serde_json::from_value(value.clone())?);
            console::say_either(as_json, &value, text)?;
        }
        Call::Shards => {
            let value = client.get("/admin/v1/shards").await?;
            let shards = client::Shards::read(&value)?;
            console::say_either(as_json, &value, table::shards(&shards.shards))?;
        }
        Call::Move { shard, node, waiting } => {
            let path = format!("/admin/v1/shards/{shard}/move");
            let change = change(client, Method::POST, &path, Some(&json!({ "to": node }))).await?;
            return follow(client, &change, *waiting, as_json, None).await;
        }
        Call::Rebalance { dry_run: true, .. } => {
            let plan = client.call(Method::POST, "/admin/v1/rebalance", Some(&json!({ "dry_run": true }))).await?;
            let text = table::plan(&serde_json::from_value(plan.clone())?);
            console::say_either(as_json, &plan, text)?;
        }
        Call::Rebalance { cancel: true, .. } => {
            change(client, Method::DELETE, "/admin/v1/rebalance", None).await?.say(as_json)?;
        }
        Call::Rebalance { watch: true, waiting, .. } => {
            return follow(client, &Change::Watched, *waiting, as_json, None).await;
        }
        Call::Rebalance { waiting, .. } => {
            let plan = client.call(Method::POST, "/admin/v1/rebalance", Some(&json!({}))).await?;
            let moves: RebalancePlan = serde_json::from_value(plan.clone())?;
            if !as_json {
                console::say(table::plan(&moves))?;
            }
            let change = Change::Planned { answer: plan, revision: moves.revision };
            return follow(client, &change, *waiting, as_json, None).await;
        }
        Call::Drain { node, waiting } => {
            let change = change(client, Method::POST, &drain_path(node), None).await?;
            return follow(client, &change, *waiting, as_json, Some(node)).await;
        }
        Call::Undrain { node } => {
            change(client, Method::DELETE, &drain_path(node), None).await?.say(as_json)?;
        }
        Call::Snapshot { shard } => return snapshot::take(client, *shard, as_json).await,
    }
    Ok(ExitCode::SUCCESS)
}

fn drain_path(node: &str) -> String {
    format!("/admin/v1/nodes/{node}/drain")
}

/// A node's name: what is none must not become another path.
fn node_name(text: &str) -> Result<String, String> {
    let refused = || "a node's name has 1 to 32 letters, digits, '-' or '_'".to_owned();
    is_name(text).then(|| text.to_owned()).ok_or_else(refused)
}

/// Says what was changed, and waits until it is done unless told not to. What is planned already is waited for as well: an
/// earlier call may have been carried out although its answer was lost, and whoever calls again wants it done.
async fn follow(
    client: &AdminClient,
    change: &Change,
    waiting: Waiting,
    as_json: bool,
    drained: Option<&str>,
) -> anyhow::Result<ExitCode> {
    let Some(limit) = waiting.limit() else {
        change.say(as_json)?;
        return Ok(ExitCode::SUCCESS);
    };
    if !as_json {
        change.say(false)?;
    }
    let end = watch::until_done(client, limit, change.revision(), drained).await?;
    let json = json!({ "change": change.to_json(), "done": end.is_done(), "cluster": end.status() });
    console::say_either(as_json, &json, end.in_words())?;
    Ok(if end.is_done() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The cluster as a node sees it; `None` when the server is on its own.
async fn cluster(client: &AdminClient) -> anyhow::Result<Option<ClusterStatus>> {
    match client.get("/admin/v1/cluster").await {
        Ok(value) => Ok(Some(serde_json::from_value(value)?)),
        Err(AdminError::Refused { slug, .. }) if slug == "cluster-not-configured" => Ok(None),
        Err(error) => Err(error.into()),
    }
}
