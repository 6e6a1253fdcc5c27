//! Where the plan is kept: the last message of a stream, replaced by compare-and-set on the stream's end. The messages before
//! it are kept for a while: each says who changed the plan, when, and what.
//!
//! Invariant: a plan is written only behind the one it was made from, so of two changes at the same time one is made and the
//! other one is told.

use async_trait::async_trait;
use holdfast_persistence::StoreId;

use super::{
    document::{Plan, Revision},
    ports::{Control, StepError, Written},
};
use crate::{
    jetstream::{Appended, NatsError, NatsSettings, Requests, control::LastOfEach},
    members::presence::of_store,
};

/// The largest plan that is written, in bytes: NATS takes messages of a megabyte unless told otherwise.
const PLAN_BYTES: usize = 900_000;
/// The plans that are kept, the last one among them, in number: a rolling restart of twenty nodes changes it a hundred times,
/// and even of the largest ones so many are 90 MB on the servers' disks.
const KEPT_PLANS: u32 = 100;

/// The plan in NATS.
#[derive(Debug, Clone)]
pub struct ControlLog {
    requests: Requests,
    stream: String,
    subject: String,
}

impl ControlLog {
    /// Makes sure of the stream.
    ///
    /// # Errors
    /// [`NatsError`].
    pub async fn open(requests: &Requests, nats: &NatsSettings, store: StoreId) -> Result<Self, NatsError> {
        let subject = format!("holdfast.{}.control", nats.deployment);
        let stream = LastOfEach {
            name: format!("HOLDFAST_{}_CONTROL", nats.deployment),
            subjects: vec![subject.clone()],
            kept: KEPT_PLANS,
            in_memory: false,
            replicas: nats.replicas,
            metadata: of_store(store),
        };
        requests.keep(&stream, nats.start_deadline()).await?;
        Ok(Self { requests: requests.clone(), stream: stream.name, subject })
    }

    /// What every change of the plan is sent to.
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

#[async_trait]
impl Control for ControlLog {
    async fn read(&self) -> Result<Option<Revision>, StepError> {
        let last = self.requests.last(&self.stream, &self.subject).await;
        let Some(stored) = last.map_err(|error| StepError(error.to_string()))? else { return Ok(None) };
        let read = Revision::read(stored.sequence, &stored.payload);
        read.map(Some).map_err(|error| StepError(error.to_string()))
    }

    async fn newest(&self) -> Result<u64, StepError> {
        let last = self.requests.last_number(&self.stream, &self.subject).await;
        last.map(Option::unwrap_or_default).map_err(|error| StepError(error.to_string()))
    }

    async fn write(&self, after: u64, plan: &Plan) -> Result<Written, StepError> {
        let document = plan.write().map_err(|error| StepError(error.to_string()))?;
        if document.len() > PLAN_BYTES {
            return Err(StepError(format!("the plan has {} bytes, at most {PLAN_BYTES} are written", document.len())));
        }
        match self.requests.append(&self.subject, after, document.into()).await {
            Appended::At(number) => Ok(Written::At(number)),
            Appended::WrongLast(_) => Ok(Written::Conflict),
            Appended::NotNow(error) => Err(StepError(error.to_string())),
        }
    }
}
