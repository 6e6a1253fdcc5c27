//! Reads one shard's stream in order, many messages an answer.
//!
//! Invariant: no message is skipped and none is given twice: each carries the number, the sequence and an epoch that is due.
//! Any replica may answer, also one that is behind: then it is asked again, until what is known to be there has come.

use std::time::Duration;

use async_nats::{Message as Answer, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use holdfast_core::ShardId;
use holdfast_persistence::{
    JournalError,
    journal::{Message, MessageDamage},
};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::{
    connect::PAUSE,
    error::RequestError,
    log::{End, ShardLog},
    requests::{Stored, stored},
    shared::Shared,
};

/// Messages asked for at once, in number. The server bounds their bytes.
const MESSAGES_AT_ONCE: u64 = 512;
/// The answer's status at the end of what was asked for.
const END_OF_BATCH: u16 = 204;
/// The header that says how many more there are behind it.
const PENDING: &str = "Nats-Num-Pending";
/// The first wait for a message that is known to be there; it doubles up to [`PAUSE`].
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// A place in a shard's stream.
pub(super) struct StreamReader {
    inbox: String,
    answers: Subscriber,
    /// How often it has asked: tells answers to what was given up from those that count.
    asked: u64,
    is_asking: bool,
    place: Place,
    /// The place before the message that was read last.
    before: Place,
}

/// Where a reader is.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The next message.
    next: u64,
    /// The sequence number that is due in it, once one was read.
    next_seq: Option<u64>,
    epoch: u64,
}

/// What a look at the next message found.
pub(super) enum Look {
    /// The message.
    Message(Bytes),
    /// The replica that was asked does not have it.
    NotThere,
    /// Nobody answered as wanted.
    Fault(RequestError),
}

impl StreamReader {
    /// Begins at the message that holds record `from`, or follows the last one.
    ///
    /// # Errors
    /// [`JournalError::Purged`] when it is gone.
    pub(super) async fn begin(shared: &Shared, log: &ShardLog, from: u64) -> Result<Self, JournalError> {
        let end = log.end();
        let next = if from >= end.next_seq { end.message + 1 } else { locate(shared, log, from, end).await? };
        let inbox = shared.requests.client.new_inbox();
        let subscribed = shared.requests.client.subscribe(format!("{inbox}.*")).await;
        let answers = subscribed.map_err(|error| elsewhere(log, RequestError::Connection(error.to_string())))?;
        let place = Place { next, next_seq: None, epoch: 0 };
        Ok(Self { inbox, answers, asked: 0, is_asking: false, place, before: place })
    }

    /// The number of the next message.
    pub(super) fn next_message(&self) -> u64 {
        self.place.next
    }

    /// How far it has read.
    pub(super) fn end(&self) -> Option<End> {
        let Place { next, next_seq, epoch } = self.place;
        next_seq.map(|next_seq| End { message: next - 1, epoch, next_seq })
    }

    /// As if the message that was read last had not been.
    pub(super) fn step_back(&mut self) {
        self.place = self.before;
        self.is_asking = false;
    }

    /// Goes on behind `end`.
    pub(super) fn go_behind(&mut self, end: End) {
        self.place = Place { next: end.message + 1, next_seq: Some(end.next_seq), epoch: end.epoch };
        self.is_asking = false;
    }

    /// The next message, which is known to be there, up to `until`, as what may be read ahead.
    pub(super) async fn read(&mut self, shared: &Shared, log: &ShardLog, until: u64) -> Result<Bytes, JournalError> {
        let (began, mut pause) = (Instant::now(), PAUSE_MIN);
        loop {
            let fault = match self.look(shared, log, until).await? {
                Look::Message(payload) => return Ok(payload),
                Look::NotThere => RequestError::Malformed(format!("message {} is not there", self.place.next)),
                Look::Fault(fault) => fault,
            };
            if began.elapsed() > shared.settings.start_deadline() {
                return Err(elsewhere(log, fault));
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE);
        }
    }

