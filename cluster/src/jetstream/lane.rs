//! One shard's way into its stream: makes one message of all batches that wait, sends it once the one before is there, and
//! sends it again until `verdict` has found out what became of it.
//!
//! Invariants: every completion runs once, in append order; `Ok` only for a message known to be in the stream; after a
//! foreign epoch was seen nothing is sent, until the shard is taken over anew. The queue is what orders batches and tenures.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::Subscriber;
use futures_util::StreamExt as _;
use tokio::{
    sync::{mpsc::UnboundedReceiver, oneshot},
    time::{Instant, sleep_until},
};

use super::{
    error::RequestError,
    flight::{Entry, Flight, Group, Sent},
    hint::Hinter,
    log::{End, ShardLog},
    requests::expecting,
    shared::Shared,
};

/// The shortest and the longest wait before something is tried again.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(20);
pub(super) const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What a lane is asked for, in order.
pub(super) enum Work {
    /// A batch.
    Append(Entry),
    /// The shard was taken over: the record of the epoch is the stream's end.
    Begin(End),
    /// Nothing more is appended in this tenure: tells where it ended, or drops it when the tenure was lost before.
    Release(oneshot::Sender<End>),
}

/// The task of one shard. One message is on its way at once: an expected sequence names a place, not who is in it. With two,
/// the epoch record of another owner may take the place of the first, and the second would be let in behind it.
pub(super) struct Lane {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Arc<ShardLog>,
    queue: UnboundedReceiver<Work>,
    /// What was taken out of the queue and did not fit into the last message.
    held: Option<Work>,
    inbox: String,
    acks: Subscriber,
    /// The epoch in which the shard is owned.
    pub(super) epoch: Option<u64>,
    pub(super) flight: Flight,
    pub(super) hinter: Hinter,
    pub(super) pause: Duration,
    pub(super) paused_until: Instant,
    is_stalled: bool,
    pub(super) denials: u32,
    /// When no more appends will come: since then.
    closed: Option<Instant>,
    /// Why the last attempt did not succeed.
    pub(super) last_fault: Option<RequestError>,
}

impl Lane {
    /// A lane for the batches of `queue`, whose acknowledgments come to `acks` below `inbox`.
    pub(super) fn new(
        shared: Arc<Shared>,
        log: Arc<ShardLog>,
        queue: UnboundedReceiver<Work>,
        inbox: String,
        acks: Subscriber,
    ) -> Self {
        Self {
            shared,
            log,
            queue,
            held: None,
            inbox,
            acks,
            epoch: None,
            flight: Flight::behind(0),
            hinter: Hinter::new(),
            pause: PAUSE_MIN,
            paused_until: Instant::now(),
            is_stalled: false,
            denials: 0,
            closed: None,
            last_fault: None,
        }
    }

    /// Sends until the queue is closed and everything in it was told.
    pub(super) async fn run(mut self) {
        let log = Arc::clone(&self.log);
        while self.closed.is_none() || !self.flight.is_empty() {
            if self.flight.is_empty()
                && let Some(work) = self.held.take()
            {
                self.take(work).await;
                continue;
            }
            let has_room = self.closed.is_none() && self.flight.is_empty();
            let (due, epoch) = (self.due(), self.epoch.unwrap_or(u64::MAX));
            let hint = self.hinter.due();
            tokio::select! {
                biased;
                Some(answer) = self.acks.next() => self.hear(&answer),
                later = log.suspicion(epoch), if self.epoch.is_some() && self.may_suspect() => self.suspect(later),
                work = self.queue.recv(), if has_room => match work {
                    Some(work) => self.take(work).await,
                    None => self.closed = Some(Instant::now()),
                },
                () = sleep_until(due), if !self.flight.is_empty() => self.look_after().await,
                () = sleep_until(hint.unwrap_or(due)), if hint.is_some() => match self.epoch {
                    Some(epoch) => self.hinter.give(&self.shared, &log, epoch).await,
                    None => self.hinter = Hinter::new(),
                },
            }
        }
        self.set_stalled(false);
    }

    /// When what is on its way is to be looked after.
    fn due(&self) -> Instant {
        let settings = &self.shared.settings;
        let Some(flying) = &self.flight.flying else { return Instant::now() + PAUSE_MAX };
        let next = match flying.sent {
            Sent::Waiting => flying.last_sent + settings.attempt_timeout(),
            Sent::Rejected | Sent::Taken => self.paused_until,
        };
        let stall = flying.first_sent + Duration::from_millis(settings.unreachable_after_ms);
        if self.is_stalled { next } else { next.min(stall) }
    }

