//! Brings answers of other nodes to whoever waits for them, by the command's id.
//!
//! All answers to a node come over one subscription of its own. The client's request call would do for a request that is
//! answered; but it keeps every unanswered one in a table for ever, and makes a name for each.

use std::{collections::HashMap, sync::Arc};

use async_nats::{Message, Subscriber};
use foldhash::fast::RandomState;
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::subjects::Subjects;
use crate::wire::Answer;

/// The status of a message in place of an answer: nobody listens to the subject.
const NOBODY_LISTENS: u16 = 503;

/// What came back.
#[derive(Debug)]
pub(super) enum Returned {
    /// An answer.
    Answer(Answer),
    /// Nobody listened: nothing was done.
    NobodyListens,
    /// Something that cannot be read.
    Unreadable,
}

/// Who waits for which command's answer.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<HashMap<u128, oneshot::Sender<Returned>, RandomState>>);

/// A wait for the answers to one command; ends when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    answers: Arc<Answers>,
    command: u128,
    /// `None` once an answer came: it is waited for again when it is asked again.
    arrived: Option<oneshot::Receiver<Returned>>,
}

impl Ticket {
    pub(super) fn new(answers: &Arc<Answers>, command: u128) -> Self {
        Self { answers: Arc::clone(answers), command, arrived: None }
    }

    /// Waits for answers from here on: to be called before anybody is asked.
    pub(super) fn expect(&mut self) {
        if self.arrived.is_none() {
            self.arrived = Some(self.answers.expect(self.command));
        }
    }

    /// The next answer since it is expected. Safe to be dropped while it waits.
    pub(super) async fn next(&mut self) -> Returned {
        self.expect();
        let Some(arrived) = &mut self.arrived else { return Returned::Unreadable };
        let returned = arrived.await.unwrap_or(Returned::Unreadable);
        self.arrived = None;
        returned
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.arrived.is_some() {
            self.answers.0.lock().remove(&self.command);
        }
    }
}

impl Answers {
    fn expect(&self, command: u128) -> oneshot::Receiver<Returned> {
        let (sender, receiver) = oneshot::channel();
        self.0.lock().insert(command, sender);
        receiver
    }

    /// Hands answers over as they come. Ends with the subscription.
    pub(super) async fn run(self: Arc<Self>, subjects: Subjects, mut arriving: Subscriber) {
        while let Some(message) = arriving.next().await {
            let Some(command) = subjects.command(&message.subject) else { continue };
            let waiting = self.0.lock().remove(&command);
            // Nobody waits: an earlier answer was enough, or the time was over.
            if let Some(waiting) = waiting {
                let _ = waiting.send(read(&message));
            }
        }
    }
}

fn read(message: &Message) -> Returned {
    if message.status.is_some_and(|status| status.as_u16() == NOBODY_LISTENS) {
        return Returned::NobodyListens;
    }
    match Answer::from_bytes(&message.payload) {
        Ok(answer) => Returned::Answer(answer),
        Err(error) => {
            tracing::warn!(%error, "an answer of another node cannot be read");
            Returned::Unreadable
        }
    }
}
