//! A shard's mailbox: ordered, and bounded by permits that clients' requests carry until they are answered.
//!
//! ractor's own mailboxes are unbounded and deliver one message per call. So requests wait here, the actor is woken once
//! when work arrives, and one turn takes everything that waits: that is where a batch comes from. Messages between shards
//! need no permit, since refusing them could not undo what was decided elsewhere.

mod commit;
mod deferred;
mod nudges;

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
};

use holdfast_core::{ShardId, Timestamp};
use parking_lot::{Mutex, RwLock};
use ractor::ActorRef;
use tokio::sync::oneshot;

use self::commit::Commit;
pub(crate) use self::{deferred::Deferred, nudges::Nudges};
use crate::{
    error::{CommandError, Unavailable},
    key::KeyGuard,
    lease::Lease,
    message::{Envelope, Outcome, ReplyPort, Request},
    role::{Role, Standing},
    settings::RuntimeSettings,
};

/// Tells a shard's actor to take a turn.
#[derive(Debug)]
pub struct Wake;

/// A shard's mailbox.
#[derive(Debug)]
pub struct Mailbox {
    shard: ShardId,
    limit: usize,
    retry_after_ms: u64,
    standing: Standing,
    /// Permits in use: requests that wait, are in a turn, or wait for their batch to be durable.
    in_use: AtomicUsize,
    /// The same of all shards of the node.
    crowd: Arc<AtomicUsize>,
    queue: Mutex<Waiting>,
    /// Whether a wake is on its way, so that a thousand senders cast once.
    scheduled: AtomicBool,
    /// Whether a batch of the shard is on its way to the disk. What arrives meanwhile could not be durable before the batch
    /// after it, so it waits here and makes that batch larger, until enough waits for a turn while the disk is busy.
    commit: Commit,
    /// When the shard wants to be woken although nobody writes, in milliseconds since the epoch.
    next_due_ms: AtomicI64,
    actor: RwLock<Option<ActorRef<Wake>>>,
    /// While it lasts the shard is surely still this node's.
    lease: Lease,
}

/// A request that was not taken in, as it was: it may be sent elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Refused {
    /// Why.
    pub error: CommandError,
    /// What was asked.
    pub request: Request,
    /// The key it is under.
    pub guard: Option<KeyGuard>,
}

/// What lies in a mailbox.
#[derive(Debug, Default)]
struct Waiting {
    envelopes: Vec<Envelope>,
    /// Whether any of them shall have the next turn. The others only ride along with it.
    urgent: bool,
    /// Whether a `Deferred` was given out for what lies here.
    deferred: bool,
    /// Turns that have taken what lay here.
    turns: u64,
}

/// A request's place in its shard; given back when dropped.
#[derive(Debug)]
pub struct Permit(Arc<Mailbox>);

impl Mailbox {
    /// The mailboxes of `shards`, all of a node. They refuse requests until their shards have recovered, and whenever `lease` has
    /// run out.
    pub(crate) fn of_node(
        shards: impl Iterator<Item = ShardId>,
        settings: &RuntimeSettings,
        lease: &Lease,
    ) -> Arc<[Arc<Self>]> {
        let crowd = Arc::default();
        shards.map(|shard| Self::beside(shard, settings, lease.clone(), Arc::clone(&crowd))).collect()
    }

    /// The mailbox of a node's only shard.
    pub fn new(shard: ShardId, settings: &RuntimeSettings, lease: Lease) -> Arc<Self> {
        Self::beside(shard, settings, lease, Arc::default())
    }

    fn beside(shard: ShardId, settings: &RuntimeSettings, lease: Lease, crowd: Arc<AtomicUsize>) -> Arc<Self> {
        Arc::new(Self {
            shard,
            limit: settings.mailbox_permits,
            retry_after_ms: settings.retry_after_ms,
            standing: Standing::recovering(),
            in_use: AtomicUsize::new(0),
            crowd,
            queue: Mutex::default(),
            scheduled: AtomicBool::new(false),
            commit: Commit::new(settings.gather_messages),
            next_due_ms: AtomicI64::new(i64::MAX),
            actor: RwLock::new(None),
            lease,
        })
    }

    /// The shard it belongs to.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Requests that hold a permit now.
    pub fn depth(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
    }

    /// Sends a request; the receiver gives its outcome, or an error when the shard dies before it answers.
    ///
    /// # Errors
    /// At once, without waiting, with the request: [`CommandError::Overloaded`] when every permit is in use,
    /// [`CommandError::Unavailable`] while recovering, draining, following another owner, cut off, or after the journal failed.
    pub fn request(
        self: &Arc<Self>,
        request: Request,
        guard: Option<KeyGuard>,
    ) -> Result<oneshot::Receiver<Outcome>, Box<Refused>> {
        if let Some(error) = self.refusal() {
            return Err(Box::new(Refused { error, request, guard }));
        }
        if self.in_use.fetch_add(1, Ordering::Relaxed) >= self.limit {
            self.in_use.fetch_sub(1, Ordering::Relaxed);
            metrics::counter!("holdfast_requests_overloaded_total").increment(1);
            let error = CommandError::Overloaded { retry_after_ms: self.retry_after_ms };
            return Err(Box::new(Refused { error, request, guard }));
        }
        self.crowd.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(Arc::clone(self));
        let (sender, receiver) = oneshot::channel();
        let waiting = {
            let mut queue = self.queue.lock();
            // Looked at again where a hand-over cannot come in between: what lies behind its mark would be refused unasked.
            if self.role() == Role::Follower {
                let error = self.unavailable(Unavailable::Moving);
                return Err(Box::new(Refused { error, request, guard }));
            }
            queue.envelopes.push(Envelope::Request { request, port: ReplyPort { sender, _permit: permit, guard } });
            queue.urgent = true;
            queue.envelopes.len()
        };
        self.wake_for(waiting);
        Ok(receiver)
    }

