//! One shard's way into its stream: sends batches behind one another, each once the one before is there, and finds out what
//! became of each, however answers are lost, late, doubled or out of order.
//!
//! What an answer means for the batch that is to be message `n`:
//! - message `n`: it is committed;
//! - the stream ends elsewhere, before `n - 1`: not taken; it is sent again when those before it are there;
//! - the stream ends at `n` or beyond: message `n` is read. Of this epoch: committed. Of another: fenced;
//! - the stream ends before what was acknowledged, again and again: the log lost data. Freeze;
//! - none, nobody there, or any other refusal: it is sent again, the same bytes with the same expectation.
//!
//! Invariants: every completion runs once, in append order; `Ok` only for a message known to be in the stream; after a
//! foreign epoch was seen nothing is sent.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::{Message, Subscriber};
use futures_util::StreamExt as _;
use holdfast_core::ShardId;
use holdfast_persistence::{AppendError, JournalError};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep_until},
};

use super::{
    error::RequestError,
    flight::{Entry, Flight, Flying, Sent},
    requests::{Appended, expecting, read_ack},
    shared::{ShardLog, Shared},
};

/// The shortest and the longest wait before something is tried again.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// After so many answers that deny what was acknowledged, the log has lost it. Leader elections deny it for a moment.
const LOSS_CONFIRMED_BY: u32 = 20;

/// Batches of one shard on their way at once. An expected sequence names a place, not who is in it: with two on their way,
/// the epoch record of another owner may take the place of the first, and the second would be let in behind it.
const ON_THEIR_WAY: usize = 1;

/// The task of one shard.
pub(super) struct Lane {
    shared: Arc<Shared>,
    shard: ShardId,
    queue: UnboundedReceiver<Entry>,
    inbox: String,
    acks: Subscriber,
    flight: Flight,
    pause: Duration,
    paused_until: Instant,
    is_stalled: bool,
    denials: u32,
    /// When no more appends will come: since then.
    closed: Option<Instant>,
    /// Why the last attempt did not succeed.
    last_fault: Option<RequestError>,
}

impl Lane {
    /// A lane for the batches of `queue`, whose acknowledgments come to `acks` below `inbox`.
    pub(super) fn new(
        shared: Arc<Shared>,
        log: &ShardLog,
        queue: UnboundedReceiver<Entry>,
        inbox: String,
        acks: Subscriber,
    ) -> Self {
        Self {
            shard: log.shard,
            queue,
            inbox,
            acks,
            flight: Flight::behind(log.begun_at),
            pause: PAUSE_MIN,
            paused_until: Instant::now(),
            is_stalled: false,
            denials: 0,
            closed: None,
            last_fault: None,
            shared,
        }
    }

