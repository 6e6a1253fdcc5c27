//! A checkpoint now, of every node: each writes those of the shards it owns, so each is asked, at the address it gave.

use std::{process::ExitCode, time::Duration};

use anyhow::ensure;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use holdfast_cluster::operator::NodeState;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    client::{AdminClient, AdminError},
    cluster, console,
};

/// How long a node may take: a checkpoint writes every entity that has changed.
const PATIENCE: Duration = Duration::from_mins(10);

#[derive(Deserialize)]
struct Taken {
    shard: u16,
    watermark: Option<u64>,
}

/// Asks every node, and shows what came of it. Exit code 1 when a shard's checkpoint was not finished.
pub(super) async fn take(client: &AdminClient, shard: Option<u16>, as_json: bool) -> anyhow::Result<ExitCode> {
    let nodes: Vec<(String, AdminClient)> = match cluster(client).await? {
        None => vec![("-".to_owned(), client.at(&client.address(), PATIENCE)?)],
        Some(status) => {
            let living = status.nodes.iter().filter(|node| node.state != NodeState::Dead);
            let silent: Vec<&str> =
                living.clone().filter(|n| n.admin_url.is_empty()).map(|n| n.node.as_str()).collect();
            ensure!(silent.is_empty(), "cluster.admin_url is not set on {}: they cannot be asked", silent.join(", "));
            living
                .map(|n| Ok((n.node.clone(), client.at(&n.admin_url, PATIENCE)?)))
                .collect::<Result<_, AdminError>>()?
        }
    };
    let body = shard.map_or_else(|| json!({}), |shard| json!({ "shard": shard }));
    let (mut rows, mut not_here) = (Vec::new(), None);
    for (name, node) in &nodes {
        match node.call(Method::POST, "/admin/v1/snapshots", Some(&body)).await {
            Ok(answer) => {
                let taken = answer.get("shards").cloned().unwrap_or(Value::Null);
                rows.extend(Vec::<Taken>::deserialize(taken)?.into_iter().map(|taken| (name.clone(), taken)));
            }
            Err(AdminError::Refused { slug, detail }) if shard.is_some() && slug == "not-found" => {
                not_here = Some(AdminError::Refused { slug, detail });
            }
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(refusal) = not_here.filter(|_| rows.is_empty()) {
        return Err(refusal.into());
    }
    rows.sort_by_key(|(_, taken)| taken.shard);
    say(&rows, as_json)?;
    let is_whole = rows.iter().all(|(_, taken)| taken.watermark.is_some());
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say(rows: &[(String, Taken)], as_json: bool) -> anyhow::Result<()> {
    let shards =
        rows.iter().map(|(node, taken)| json!({ "shard": taken.shard, "node": node, "watermark": taken.watermark }));
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_header(["shard", "node", "contained up to"]);
    for (node, taken) in rows {
        let watermark = taken.watermark.map_or_else(|| "failed".to_owned(), |watermark| watermark.to_string());
        table.add_row([taken.shard.to_string(), node.clone(), watermark]);
    }
    console::say_either(as_json, &json!({ "shards": shards.collect::<Vec<_>>() }), table)
}
