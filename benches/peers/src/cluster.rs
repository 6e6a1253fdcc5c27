//! Ours as a cluster: real NATS servers that sync every message, a payment gateway of its own, and nodes that share the shards.
//!
//! Invariant: it is handed over when every node owns shards and none moves, so no measurement has a rebalance in it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use holdfast_api::load::{
    order::fresh_run,
    server_process::{Launch, ServerProcess},
    shop::Shop,
};
use holdfast_servers::{Nats, NatsOptions};
use hyper::Method;
use serde_json::Value;
use tokio::runtime::Builder;

/// How long the shards may take to be spread, and how often that is looked at.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A running cluster.
pub(crate) struct Cluster {
    // The order matters: nodes go before what they stand on.
    nodes: Vec<ServerProcess>,
    gateway: ServerProcess,
    nats: Nats,
    token: String,
}

impl Cluster {
    /// Starts so many nodes on as many NATS servers, which all keep every message.
    pub(crate) fn start(size: usize, server: &Path, folder: &Path) -> anyhow::Result<Self> {
        let nats = Nats::start(&NatsOptions { servers: size, sync_always: true, ..NatsOptions::default() })?;
        let gateway = Launch::gateway(server.to_owned(), &folder.join("gateway")).start()?;
        let token = format!("{}{}", fresh_run()?, fresh_run()?);
        let secret = secret(folder)?;
        let mut cluster = Self { nodes: Vec::new(), gateway, nats, token };
        for number in 1..=size {
            let launch = Launch::shop(server.to_owned(), &folder.join(format!("n{number}")), &cluster.token)
                .with_setting("CLUSTER__NODE", &format!("n{number}"))
                .with_setting("NATS__URL", &cluster.nats.url())
                .with_setting("NATS__MONITORS", &cluster.nats.monitors())
                .with_setting("NATS__REPLICAS", &size.to_string())
                .with_setting("STORE__SECRET_FILE", &secret.display().to_string())
                .with_setting("PAYMENTS__SANDBOX__URL", &format!("http://{}", cluster.gateway.ready().public));
            cluster.nodes.push(launch.start().with_context(|| format!("node n{number} does not start"))?);
        }
        cluster.wait_until_spread()?;
        Ok(cluster)
    }

    /// Every node's edge, in order.
    pub(crate) fn shops(&self) -> Vec<Shop> {
        self.nodes.iter().map(|node| Shop::new(node.target(), Some(self.token.clone()))).collect()
    }

    /// The nodes' processes.
    pub(crate) fn nodes(&self) -> Vec<u32> {
        self.nodes.iter().map(ServerProcess::pid).collect()
    }

    /// The processes they stand on: the NATS servers and the gateway.
    pub(crate) fn behind(&self) -> anyhow::Result<Vec<u32>> {
        let servers = (0..self.nodes.len()).map(|index| self.nats.process(index));
        servers.chain([Ok(self.gateway.pid())]).collect()
    }

    /// Waits until every node owns shards, and every shard is owned by who is to own it.
    fn wait_until_spread(&self) -> anyhow::Result<()> {
        let admin =
            self.nodes.first().and_then(|node| node.ready().admin).context("a node without an admin listener")?;
        let operator = Shop::new(admin.into(), Some(self.token.clone()));
        let runtime = Builder::new_current_thread().enable_all().build()?;
        for _ in 0..PATIENCE.as_millis() / LOOK_EVERY.as_millis() {
            let answer = runtime.block_on(operator.admin_call(Method::GET, "/admin/v1/shards", None))?;
            if is_spread(&answer.body, self.nodes.len()) {
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!("after {PATIENCE:?} some node still owns nothing, or shards still move")
    }
}

/// Whether the shards that an operator sees are owned by `size` nodes, and none is about to move.
fn is_spread(seen: &Value, size: usize) -> bool {
    let Some(shards) = seen["shards"].as_array() else { return false };
    let owners: BTreeSet<&str> = shards.iter().filter_map(|shard| shard["owner"].as_str()).collect();
    owners.len() == size && shards.iter().all(|shard| shard["state"] == "owned")
}

/// A secret that all nodes share, since buyers' tokens are made from it.
fn secret(folder: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).context("a folder for the cluster")?;
    let path = folder.join("secret");
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    std::fs::write(&path, bytes).context("cannot write the secret")?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shards(shards: &[(&str, &str)]) -> Value {
        let shards: Vec<_> = shards.iter().map(|(owner, state)| json!({ "owner": owner, "state": state })).collect();
        json!({ "shards": shards })
    }

    #[test]
    fn shards_are_spread_when_every_node_owns_some_and_none_moves() {
        assert!(is_spread(&shards(&[("n1", "owned"), ("n2", "owned"), ("n1", "owned")]), 2));
        assert!(!is_spread(&shards(&[("n1", "owned"), ("n1", "owned")]), 2), "n2 owns nothing");
        assert!(!is_spread(&shards(&[("n1", "owned"), ("n2", "owned"), ("n1", "moving")]), 2));
        assert!(!is_spread(&json!({}), 0), "nothing is known");
    }
}
