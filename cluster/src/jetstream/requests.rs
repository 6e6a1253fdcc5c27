//! What is asked of `JetStream`, as requests and answers of its own protocol: few enough to be written down here, where
//! every error code, timeout and repetition is in sight.
//!
//! Invariant: every request ends within its timeout; none is repeated here.

use std::{collections::BTreeMap, time::Duration};

use async_nats::{Client, HeaderMap, Message, Request, client::RequestErrorKind};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::error::RequestError;

/// The header that makes an append a compare-and-set on the stream's end.
pub(super) const EXPECTED_LAST: &str = "Nats-Expected-Last-Sequence";
/// The same on the end of the append's own subject.
const EXPECTED_LAST_OF_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence";
/// The header with a message's number in an answer.
const SEQUENCE: &str = "Nats-Sequence";
/// `JetStream`: the stream does not end where the append expects it to.
pub(super) const WRONG_LAST_SEQUENCE: u64 = 10_071;
/// `JetStream`: there is no such stream.
pub(super) const STREAM_NOT_FOUND: u64 = 10_059;
/// `JetStream`: the stream has no such message.
const MESSAGE_NOT_FOUND: u64 = 10_037;

/// How a stream is set up. What is not named here is left at the server's default.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StreamConfig {
    pub(super) name: String,
    pub(super) subjects: Vec<String>,
    pub(super) retention: String,
    pub(super) storage: String,
    pub(super) discard: String,
    #[serde(default)]
    pub(super) max_msgs: i64,
    #[serde(default)]
    pub(super) max_msgs_per_subject: i64,
    #[serde(default)]
    pub(super) max_bytes: i64,
    #[serde(default)]
    pub(super) max_age: i64,
    pub(super) num_replicas: usize,
    #[serde(default)]
    pub(super) allow_direct: bool,
    #[serde(default)]
    pub(super) deny_delete: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) persist_mode: Option<String>,
    #[serde(default)]
    pub(super) metadata: BTreeMap<String, String>,
}

impl StreamConfig {
    /// On disk, and nothing ever vanishes by itself.
    pub(super) fn lossless(
        name: String,
        subjects: Vec<String>,
        num_replicas: usize,
        metadata: BTreeMap<String, String>,
    ) -> Self {
        Self {
            name,
            subjects,
            retention: "limits".to_owned(),
            storage: "file".to_owned(),
            discard: "new".to_owned(),
            max_msgs: -1,
            max_msgs_per_subject: -1,
            max_bytes: -1,
            max_age: 0,
            num_replicas,
            allow_direct: true,
            deny_delete: true,
            persist_mode: None,
            metadata,
        }
    }

    /// Whether old messages vanish by themselves.
    pub(super) fn has_limit(&self) -> bool {
        self.max_age > 0 || self.max_msgs > 0 || self.max_bytes > 0 || self.max_msgs_per_subject > 0
    }
}

/// What a stream holds.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct StreamState {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    /// Its subjects and how many messages each has, where that was asked for.
    #[serde(default)]
    pub(super) subjects: BTreeMap<String, u64>,
}

/// A stream.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct StreamInfo {
    pub(super) config: StreamConfig,
    pub(super) state: StreamState,
}

/// One stored message.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its number in the stream.
    pub sequence: u64,
    /// What it says.
    pub payload: Bytes,
}

/// How an append ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is on a quorum, with this number.
    At(u64),
    /// The stream ends with another message than expected: this one, as far as the answer says.
    WrongLast(Option<u64>),
    /// It was not taken now, or nobody knows.
    NotNow(RequestError),
}

/// Requests over one connection.
#[derive(Debug, Clone)]
pub struct Requests {
    /// The connection.
    pub client: Client,
    /// How long an answer is waited for.
    pub timeout: Duration,
}

