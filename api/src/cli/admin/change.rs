//! What came of asking for a change of the plan.

use holdfast_cluster::operator;
use hyper::Method;
use serde_json::{Value, json};

use super::client::AdminClient;
use crate::cli::console;

/// What came of a call.
#[derive(Debug)]
pub(super) enum Change {
    /// The plan was changed.
    Made {
        /// What the node answered.
        answer: Value,
        /// The same, read.
        made: operator::Change,
    },
    /// Moves were planned, and shown already.
    Planned {
        /// What the node answered.
        answer: Value,
        /// The plan they are in.
        revision: u64,
    },
    /// It is planned already: why nothing had to be changed.
    SoAlready(String),
    /// Nothing was asked for: it is only looked on.
    Watched,
}

/// Asks for a change.
pub(super) async fn change(
    client: &AdminClient,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Change> {
    match client.call(method, path, body).await {
        Ok(answer) => Ok(Change::Made { made: serde_json::from_value(answer.clone())?, answer }),
        Err(error) => match error.so_already() {
            Some(why) => Ok(Change::SoAlready(why.to_owned())),
            None => Err(error.into()),
        },
    }
}

impl Change {
    /// The plan that has it; 0 where that is not known.
    pub(super) fn revision(&self) -> u64 {
        match self {
            Self::Made { made, .. } => made.revision,
            Self::Planned { revision, .. } => *revision,
            Self::SoAlready(_) | Self::Watched => 0,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Made { answer, .. } | Self::Planned { answer, .. } => answer.clone(),
            Self::SoAlready(why) => json!({ "nothing_to_do": why }),
            Self::Watched => Value::Null,
        }
    }

    /// Says it, in words or as JSON.
    pub(super) fn say(&self, as_json: bool) -> anyhow::Result<()> {
        match self {
            _ if as_json => console::say_json(&self.to_json())?,
            Self::Made { made, .. } => console::say(format!("revision {}: {}", made.revision, made.what))?,
            Self::SoAlready(why) => console::say(format!("nothing to do: {why}"))?,
            Self::Planned { .. } | Self::Watched => {}
        }
        Ok(())
    }
}
