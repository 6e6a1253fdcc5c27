//! How nodes hear of one another: beats over a small stream in the servers' memory, everything else as plain messages.
//!
//! Invariant: a beat that is acknowledged was taken in by a majority of the stream's servers after it was sent. Whoever
//! listens hears it whether it was acknowledged or not. The stream is made again when its servers have lost it.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use holdfast_persistence::StoreId;

use super::beat::{Beat, Standing, Yielded};
use crate::{
    boot::BootId,
    jetstream::{NatsError, NatsSettings, RequestError, Requests, Stored, control::LastOfEach},
    plan::ports::{Air, StepError},
};

/// Metadata: the store's id, in hexadecimal.
const STORE: &str = "holdfast.store";

/// Beats and words between nodes, in NATS.
#[derive(Debug, Clone)]
pub struct Presence {
    requests: Requests,
    deployment: String,
    stream: LastOfEach,
    patience: Duration,
}

impl Presence {
    /// Makes sure of the stream. A beat that is not acknowledged within `patience` proves nothing any more.
    ///
    /// # Errors
    /// [`NatsError`].
    pub async fn open(
        requests: &Requests,
        nats: &NatsSettings,
        store: StoreId,
        patience: Duration,
    ) -> Result<Self, NatsError> {
        let stream = LastOfEach {
            name: format!("HOLDFAST_{}_PRESENCE", nats.deployment),
            subjects: vec![format!("holdfast.{}.beat.*", nats.deployment)],
            kept: 1,
            in_memory: true,
            replicas: nats.replicas,
            metadata: of_store(store),
        };
        requests.keep(&stream, nats.start_deadline()).await?;
        Ok(Self { requests: requests.clone(), deployment: nats.deployment.clone(), stream, patience })
    }

    /// What every beat is sent to.
    pub fn beats(&self) -> String {
        format!("holdfast.{}.beat.*", self.deployment)
    }

    /// What one node's beats are sent to.
    fn beats_of(&self, node: &str) -> String {
        format!("holdfast.{}.beat.{node}", self.deployment)
    }

    /// Where a node is told that a shard was let go for it.
    pub fn yields_to(&self, boot: BootId) -> String {
        format!("holdfast.{}.node.{boot}.yielded", self.deployment)
    }

    /// The last beat of a node that may still live: `None` when there is none, or it said that it left.
    ///
    /// # Errors
    /// [`RequestError`], when it is not told.
    pub async fn may_live(&self, node: &str) -> Result<Option<Beat>, RequestError> {
        let Some(Stored { payload, .. }) = self.requests.last(&self.stream.name, &self.beats_of(node)).await? else {
            return Ok(None);
        };
        let beat: Option<Beat> = serde_json::from_slice(&payload).ok();
        Ok(beat.filter(|beat| beat.state != Standing::Left))
    }
}

/// Metadata that tells a store's streams from another one's.
pub(crate) fn of_store(store: StoreId) -> BTreeMap<String, String> {
    BTreeMap::from([(STORE.to_owned(), store.to_string())])
}

#[async_trait]
impl Air for Presence {
    async fn beat(&self, beat: &Beat) -> Result<(), StepError> {
        let said = serde_json::to_vec(beat).map_err(|error| StepError(error.to_string()))?;
        let taken = self.requests.publish(&self.beats_of(&beat.node), said.into(), self.patience).await;
        if matches!(taken, Err(RequestError::NoResponders)) {
            // It was in the memory of servers that are all new. The next beat finds it again.
            let made = self.requests.keep(&self.stream, self.patience).await;
            made.map_err(|error| StepError(format!("the stream of beats is gone: {error}")))?;
        }
        taken.map(drop).map_err(|error| StepError(error.to_string()))
    }

    async fn tell(&self, to: BootId, yielded: &Yielded) -> Result<(), StepError> {
        let said = serde_json::to_vec(yielded).map_err(|error| StepError(error.to_string()))?;
        self.requests.tell(&self.yields_to(to), said.into()).await.map_err(|error| StepError(error.to_string()))
    }
}