    async fn take(&mut self, work: Work) {
        match work {
            Work::Append(entry) => self.group(entry).await,
            Work::Begin(end) => {
                self.epoch = Some(end.epoch);
                self.flight = Flight::behind(end.message);
                (self.denials, self.pause, self.paused_until) = (0, PAUSE_MIN, Instant::now());
                self.hinter.want(&self.shared);
            }
            Work::Release(told) => {
                if self.epoch.take().is_some() && self.shared.failure().is_none() {
                    let (owners, shard) = (&self.shared.owners, self.log.shard);
                    // Whoever gave up waiting finds the shard released all the same.
                    let _ = told.send(self.log.end_tenure(|| owners.let_go(shard)));
                }
            }
        }
    }

    /// Makes one message of an entry and of those that wait behind it, and sends it.
    async fn group(&mut self, entry: Entry) {
        let (mut group, mut next) = (Group::default(), Some(Work::Append(entry)));
        while let Some(work) = next {
            let Work::Append(entry) = work else {
                self.held = Some(work);
                break;
            };
            if let Some(refusal) = self.shared.refusal(&self.log, self.epoch, entry.epoch, entry.first_seq) {
                // Its turn comes when those before it were told.
                if !group.is_empty() {
                    self.held = Some(Work::Append(entry));
                    break;
                }
                let refusal = entry.refusal.clone().unwrap_or(refusal);
                (entry.done)(Err(refusal));
            } else if let Err(entry) = group.add(entry, self.shared.group_bytes) {
                self.held = Some(Work::Append(entry));
                break;
            }
            next = self.queue.try_recv().ok();
        }
        let Some(epoch) = self.epoch else { return };
        self.flight.flying = group.seal(&self.shared.format, epoch, Instant::now());
        self.send().await;
    }

    /// Sends what is on its way.
    async fn send(&mut self) {
        let (Some(flying), Some(epoch)) = (&self.flight.flying, self.epoch) else { return };
        let reply = format!("{}.{epoch}.{}", self.inbox, self.flight.place());
        let (client, headers) = (&self.shared.requests.client, expecting(self.flight.acked));
        let (subject, bytes) = (self.log.subject.clone(), flying.bytes.clone());
        if let Err(error) = client.publish_with_reply_and_headers(subject, reply, headers, bytes).await {
            // It is found missing when its time is up.
            tracing::debug!(shard = self.log.shard.0, %error, "a message could not be sent");
        }
    }

    /// Whether what a later epoch means is not being found out already.
    fn may_suspect(&self) -> bool {
        self.flight.flying.as_ref().is_none_or(|flying| flying.sent != Sent::Taken)
    }

    /// Epoch `later` was seen in the stream: what is on its way came before it, or never will.
    fn suspect(&mut self, later: u64) {
        if self.flight.is_empty() {
            self.lose(later);
        } else {
            self.set_taken(Duration::ZERO);
        }
    }

    /// The time of what is on its way is up, or its pause.
    async fn look_after(&mut self) {
        let settings = &self.shared.settings;
        let Some(flying) = &self.flight.flying else { return };
        let (sent, waited, since) = (flying.sent, flying.first_sent.elapsed(), flying.last_sent.elapsed());
        let timeout = settings.attempt_timeout();
        let deadline = Duration::from_millis(settings.append_deadline_ms);
        if waited > Duration::from_millis(settings.unreachable_after_ms) {
            self.set_stalled(true);
        }
        if waited > deadline || self.closed.is_some_and(|since| since.elapsed() > timeout * 2) {
            let fault = self.last_fault.take().unwrap_or(RequestError::TimedOut);
            return self.freeze(fault);
        }
        if self.shared.failure().is_some() {
            return self.give_up();
        }
        match sent {
            Sent::Taken if Instant::now() >= self.paused_until => self.read_place().await,
            Sent::Rejected if Instant::now() >= self.paused_until => self.send_again().await,
            Sent::Waiting if since >= timeout => self.send_again().await,
            _ => {}
        }
    }

    /// Sends what is on its way once more. While there is no connection it would only pile up.
    async fn send_again(&mut self) {
        let Some(flying) = &mut self.flight.flying else { return };
        if !self.shared.connected.load(Ordering::Acquire) {
            flying.sent = Sent::Rejected;
            self.paused_until = Instant::now() + PAUSE_MIN;
            return;
        }
        (flying.sent, flying.last_sent) = (Sent::Waiting, Instant::now());
        self.shared.counts.resent.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("holdfast_journal_resent_batches_total").increment(1);
        self.send().await;
    }

    pub(super) fn set_stalled(&mut self, is_stalled: bool) {
        self.is_stalled = is_stalled;
        self.log.set_stalled(is_stalled);
    }
}
