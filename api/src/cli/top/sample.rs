//! All nodes at one moment: the metrics of each, and what one of them says of the cluster and its shards.
//!
//! Invariant: a node that does not answer is missing, not zero; without any there is an error.

use std::{collections::BTreeMap, time::Instant};

use holdfast_cluster::operator::{ClusterStatus, NodeState, ShardStatus};
use serde_json::Value;

use super::scrape::Scrape;
use crate::cli::admin::client::{AdminClient, AdminError, Shards};

/// What was found.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    /// By node: its name, or its address where it has none.
    pub(super) nodes: BTreeMap<String, Scrape>,
    /// Nodes that should have answered and did not.
    pub(super) silent: Vec<String>,
    pub(super) shards: Vec<ShardStatus>,
    /// `None`: the server is on its own.
    pub(super) cluster: Option<ClusterStatus>,
}

impl Sample {
    /// Asks all nodes: those of the command line, and those the cluster names.
    pub(super) async fn take(client: &AdminClient) -> Result<Self, AdminError> {
        let cluster = match client.get("/admin/v1/cluster").await {
            Ok(value) => Some(serde_json::from_value(value).map_err(|error| strange(&error))?),
            Err(AdminError::Refused { slug, .. }) if slug == "cluster-not-configured" => None,
            Err(error) => return Err(error),
        };
        let shards = Shards::read(&client.get("/admin/v1/shards").await?)?.shards;
        let (mut nodes, mut silent) = (BTreeMap::new(), Vec::new());
        for (name, node) in named(client, cluster.as_ref())? {
            match node.get("/metrics").await {
                Ok(Value::String(text)) => drop(nodes.insert(name, Scrape::read(&text))),
                Ok(_) | Err(_) => silent.push(name),
            }
        }
        Ok(Self { at: now(), nodes, silent, shards, cluster })
    }
}

/// Every node to ask, by name: the living ones that say where, else those of the command line.
fn named(client: &AdminClient, cluster: Option<&ClusterStatus>) -> Result<Vec<(String, AdminClient)>, AdminError> {
    let known = cluster.iter().flat_map(|cluster| &cluster.nodes);
    let reachable = known.filter(|node| node.state != NodeState::Dead && !node.admin_url.is_empty());
    let named = reachable.map(|node| Ok((node.node.clone(), client.at(&node.admin_url, client.timeout())?)));
    let named = named.collect::<Result<Vec<_>, AdminError>>()?;
    if named.is_empty() { Ok(client.each().map(|node| (node.address(), node)).collect()) } else { Ok(named) }
}

fn strange(error: &serde_json::Error) -> AdminError {
    AdminError::Strange { address: "the admin listener".to_owned(), why: error.to_string() }
}

#[expect(clippy::disallowed_methods, reason = "rates are over the time between two looks")]
pub(super) fn now() -> Instant {
    Instant::now()
}
