//! What nodes tell one another through the servers besides records: small streams that keep the last messages of each of
//! their subjects, and plain messages.
//!
//! Invariants: a stream that is there and different is refused, never changed; an answered [`Requests::publish`] proves that
//! a quorum of the stream's servers took the message after it was sent. Nothing but a stream's making is repeated here.

use std::{collections::BTreeMap, time::Duration};

use async_nats::{HeaderMap, Subscriber};
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::{
    connect::PAUSE,
    error::{NatsError, RequestError},
    requests::{Appended, Requests, StreamConfig, read_ack},
    streams::{NAME_IN_USE, PASSING},
};

/// A stream that keeps the last messages of each of its subjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastOfEach {
    /// What the stream is called.
    pub name: String,
    /// What it takes in.
    pub subjects: Vec<String>,
    /// How many messages of each subject are kept, in number. The last of them is what is so, the others are its history.
    pub kept: u32,
    /// Whether it is gone once all its servers are; on one server alone, once that is. Otherwise it is on disk.
    pub in_memory: bool,
    /// On how many servers it is, in number.
    pub replicas: usize,
    /// What tells it from the same of another store.
    pub metadata: BTreeMap<String, String>,
}

impl Requests {
    /// Makes the stream where it is missing, and checks it. Tries for at most `limit`.
    ///
    /// # Errors
    /// [`NatsError::Stream`] when there is another one of that name, [`NatsError::Request`] when the servers do not.
    pub async fn keep(&self, stream: &LastOfEach, limit: Duration) -> Result<(), NatsError> {
        let (config, began) = (stream.config(), Instant::now());
        loop {
            let made = match self.stream(&stream.name).await {
                Ok(Some(info)) => return stream.check(&info.config),
                Ok(None) => self.create(&config).await,
                Err(error) => Err(error),
            };
            let source = match made {
                Ok(info) => return stream.check(&info.config),
                Err(source) => source,
            };
            // One that is there already, and was not shown a moment ago, is checked in the next round.
            let passing = |code: &u64| PASSING.contains(code) || *code == NAME_IN_USE;
            let passes = !matches!(&source, RequestError::Refused { code, .. } if !passing(code));
            if !passes || began.elapsed() + PAUSE > limit {
                let action = "make a stream (are there nats.replicas servers?)";
                return Err(NatsError::Request { action, source });
            }
            sleep(PAUSE).await;
        }
    }

    /// Appends to whatever stream takes the subject, and waits at most `limit` for a quorum of it. The message's number.
    ///
    /// # Errors
    /// [`RequestError`]; then nobody knows whether it was taken. [`RequestError::NoResponders`] when no stream takes it now.
    pub async fn publish(&self, subject: &str, payload: Bytes, limit: Duration) -> Result<u64, RequestError> {
        let answer = self.request(subject.to_owned(), HeaderMap::new(), payload, limit).await?;
        match read_ack(&answer) {
            Appended::At(sequence) => Ok(sequence),
            Appended::NotNow(error) => Err(error),
            Appended::WrongLast(_) => Err(RequestError::Malformed("nothing was expected of the stream".to_owned())),
        }
    }

    /// Everything that is sent to the subject from now on, by whomever. What is sent while there is no connection is missed.
    ///
    /// # Errors
    /// [`RequestError::Connection`], when the client is closed.
    pub async fn subscribe(&self, subject: &str) -> Result<Subscriber, RequestError> {
        let subscribed = self.client.subscribe(subject.to_owned()).await;
        subscribed.map_err(|error| RequestError::Connection(error.to_string()))
    }

    /// Sends a plain message: whoever listens now may hear it.
    ///
    /// # Errors
    /// [`RequestError::Connection`], when the client is closed.
    pub async fn tell(&self, subject: &str, payload: Bytes) -> Result<(), RequestError> {
        let sent = self.client.publish(subject.to_owned(), payload).await;
        sent.map_err(|error| RequestError::Connection(error.to_string()))
    }
}

impl LastOfEach {
    fn config(&self) -> StreamConfig {
        StreamConfig {
            name: self.name.clone(),
            subjects: self.subjects.clone(),
            retention: "limits".to_owned(),
            storage: self.storage().to_owned(),
            discard: "old".to_owned(),
            max_msgs: -1,
            max_msgs_per_subject: i64::from(self.kept),
            max_bytes: -1,
            max_age: 0,
            num_replicas: self.replicas,
            allow_direct: true,
            deny_delete: false,
            persist_mode: None,
            metadata: self.metadata.clone(),
        }
    }

    fn storage(&self) -> &'static str {
        if self.in_memory { "memory" } else { "file" }
    }

    fn check(&self, found: &StreamConfig) -> Result<(), NatsError> {
        let is_ours = self.metadata.iter().all(|(key, value)| found.metadata.get(key) == Some(value));
        let problem = if !is_ours {
            "it belongs to another store: choose another nats.deployment".to_owned()
        } else if found.num_replicas < self.replicas {
            let (found, wanted) = (found.num_replicas, self.replicas);
            format!("it has {found} replicas, nats.replicas is {wanted}: `nats stream edit --replicas {wanted}` it")
        } else if found.subjects != self.subjects {
            format!("it takes {:?}", found.subjects)
        } else if found.storage != self.storage() || found.discard != "old" {
            format!("it must be in storage {:?}, and discard the old", self.storage())
        } else if found.max_msgs_per_subject != i64::from(self.kept) {
            let (found, kept) = (found.max_msgs_per_subject, self.kept);
            format!(
                "it keeps {found} messages of each subject, {kept} are wanted: `nats stream edit --max-msgs-per-subject {kept}` it"
            )
        } else if !found.allow_direct {
            "it does not allow direct reads".to_owned()
        } else {
            return Ok(());
        };
        Err(NatsError::Stream { stream: self.name.clone(), problem })
    }
}
