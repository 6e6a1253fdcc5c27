//! What became of the message that a lane has on its way, however answers are lost, late, doubled or out of order.
//!
//! What an answer means for what is to be message `n`:
//! - message `n`: it is committed;
//! - the stream ends elsewhere, before `n`: not taken; it is sent again;
//! - the stream ends at `n` or beyond: message `n` is read. Of this epoch: committed. Of another: fenced;
//! - the stream ends before what was acknowledged, again and again: the log lost data. Freeze;
//! - none, nobody there, or any other refusal: it is sent again, the same bytes with the same expectation.
//!
//! Invariant: only the stream decides. What it does not say is asked for again, and never guessed.

use std::time::Duration;

use async_nats::Message;
use holdfast_persistence::{AppendError, JournalError};
use tokio::time::Instant;

use super::{
    error::RequestError,
    flight::{Entry, Sent},
    lane::{Lane, PAUSE_MAX, PAUSE_MIN},
    log::End,
    requests::{Appended, read_ack},
};

/// After so many answers that deny what was acknowledged, the log has lost it. Leader elections deny it for a moment.
const LOSS_CONFIRMED_BY: u32 = 20;

impl Lane {
    /// Takes in one answer.
    pub(super) fn hear(&mut self, answer: &Message) {
        let mut parts = answer.subject.rsplit('.').map_while(|part| part.parse::<u64>().ok());
        let (given, epoch) = (parts.next(), parts.next());
        let place = self.flight.place();
        let is_current = !self.flight.is_empty() && epoch == self.epoch && given == Some(place);
        if !is_current {
            return;
        }
        match read_ack(answer) {
            Appended::At(sequence) if sequence == place => {
                self.commit();
                self.denials = 0;
            }
            Appended::At(sequence) => {
                let problem = format!("what is to be message {place} was acknowledged as message {sequence}");
                self.freeze(RequestError::Malformed(problem));
            }
            Appended::WrongLast(end) => self.hear_denial(place, end),
            Appended::NotNow(fault) => {
                tracing::debug!(shard = self.log.shard.0, place, %fault, "a message was not taken");
                self.last_fault = Some(fault);
                self.reject();
            }
        }
    }

    /// The stream ends with message `end`, not where it is expected to.
    fn hear_denial(&mut self, place: u64, end: Option<u64>) {
        match end {
            Some(end) if end >= place => self.set_taken(PAUSE_MIN),
            Some(end) if end < self.flight.acked => {
                self.denials += 1;
                if self.denials >= LOSS_CONFIRMED_BY {
                    let acked = self.flight.acked;
                    let problem =
                        format!("it ends with message {end}, but message {acked} was acknowledged: it lost data");
                    return self.freeze(RequestError::Malformed(problem));
                }
                self.reject();
            }
            _ => self.reject(),
        }
    }

    fn reject(&mut self) {
        if let Some(flying) = &mut self.flight.flying
            && flying.sent == Sent::Waiting
        {
            flying.sent = Sent::Rejected;
            self.paused_until = Instant::now() + self.pause;
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
    }

    pub(super) fn set_taken(&mut self, pause: Duration) {
        if let Some(flying) = &mut self.flight.flying {
            flying.sent = Sent::Taken;
            self.paused_until = Instant::now() + pause;
        }
    }

    /// What is on its way is in the stream.
    fn commit(&mut self) {
        let (Some(flying), Some(epoch)) = (self.flight.commit(), self.epoch) else { return };
        let next_seq = self.log.end().next_seq + flying.records;
        self.shared.count(flying.entries.len() as u64, flying.records, flying.bytes.len() as u64);
        self.log.note(End { message: self.flight.acked, epoch, next_seq });
        self.shared.wake_followers();
        flying.entries.into_iter().for_each(Entry::tell);
        self.pause = PAUSE_MIN;
        self.set_stalled(false);
        self.hinter.want(&self.shared);
    }

    /// The place is taken: by whom?
    pub(super) async fn read_place(&mut self) {
        let place = self.flight.place();
        match self.shared.requests.message(&self.log.stream, place).await {
            Ok(Some(stored)) if stored.sequence == place => {
                match self.shared.format.read(self.log.shard, &stored.payload).map(|message| message.epoch) {
                    Ok(epoch) if Some(epoch) == self.epoch => self.commit(),
                    Ok(epoch) => self.lose(epoch),
                    Err(source) => {
                        let (log, sequence) = (self.log.stream.clone(), place);
                        self.shared.fail(JournalError::Message { log, sequence, source });
                        self.give_up();
                    }
                }
            }
            // A replica that is behind was asked, or the message is still being agreed on.
            Ok(_) | Err(_) => {
                self.paused_until = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(PAUSE_MAX);
                let timeout = self.shared.settings.attempt_timeout();
                if let Some(flying) = &mut self.flight.flying
                    && flying.last_sent.elapsed() > timeout
                {
                    flying.sent = Sent::Rejected;
                }
            }
        }
    }

    /// The shard is another node's, which began epoch `later`.
    pub(super) fn lose(&mut self, later: u64) {
        if let Some(own) = self.epoch.take() {
            self.shared.overtake(&self.log, own, later);
        }
        self.give_up();
    }

    /// The journal takes nothing more: what is on its way may or may not be in the stream.
    pub(super) fn freeze(&mut self, source: RequestError) {
        let source = Box::new(source);
        self.shared.fail(JournalError::Elsewhere { action: "append to", log: self.log.stream.clone(), source });
        self.give_up();
    }

    /// Tells everyone that is on the way why it will not be. Those that wait behind are told when it is their turn.
    pub(super) fn give_up(&mut self) {
        for entry in self.flight.flying.take().into_iter().flat_map(|flying| flying.entries) {
            let refusal = self.shared.refusal(&self.log, self.epoch, entry.epoch, entry.first_seq);
            let refusal = refusal.unwrap_or_else(|| self.log.fenced(entry.first_seq));
            (entry.done)(Err::<(), AppendError>(refusal));
        }
        self.set_stalled(false);
    }
}