    /// Sends until the queue is closed and everything in it was told.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let Some(log) = shared.log(self.shard) else { return };
        while self.closed.is_none() || !self.flight.is_empty() {
            let has_room = self.closed.is_none() && self.flight.len() < ON_THEIR_WAY && !self.flight.has_rejected();
            let due = self.due();
            tokio::select! {
                biased;
                Some(answer) = self.acks.next() => self.hear(log, &answer),
                entry = self.queue.recv(), if has_room => match entry {
                    Some(entry) => self.take(log, entry).await,
                    None => self.closed = Some(Instant::now()),
                },
                () = sleep_until(due), if !self.flight.is_empty() => self.look_after(log).await,
            }
        }
        self.set_stalled(false);
    }

    /// When the head is to be looked after.
    fn due(&self) -> Instant {
        let settings = &self.shared.settings;
        let Some(head) = self.flight.head() else { return Instant::now() + PAUSE_MAX };
        let next = match head.sent {
            Sent::Waiting => head.last_sent + settings.attempt_timeout(),
            Sent::Rejected | Sent::Taken => self.paused_until,
        };
        let stall = head.first_sent + Duration::from_millis(settings.unreachable_after_ms);
        if self.is_stalled { next } else { next.min(stall) }
    }

    /// Sends an entry, or tells it what it waits for.
    async fn take(&mut self, log: &ShardLog, entry: Entry) {
        if let Some(refusal) = self.shared.refusal(log, entry.first_seq) {
            let refusal = entry.refusal.clone().unwrap_or(refusal);
            return (entry.done)(Err(refusal));
        }
        if entry.bytes.is_empty() {
            if let Some(entry) = self.flight.push_behind(entry) {
                tell(entry);
            }
            return;
        }
        let bytes = entry.bytes.clone();
        let expected_last = self.flight.push(entry, Instant::now());
        self.send(log, expected_last, bytes).await;
    }

    async fn send(&mut self, log: &ShardLog, expected_last: u64, bytes: bytes::Bytes) {
        let reply = format!("{}.{}", self.inbox, expected_last + 1);
        let (client, headers) = (&self.shared.requests.client, expecting(expected_last));
        if let Err(error) = client.publish_with_reply_and_headers(log.subject.clone(), reply, headers, bytes).await {
            // It is found missing when its time is up.
            tracing::debug!(shard = log.shard.0, %error, "a batch could not be sent");
        }
    }

    /// Takes in one answer.
    fn hear(&mut self, log: &ShardLog, answer: &Message) {
        let place = answer.subject.rsplit('.').next().and_then(|place| place.parse::<u64>().ok());
        let Some(place) = place.filter(|place| *place > self.flight.acked()) else { return };
        match read_ack(answer) {
            Appended::At(sequence) if sequence == place => {
                self.commit(log, place);
                self.denials = 0;
            }
            Appended::At(sequence) => {
                let problem = format!("batch for message {place} was acknowledged as message {sequence}");
                self.freeze(log, RequestError::Malformed(problem));
            }
            Appended::WrongLast(end) => self.hear_denial(log, place, end),
            Appended::NotNow(fault) => {
                tracing::debug!(shard = log.shard.0, place, %fault, "a batch was not taken");
                self.last_fault = Some(fault);
                self.reject(place);
            }
        }
    }

    /// The stream ends with message `end`, not where the batch for `place` expects it to.
    fn hear_denial(&mut self, log: &ShardLog, place: u64, end: Option<u64>) {
        let acked = self.flight.acked();
        match end {
            Some(end) if end >= place => {
                if let Some(flying) = self.flight.at(place) {
                    flying.sent = Sent::Taken;
                    self.paused_until = Instant::now() + PAUSE_MIN;
                }
            }
            Some(end) if end < acked => {
                self.denials += 1;
                if self.denials >= LOSS_CONFIRMED_BY {
                    let problem =
                        format!("it ends with message {end}, but message {acked} was acknowledged: it lost data");
                    return self.freeze(log, RequestError::Malformed(problem));
                }
                self.reject(place);
                self.reject(acked + 1);
            }
            // What came before it over the same connection is not there: it got lost on the way.
            Some(end) if end == acked => {
                self.reject(place);
                self.reject(acked + 1);
            }
            _ => self.reject(place),
        }
    }

    fn reject(&mut self, place: u64) {
        let is_head = place == self.flight.acked() + 1;
        let Some(flying) = self.flight.at(place) else { return };
        if flying.sent == Sent::Waiting {
            flying.sent = Sent::Rejected;
            if is_head {
                self.paused_until = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(PAUSE_MAX);
            }
        }
    }

    /// Everything up to message `place` is in the stream.
    fn commit(&mut self, log: &ShardLog, place: u64) {
        while self.flight.acked() < place {
            let Some(Flying { entry, behind, .. }) = self.flight.commit_head() else { return };
            let bytes = entry.bytes.len() as u64;
            self.shared.note_durable(log, self.flight.acked(), entry.records, bytes);
            tell(entry);
            behind.into_iter().for_each(tell);
        }
        self.pause = PAUSE_MIN;
        // A new head that was rejected because of the old one goes at once.
        self.paused_until = Instant::now();
        let patience = Duration::from_millis(self.shared.settings.unreachable_after_ms);
        let still = self.flight.head().is_some_and(|head| self.is_stalled && head.first_sent.elapsed() > patience);
        self.set_stalled(still);
    }

    /// The head's time is up, or its pause.
    async fn look_after(&mut self, log: &ShardLog) {
        let settings = &self.shared.settings;
        let Some(head) = self.flight.head() else { return };
        let (sent, waited, since) = (head.sent, head.first_sent.elapsed(), head.last_sent.elapsed());
        if waited > Duration::from_millis(settings.unreachable_after_ms) {
            self.set_stalled(true);
        }
        let deadline = Duration::from_millis(self.shared.settings.append_deadline_ms);
        let limit = self.shared.settings.attempt_timeout() * 2;
        if waited > deadline || self.closed.is_some_and(|since| since.elapsed() > limit) {
            let fault = self.last_fault.take().unwrap_or(RequestError::TimedOut);
            return self.freeze(log, fault);
        }
        if self.shared.refusal(log, 0).is_some() {
            return self.give_up(log);
        }
        match sent {
            Sent::Taken if Instant::now() >= self.paused_until => self.read_head(log).await,
            Sent::Rejected if Instant::now() >= self.paused_until => self.send_again(log).await,
            Sent::Waiting if since >= self.shared.settings.attempt_timeout() => self.send_again(log).await,
            _ => {}
        }
    }

    /// Sends everything that is on its way once more. While there is no connection it would only pile up.
    async fn send_again(&mut self, log: &ShardLog) {
        if !self.shared.connected.load(Ordering::Acquire) {
            if let Some(head) = self.flight.head_mut() {
                head.sent = Sent::Rejected;
            }
            self.paused_until = Instant::now() + PAUSE_MIN;
            return;
        }
        let again = self.flight.send_again(Instant::now());
        self.shared.counts.resent.fetch_add(again.len() as u64, Ordering::Relaxed);
        metrics::counter!("holdfast_journal_resent_batches_total").increment(again.len() as u64);
        for (expected_last, bytes) in again {
            self.send(log, expected_last, bytes).await;
        }
    }

    /// The head's place is taken: by whom?
    async fn read_head(&mut self, log: &ShardLog) {
        let place = self.flight.acked() + 1;
        match self.shared.requests.message(&log.stream, place).await {
            Ok(Some(stored)) if stored.sequence == place => match self.shared.format.read(log.shard, &stored.payload) {
                Ok(message) if message.epoch == log.epoch => self.commit(log, place),
                Ok(message) => {
                    self.shared.overtake(log, message.epoch);
                    self.give_up(log);
                }
                Err(source) => {
                    let (stream, sequence) = (log.stream.clone(), place);
                    self.shared.fail(JournalError::Message { log: stream, sequence, source });
                    self.give_up(log);
                }
            },
            // A replica that is behind was asked, or the message is still being agreed on.
            Ok(_) | Err(_) => {
                self.paused_until = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(PAUSE_MAX);
                let timeout = self.shared.settings.attempt_timeout();
                if let Some(head) = self.flight.head_mut()
                    && head.last_sent.elapsed() > timeout
                {
                    head.sent = Sent::Rejected;
                }
            }
        }
    }

    /// The journal takes nothing more: what is on its way may or may not be in the stream.
    fn freeze(&mut self, log: &ShardLog, source: RequestError) {
        let source = Box::new(source);
        self.shared.fail(JournalError::Elsewhere { action: "append to", log: log.stream.clone(), source });
        self.give_up(log);
    }

    /// Tells everyone that is waiting why it will not be.
    fn give_up(&mut self, log: &ShardLog) {
        for Flying { entry, behind, .. } in self.flight.give_up() {
            for entry in std::iter::once(entry).chain(behind) {
                let refusal = self.shared.refusal(log, entry.first_seq);
                let refusal = refusal.unwrap_or_else(|| log.fenced(entry.first_seq));
                (entry.done)(Err::<(), AppendError>(refusal));
            }
        }
        self.set_stalled(false);
    }

    fn set_stalled(&mut self, is_stalled: bool) {
        if self.is_stalled != is_stalled {
            self.is_stalled = is_stalled;
            let stalled = &self.shared.stalled;
            if is_stalled {
                stalled.fetch_add(1, Ordering::Relaxed)
            } else {
                stalled.fetch_sub(1, Ordering::Relaxed)
            };
        }
    }
}

/// Tells an entry that everything before it is durable, and it too unless it was refused.
fn tell(entry: Entry) {
    (entry.done)(entry.refusal.map_or(Ok(()), Err));
}