    /// Looks for the next message, and asks for those behind it up to `until`.
    pub(super) async fn look(&mut self, shared: &Shared, log: &ShardLog, until: u64) -> Result<Look, JournalError> {
        loop {
            if !self.is_asking {
                self.ask(shared, log, until).await;
            }
            let fault = match timeout(shared.settings.attempt_timeout(), self.answers.next()).await {
                Ok(Some(answer)) if !self.is_current(&answer) => continue,
                Ok(Some(answer)) => match answer.status.map(|status| status.as_u16()) {
                    None => return self.accept(shared, log, answer).await.map(Look::Message),
                    Some(END_OF_BATCH) => {
                        self.is_asking = false;
                        if pending(&answer) > 0 && self.place.next <= until {
                            continue;
                        }
                        return Ok(Look::NotThere);
                    }
                    Some(404) => {
                        self.is_asking = false;
                        return Ok(Look::NotThere);
                    }
                    Some(503) => RequestError::NoResponders,
                    Some(code) => RequestError::Malformed(format!("status {code}")),
                },
                Ok(None) => RequestError::Connection("the subscription ended".to_owned()),
                Err(_) => RequestError::TimedOut,
            };
            self.is_asking = false;
            return Ok(Look::Fault(fault));
        }
    }

    async fn ask(&mut self, shared: &Shared, log: &ShardLog, until: u64) {
        self.asked += 1;
        self.is_asking = true;
        let next = self.place.next;
        let batch = MESSAGES_AT_ONCE.min(until.saturating_sub(next).saturating_add(1));
        let body = json!({ "seq": next, "batch": batch }).to_string();
        let (subject, reply) = (format!("$JS.API.DIRECT.GET.{}", log.stream), format!("{}.{}", self.inbox, self.asked));
        // If it is lost, the wait for an answer ends.
        let _ = shared.requests.client.publish_with_reply(subject, reply, body.into()).await;
    }

    fn is_current(&self, answer: &Answer) -> bool {
        self.is_asking && answer.subject.rsplit('.').next().and_then(|asked| asked.parse().ok()) == Some(self.asked)
    }

    async fn accept(&mut self, shared: &Shared, log: &ShardLog, answer: Answer) -> Result<Bytes, JournalError> {
        let stored = stored(answer).map_err(|fault| elsewhere(log, fault))?;
        let Place { next: sequence, next_seq, epoch } = self.place;
        if stored.sequence != sequence {
            self.is_asking = false;
            return Err(missing(shared, log, sequence, next_seq).await);
        }
        let damaged = |source| JournalError::Message { log: log.stream.clone(), sequence, source };
        let message = shared.format.read(log.shard, &stored.payload).map_err(damaged)?;
        if let Some(expected) = next_seq.filter(|expected| *expected != message.first_seq) {
            return Err(damaged(MessageDamage::Sequence { expected, found: message.first_seq }));
        }
        if message.epoch < epoch || (message.boot.is_some() && message.epoch == epoch) {
            return Err(damaged(MessageDamage::Epoch { expected: epoch, found: message.epoch }));
        }
        self.before = self.place;
        self.place = Place { next: sequence + 1, next_seq: Some(message.next_seq()), epoch: message.epoch };
        Ok(stored.payload)
    }
}

/// How many messages there are behind a batch that ended.
fn pending(answer: &Answer) -> u64 {
    let header = answer.headers.as_ref().and_then(|headers| headers.get(PENDING));
    header.and_then(|pending| pending.as_str().parse().ok()).unwrap_or(0)
}

/// Why a message that is due was passed over: purged meanwhile, or lost.
async fn missing(shared: &Shared, log: &ShardLog, sequence: u64, next_seq: Option<u64>) -> JournalError {
    match first(shared, log).await {
        Ok((message, first)) if message > sequence => {
            JournalError::Purged { shard: log.shard, from: next_seq.unwrap_or(1), first }
        }
        Ok(_) => JournalError::Message { log: log.stream.clone(), sequence, source: MessageDamage::Missing },
        Err(error) => error,
    }
}

/// The first message of a stream, and the first sequence number it has.
pub(super) async fn first(shared: &Shared, log: &ShardLog) -> Result<(u64, u64), JournalError> {
    let nothing = || elsewhere(log, RequestError::Malformed("there is nothing in it".to_owned()));
    let stored = get(shared, log, None).await?.ok_or_else(nothing)?;
    Ok((stored.sequence, read(shared, log, &stored)?.first_seq))
}

