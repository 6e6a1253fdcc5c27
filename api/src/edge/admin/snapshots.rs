//! A checkpoint now: of every shard this server owns, or of one.

use axum::{extract::State, http::StatusCode};
use holdfast_core::ShardId;
use serde::{Deserialize, Serialize};

use super::audit::Operator;
use crate::edge::{
    App,
    body::OptionalJson,
    problem::{Kind, Problem},
    reply::{self, Answer},
};

/// Which shards.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Only this one.
    #[serde(default)]
    shard: Option<u16>,
}

#[derive(Serialize)]
struct Snapshots {
    shards: Vec<Taken>,
}

#[derive(Serialize)]
struct Taken {
    shard: u16,
    /// Every record up to here is in the snapshots; `null` when the shard failed or changed hands meanwhile.
    watermark: Option<u64>,
}

pub(super) async fn take(
    State(app): State<App>,
    operator: Operator,
    body: Result<OptionalJson<Wanted>, Problem>,
) -> Answer {
    let mut subject = String::new();
    let taken = async {
        let OptionalJson(Wanted { shard }) = body?;
        subject = shard.map(|shard| shard.to_string()).unwrap_or_default();
        app.readiness()?;
        let node = app.node().ok_or_else(|| Problem::new(Kind::Unavailable))?;
        let done = node.checkpoint_now(shard.map(ShardId)).await;
        if let Some(shard) = shard.filter(|_| done.is_empty()) {
            let detail = format!("the shard {shard} is not this server's: ask its owner");
            return Err(Problem::new(Kind::NotFound).detail(detail));
        }
        let shards = done.iter().map(|taken| Taken { shard: taken.shard.0, watermark: taken.watermark }).collect();
        reply::json(StatusCode::OK, &Snapshots { shards })
    };
    let taken = taken.await;
    operator.note("snapshots", &subject, taken)
}
