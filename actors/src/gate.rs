//! The output gate: nothing leaves a shard before everything it has seen is durable.
//!
//! A turn's output (answers, view updates, messages to other shards, gateway calls, snapshots) is stamped with the last
//! journal sequence the shard had appended, and leaves when that sequence is durable. An output that saw nothing new leaves
//! at once: a sold-out answer costs no write.
//!
//! Invariant: outputs leave in the order of their turns, and views are updated before answers are sent, so a client that
//! got its answer reads its own write.

use std::{collections::VecDeque, sync::Arc};

use holdfast_core::planted;
use parking_lot::{Condvar, Mutex};

use crate::{
    mailbox::Mailbox,
    message::{Outcome, ReplyPort},
    outbound::{Outbound, Outgoing, SnapshotTask},
    view::{ViewUpdate, Views},
};

/// How many emptied outputs a gate keeps: one is filled while another is let out.
const SPARE_OUTPUTS: usize = 2;

/// What one turn lets out.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) views: Vec<ViewUpdate>,
    pub(crate) answers: Vec<(ReplyPort, Outcome)>,
    pub(crate) outgoing: Vec<Outgoing>,
}

impl Output {
    /// Whether somebody goes on once it is let out: a client with its answer, a shard that is asked something.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.answers.is_empty() || self.outgoing.iter().any(|item| matches!(item, Outgoing::Message { .. }))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.views.is_empty() && self.answers.is_empty() && self.outgoing.is_empty()
    }
}

/// A shard's gate, shared with what tells it that the journal made a batch durable.
pub(crate) struct Gate {
    views: Arc<Views>,
    outbound: Arc<dyn Outbound>,
    mailbox: Arc<Mailbox>,
    state: Mutex<GateState>,
    settled: Condvar,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and every mix of them happens")]
struct GateState {
    appended: u64,
    durable: u64,
    failed: bool,
    poisoned: bool,
    /// Whether the journal refused a batch: it tells in order, so everything before was told, and nothing after is taken.
    refused: bool,
    /// Whether a thread is letting an output out right now.
    releasing: bool,
    waiting: VecDeque<(u64, Output)>,
    /// Emptied outputs with their room, for the turns to come: fresh large blocks cost more than what goes into them.
    spare: Vec<Output>,
}

impl GateState {
    fn is_settled(&self) -> bool {
        self.durable >= self.appended && self.waiting.is_empty() && !self.releasing
    }

    fn is_told(&self, sequence: u64) -> bool {
        self.poisoned || self.refused || self.durable >= sequence
    }
}

impl Gate {
    pub(crate) fn new(
        views: Arc<Views>,
        outbound: Arc<dyn Outbound>,
        mailbox: Arc<Mailbox>,
        durable: u64,
    ) -> Arc<Self> {
        let state = GateState { appended: durable, durable, ..GateState::default() };
        Arc::new(Self { views, outbound, mailbox, state: Mutex::new(state), settled: Condvar::new() })
    }

    /// An empty output for a turn to fill.
    pub(crate) fn spare(&self) -> Output {
        self.state.lock().spare.pop().unwrap_or_default()
    }

    /// Takes a turn's output. `appended` is the last sequence handed to the journal, this turn's records included; it must
    /// be submitted here before the journal is, so that the batch's completion finds it.
    pub(crate) fn submit(&self, appended: u64, mut output: Output) {
        self.leak_if_planted(appended, &mut output);
        {
            let mut state = self.state.lock();
            state.appended = appended;
            if state.failed {
                return;
            }
            if state.durable < appended {
                self.mailbox.begin_commit();
            }
            state.waiting.push_back((appended, output));
        }
        self.pump();
    }

    /// The journal made every record up to `sequence` durable: lets out what that allows.
    pub(crate) fn durable(&self, sequence: u64) {
        {
            let mut state = self.state.lock();
            state.durable = state.durable.max(sequence);
        }
        self.settled.notify_all();
        self.pump();
    }

    /// What has gathered in the mailbox gets its turn, unless a batch is still on its way.
    pub(crate) fn settle_commit(&self) {
        let is_last = {
            let state = self.state.lock();
            state.durable >= state.appended
        };
        if is_last {
            self.mailbox.end_commit();
        }
    }