/// The last message whose records begin at `from` or before.
pub(super) async fn locate(shared: &Shared, log: &ShardLog, from: u64, end: End) -> Result<u64, JournalError> {
    let mut low = first_before(shared, log, from).await?;
    if from == 1 {
        return Ok(low);
    }
    // `low` begins at `from` or before; `high` is beyond the end or begins after it.
    let mut high = end.message + 1;
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        match get(shared, log, Some(middle)).await? {
            Some(stored) if read(shared, log, &stored)?.first_seq <= from => low = middle,
            Some(_) => high = middle,
            // Its owner let it go in between.
            None => low = first_before(shared, log, from).await?,
        }
    }
    Ok(low)
}

/// The first message of a stream, which begins at record `from` or before.
async fn first_before(shared: &Shared, log: &ShardLog, from: u64) -> Result<u64, JournalError> {
    match first(shared, log).await? {
        (_, first) if from < first => Err(JournalError::Purged { shard: log.shard, from, first }),
        (message, _) => Ok(message),
    }
}

fn read<'a>(shared: &Shared, log: &ShardLog, stored: &'a Stored) -> Result<Message<'a>, JournalError> {
    shared.format.read(log.shard, &stored.payload).map_err(|source| JournalError::Message {
        log: log.stream.clone(),
        sequence: stored.sequence,
        source,
    })
}

/// The message `sequence`, or the first of all, which was there; `None` once it was purged.
async fn get(shared: &Shared, log: &ShardLog, sequence: Option<u64>) -> Result<Option<Stored>, JournalError> {
    let (began, mut pause) = (Instant::now(), PAUSE_MIN);
    loop {
        let answer = match sequence {
            Some(sequence) => shared.requests.message(&log.stream, sequence).await,
            None => shared.requests.first(&log.stream, &log.subject).await,
        };
        let fault = match answer {
            Ok(Some(stored)) => return Ok(Some(stored)),
            Ok(None) => {
                let first = shared.requests.first(&log.stream, &log.subject).await;
                if let (Some(sequence), Ok(Some(first))) = (sequence, first)
                    && first.sequence > sequence
                {
                    return Ok(None);
                }
                RequestError::Malformed(format!("message {} is not there", sequence.unwrap_or(1)))
            }
            Err(fault) => fault,
        };
        if began.elapsed() > shared.settings.start_deadline() {
            return Err(elsewhere(log, fault));
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE);
    }
}

pub(super) fn elsewhere(log: &ShardLog, fault: RequestError) -> JournalError {
    JournalError::Elsewhere { action: "read", log: log.stream.clone(), source: Box::new(fault) }
}

/// The first record of the shard that is asked for.
pub(super) fn wanted(from: &std::collections::BTreeMap<ShardId, u64>, shard: ShardId) -> u64 {
    from.get(&shard).copied().unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use holdfast_core::ShardCount;
    use holdfast_persistence::{StoreId, journal::JournalOptions};
    use holdfast_servers::{Nats, NatsOptions};

    use super::*;
    use crate::{
        boot::BootId,
        jetstream::{JetStream, NatsSettings, streams::Streams},
    };

    #[test]
    fn a_message_that_was_let_go_is_not_waited_for() {
        let nats = Nats::start(&NatsOptions { sync_always: false, ..NatsOptions::default() }).unwrap();
        let settings =
            NatsSettings { url: nats.url(), replicas: 1, start_deadline_ms: 1_500, ..NatsSettings::default() };
        let (options, count, shard) = (JournalOptions::default(), ShardCount::new(1).unwrap(), ShardId(0));
        let (journal, _) = JetStream::connect(&settings, &options)
            .unwrap()
            .open(StoreId::from_bytes(*b"a store of tests"), count, &options)
            .unwrap();
        let inner = journal.shared();
        let (streams, log) = (Streams { requests: &inner.requests, settings: &settings }, inner.log(shard).unwrap());
        journal.handle().unwrap().block_on(async {
            for boot in 2..6 {
                let boot = BootId::from_bytes([boot; 16]);
                streams.take_over(shard, boot, &inner.format, u64::MAX).await.unwrap();
            }
            inner.requests.purge(&log.stream, 4).await.unwrap();
            assert!(get(inner, log, Some(2)).await.unwrap().is_none());
            assert_eq!(get(inner, log, Some(4)).await.unwrap().map(|stored| stored.sequence), Some(4));
            // There will be such a one: a replica that is behind does not have it yet.
            assert!(matches!(get(inner, log, Some(9)).await, Err(JournalError::Elsewhere { .. })));
        });
    }
}