impl Requests {
    /// Asks the API. `body` may be null.
    pub(super) async fn ask<T: DeserializeOwned>(&self, what: &str, body: &Value) -> Result<T, RequestError> {
        let payload = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let answer = self.request(format!("$JS.API.{what}"), HeaderMap::new(), payload, self.timeout).await?;
        let value: Value = serde_json::from_slice(&answer.payload).map_err(malformed)?;
        match refusal(&value) {
            Some(refused) => Err(refused),
            None => serde_json::from_value(value).map_err(malformed),
        }
    }

    /// How the stream is set up and what it holds; `None` when there is none.
    pub(super) async fn stream(&self, stream: &str) -> Result<Option<StreamInfo>, RequestError> {
        self.stream_with(stream, &Value::Null).await
    }

    /// The same, asked with what else is to be told.
    pub(super) async fn stream_with(&self, stream: &str, body: &Value) -> Result<Option<StreamInfo>, RequestError> {
        match self.ask(&format!("STREAM.INFO.{stream}"), body).await {
            Ok(info) => Ok(Some(info)),
            Err(RequestError::Refused { code: STREAM_NOT_FOUND, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a stream. The same again is no error.
    pub(super) async fn create(&self, config: &StreamConfig) -> Result<StreamInfo, RequestError> {
        let body = serde_json::to_value(config).map_err(malformed)?;
        self.ask(&format!("STREAM.CREATE.{}", config.name), &body).await
    }

    /// Deletes the messages before number `keep_from`. How many there were.
    pub(super) async fn purge(&self, stream: &str, keep_from: u64) -> Result<u64, RequestError> {
        let answer: Value = self.ask(&format!("STREAM.PURGE.{stream}"), &json!({ "seq": keep_from })).await?;
        Ok(answer.get("purged").and_then(Value::as_u64).unwrap_or(0))
    }

    /// The first message there is.
    pub(super) async fn first(&self, stream: &str, subject: &str) -> Result<Option<Stored>, RequestError> {
        self.next(stream, subject, 1).await
    }

    /// The first message of the subject from number `from` on.
    pub(super) async fn next(&self, stream: &str, subject: &str, from: u64) -> Result<Option<Stored>, RequestError> {
        self.direct(stream, &json!({ "seq": from, "next_by_subj": subject })).await
    }

    /// The message with this number. From any replica: what is found was committed, what is not
    /// found may be there all the same.
    ///
    /// # Errors
    /// [`RequestError`], when it is not told.
    pub async fn message(&self, stream: &str, sequence: u64) -> Result<Option<Stored>, RequestError> {
        self.direct(stream, &json!({ "seq": sequence })).await
    }

    /// The last message of a subject that a replica has. Only an append that expects it proves that it is the last one.
    ///
    /// # Errors
    /// [`RequestError`], when it is not told.
    pub async fn last(&self, stream: &str, subject: &str) -> Result<Option<Stored>, RequestError> {
        self.direct(stream, &json!({ "last_by_subj": subject })).await
    }

    /// The number of the subject's last message, of the stream's leader; `None` when there is none. While servers elect a leader,
    /// each would describe the stream as it has it, but none answers this. A leader that was cut off may, until it notices.
    ///
    /// # Errors
    /// [`RequestError`], when it is not told.
    pub async fn last_number(&self, stream: &str, subject: &str) -> Result<Option<u64>, RequestError> {
        self.number(stream, &json!({ "last_by_subj": subject })).await
    }

    /// The same of the subject's first message from number `from` on.
    ///
    /// # Errors
    /// [`RequestError`], when it is not told.
    pub(super) async fn next_number(
        &self,
        stream: &str,
        subject: &str,
        from: u64,
    ) -> Result<Option<u64>, RequestError> {
        self.number(stream, &json!({ "seq": from, "next_by_subj": subject })).await
    }

    async fn number(&self, stream: &str, which: &Value) -> Result<Option<u64>, RequestError> {
        let answer = match self.ask::<Value>(&format!("STREAM.MSG.GET.{stream}"), which).await {
            Err(RequestError::Refused { code: MESSAGE_NOT_FOUND, .. }) => return Ok(None),
            answered => answered?,
        };
        let number = answer.pointer("/message/seq").and_then(Value::as_u64);
        let missing = || RequestError::Malformed("it does not say which message it is".to_owned());
        number.ok_or_else(missing).map(Some)
    }

    /// Appends a message behind number `expected_last` of the stream, once. 0: the stream is to be empty.
    pub async fn append(&self, subject: &str, expected_last: u64, payload: Bytes) -> Appended {
        match self.request(subject.to_owned(), expecting(expected_last), payload, self.timeout).await {
            Ok(answer) => read_ack(&answer),
            Err(error) => Appended::NotNow(error),
        }
    }

    /// The same behind number `expected_last` of the subject, whatever else is in the stream. 0: the subject is to be empty.
    pub(super) async fn append_to_subject(&self, subject: &str, expected_last: u64, payload: Bytes) -> Appended {
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED_LAST_OF_SUBJECT, expected_last.to_string().as_str());
        match self.request(subject.to_owned(), headers, payload, self.timeout).await {
            Ok(answer) => read_ack(&answer),
            Err(error) => Appended::NotNow(error),
        }
    }

    async fn direct(&self, stream: &str, body: &Value) -> Result<Option<Stored>, RequestError> {
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let answer = self.request(subject, HeaderMap::new(), Bytes::from(body.to_string()), self.timeout).await?;
        match answer.status.map(|status| status.as_u16()) {
            None => stored(answer).map(Some),
            Some(404) => Ok(None),
            Some(code) => {
                let description = answer.description.unwrap_or_default();
                Err(RequestError::Refused { code: code.into(), description })
            }
        }
    }

    /// Asks once, and waits at most `limit` for the answer.
    pub(super) async fn request(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
        limit: Duration,
    ) -> Result<Message, RequestError> {
        let request = Request::new().headers(headers).payload(payload).timeout(Some(limit));
        self.client.send_request(subject, request).await.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => RequestError::NoResponders,
            RequestErrorKind::TimedOut => RequestError::TimedOut,
            _ => RequestError::Connection(error.to_string()),
        })
    }
}

/// The headers of an append behind message `last`.
pub(super) fn expecting(last: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(EXPECTED_LAST, last.to_string().as_str());
    headers
}

/// Reads the answer to an append.
pub(super) fn read_ack(answer: &Message) -> Appended {
    if answer.status.is_some_and(|status| status.as_u16() == 503) {
        return Appended::NotNow(RequestError::NoResponders);
    }
    let value: Value = match serde_json::from_slice(&answer.payload) {
        Ok(value) => value,
        Err(error) => return Appended::NotNow(malformed(error)),
    };
    match (refusal(&value), value.get("seq").and_then(Value::as_u64)) {
        (Some(RequestError::Refused { code: WRONG_LAST_SEQUENCE, description }), _) => {
            let found = description.rsplit(' ').next().and_then(|number| number.parse().ok());
            Appended::WrongLast(found)
        }
        (Some(refused), _) => Appended::NotNow(refused),
        (None, Some(sequence)) => Appended::At(sequence),
        (None, None) => Appended::NotNow(RequestError::Malformed("there is no sequence in it".to_owned())),
    }
}

/// Reads a stored message out of a direct answer.
pub(super) fn stored(answer: Message) -> Result<Stored, RequestError> {
    let sequence = answer.headers.as_ref().and_then(|headers| headers.get(SEQUENCE)?.as_str().parse().ok());
    let missing = || RequestError::Malformed("it does not say which message it is".to_owned());
    Ok(Stored { sequence: sequence.ok_or_else(missing)?, payload: answer.payload })
}

fn refusal(value: &Value) -> Option<RequestError> {
    let error = value.get("error")?;
    let code = error.get("err_code").or_else(|| error.get("code")).and_then(Value::as_u64).unwrap_or_default();
    let description = error.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(RequestError::Refused { code, description })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn malformed(error: serde_json::Error) -> RequestError {
    RequestError::Malformed(error.to_string())
}