    /// Another node has made every record up to `sequence` durable, and the shard has taken them in.
    pub(crate) fn advance(&self, sequence: u64) {
        let mut state = self.state.lock();
        state.appended = state.appended.max(sequence);
        state.durable = state.durable.max(sequence);
    }

    /// Lets out what is ready, in order. Whoever comes while another thread is at it leaves the rest to that thread.
    fn pump(&self) {
        let mut released = None;
        loop {
            let output = {
                let mut state = self.state.lock();
                if let Some(emptied) = released.take() {
                    state.releasing = false;
                    if state.spare.len() < SPARE_OUTPUTS {
                        state.spare.push(emptied);
                    }
                }
                let ready = !state.releasing && state.waiting.front().is_some_and(|(needs, _)| *needs <= state.durable);
                let next = if ready { state.waiting.pop_front() } else { None };
                state.releasing |= next.is_some();
                if state.is_settled() {
                    self.settled.notify_all();
                }
                next
            };
            let Some((_, output)) = output else { return };
            let whole = BreakDown(self);
            released = Some(self.release(output));
            drop(whole);
        }
    }

    /// The journal did not take a batch: nothing that waits, and nothing that comes, ever leaves. When it is `poisoned`,
    /// nothing will ever be durable again either.
    pub(crate) fn refuse(&self, poisoned: bool) {
        {
            let mut state = self.state.lock();
            state.poisoned |= poisoned;
            state.refused = true;
        }
        self.fail();
    }

    /// Nothing that waits, and nothing that comes, ever leaves: the shard is to be recovered. What became of the batches
    /// that are on their way the journal has yet to tell.
    pub(crate) fn fail(&self) {
        let dropped = {
            let mut state = self.state.lock();
            state.failed = true;
            std::mem::take(&mut state.waiting)
        };
        self.mailbox.end_commit();
        self.settled.notify_all();
        drop(dropped);
    }

    /// Whether nothing leaves any more: the shard's memory is ahead of what others know, and must go.
    pub(crate) fn has_failed(&self) -> bool {
        self.state.lock().failed
    }

    /// Blocks until every appended record is durable and let out (`true`), or a batch failed (`false`).
    pub(crate) fn wait_settled(&self) -> bool {
        let mut state = self.state.lock();
        while !state.failed && !state.is_settled() {
            self.settled.wait(&mut state);
        }
        !state.failed
    }

    /// Blocks until the journal has told of every record up to `sequence`: it is durable, or was refused (`true`), or the
    /// journal is poisoned (`false`).
    pub(crate) fn wait_told(&self, sequence: u64) -> bool {
        let mut state = self.state.lock();
        while !state.is_told(sequence) {
            self.settled.wait(&mut state);
        }
        !state.poisoned
    }

    /// Whether [`Gate::wait_told`] would not block.
    pub(crate) fn is_told(&self, sequence: u64) -> bool {
        self.state.lock().is_told(sequence)
    }

    /// Where the planted bugs let something out too early.
    fn leak_if_planted(&self, appended: u64, output: &mut Output) {
        if planted!(AnswerBeforeBatch) {
            self.leak_answers(output);
        }
        if planted!(ReadOfUndurable) && self.state.lock().appended == appended {
            self.leak_answers(output);
        }
        if planted!(SnapshotAheadOfJournal) {
            let is_write =
                |item: &mut Outgoing| matches!(item, Outgoing::Snapshots { task: SnapshotTask::Write(_), .. });
            let outgoing = output.outgoing.extract_if(.., is_write).collect();
            self.release(Output { outgoing, ..Output::default() });
        }
    }

    fn leak_answers(&self, output: &mut Output) {
        let answers = std::mem::take(&mut output.answers);
        self.release(Output { answers, ..Output::default() });
    }

    /// Lets an output out and gives it back empty.
    fn release(&self, mut output: Output) -> Output {
        self.views.apply_all(&mut output.views);
        for (port, outcome) in output.answers.drain(..) {
            port.answer(outcome);
        }
        if !output.outgoing.is_empty() {
            self.outbound.send(&mut output.outgoing);
        }
        output
    }
}

/// While something is let out: a panic leaves open what of it has happened, so the shard is to be recovered.
struct BreakDown<'a>(&'a Gate);

impl Drop for BreakDown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(shard = self.0.mailbox.shard().0, "letting out panicked: the shard will be recovered");
            self.0.fail();
            self.0.mailbox.wake();
        }
    }
}