    /// Puts an envelope in, behind everything before it, and wakes the shard.
    pub fn deliver(&self, envelope: Envelope) {
        let waiting = {
            let mut queue = self.queue.lock();
            queue.envelopes.push(envelope);
            queue.urgent = true;
            queue.envelopes.len()
        };
        self.wake_for(waiting);
    }

    fn wake_for(&self, waiting: usize) {
        if !self.commit.holds_up(waiting, self.crowd.load(Ordering::Relaxed)) {
            self.wake();
        }
    }

    /// A batch of the shard went to the journal.
    pub(crate) fn begin_commit(&self) {
        self.commit.set(true);
    }

    /// Every batch of the shard is durable, or none ever will be: what has gathered gets its turn, unless it can wait for a
    /// client's. Whoever delivers after this looked at the queue finds the mark gone and wakes the shard itself.
    pub(crate) fn end_commit(&self) {
        self.commit.set(false);
        if self.queue.lock().urgent {
            self.wake();
        }
    }

    /// Makes the shard take a turn soon.
    pub fn wake(&self) {
        if !self.scheduled.swap(true, Ordering::AcqRel)
            && let Some(actor) = self.actor.read().as_ref()
        {
            // A stopped actor takes no turn; its supervisor attaches the next one, which starts with a wake.
            let _ = actor.cast(Wake);
        }
    }

    /// Wakes the shard if its next deadline has come.
    pub fn tick(&self, now: Timestamp) {
        if self.next_due_ms.load(Ordering::Relaxed) <= now.as_millis() {
            self.wake();
        }
    }

    /// Takes everything that waits into `inbox`, which is empty. Called once at the start of a turn.
    pub(crate) fn take(&self, inbox: &mut Vec<Envelope>) {
        self.scheduled.store(false, Ordering::Release);
        let mut queue = self.queue.lock();
        queue.urgent = false;
        queue.deferred = false;
        queue.turns += 1;
        mem::swap(&mut queue.envelopes, inbox);
    }

    /// Says when the shard wants its next turn if nobody writes.
    pub(crate) fn set_next_due(&self, due: Timestamp) {
        self.next_due_ms.store(due.as_millis(), Ordering::Relaxed);
    }

    /// The shard has recovered in `role` and `actor` runs it.
    pub(crate) fn open(&self, actor: ActorRef<Wake>, role: Role) {
        *self.actor.write() = Some(actor);
        self.reopen(role);
    }

    /// The shard has recovered and whoever looks at [`Mailbox::is_woken`] runs it.
    pub(crate) fn open_stepped(&self) {
        self.reopen(Role::Owner);
    }

    /// No request is taken from now on, but for what waits: the shard goes to another node.
    pub(crate) fn begin_yield(&self) {
        let _waiting = self.queue.lock();
        self.standing.begin_yield();
    }

    /// The shard is this node's: requests are taken.
    pub(crate) fn take_ownership(&self) {
        self.standing.take_ownership();
    }

    /// Whose the shard is, as far as requests are concerned.
    pub fn role(&self) -> Role {
        self.standing.role()
    }

    /// Whether a turn is wanted and has not begun.
    pub(crate) fn is_woken(&self) -> bool {
        self.scheduled.load(Ordering::Acquire)
    }

    /// When the shard wants its next turn if nobody writes.
    pub(crate) fn next_due(&self) -> Timestamp {
        Timestamp::from_millis(self.next_due_ms.load(Ordering::Relaxed))
    }

    fn reopen(&self, role: Role) {
        // A panic after the gate had marked a batch and before the journal had it leaves the mark with nobody to end it.
        self.commit.set(false);
        self.standing.recover(role);
        self.scheduled.store(false, Ordering::Release);
        self.wake();
    }

    /// The shard's actor is gone; requests are refused until the next one attaches.
    pub(crate) fn close_for_recovery(&self) {
        *self.actor.write() = None;
        self.standing.close_for_recovery();
    }

    /// From now on no request is taken: the node shuts down.
    pub(crate) fn drain(&self) {
        self.standing.drain();
    }

    /// From now on no request is taken: the journal failed. Whatever waits is dropped unanswered.
    pub(crate) fn fail(&self) {
        self.standing.fail();
        let waiting = mem::take(&mut *self.queue.lock());
        drop(waiting);
    }

    /// Whether the shard takes requests.
    pub fn is_open(&self) -> bool {
        self.role() == Role::Owner && self.lease.is_valid()
    }

    /// What a request is told that was taken in, when the shard died with it: whether it was carried out is not known, so
    /// nobody may take it for refused and send it to another owner.
    pub fn lost(&self) -> CommandError {
        self.unavailable(if self.standing.has_failed() { Unavailable::StorageFailed } else { Unavailable::Unknown })
    }

    fn refusal(&self) -> Option<CommandError> {
        let reason = self.standing.refusal().or_else(|| (!self.lease.is_valid()).then_some(Unavailable::Isolated))?;
        Some(self.unavailable(reason))
    }

    pub(crate) fn unavailable(&self, reason: Unavailable) -> CommandError {
        CommandError::Unavailable { reason, retry_after_ms: self.retry_after_ms }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.in_use.fetch_sub(1, Ordering::Relaxed);
        self.0.crowd.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
