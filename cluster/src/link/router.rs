//! The router of a node among others: to the mailbox here, or to the owner over there.
//!
//! What it goes by is [`Owners`], which is fed by the shards' streams, and what other nodes said when they were asked in
//! vain, if that is of a later epoch. Either only says whom to ask; the owner itself knows whether it is one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, SubscribeError};
use async_trait::async_trait;
use holdfast_actors::{
    Clock, CommandError, Lease, Mailbox, Role, Router, Unavailable,
    message::{Envelope, Message, Outcome, Request},
};
use holdfast_core::{ShardCount, ShardId, Timestamp};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::{
    LinkParts, Living,
    answers::{Answers, Ticket},
    bells::{Bells, Place},
    errand::Errand,
    outbox::{Leaving, Outbox},
    subjects::Subjects,
};
use crate::{boot::BootId, owners::Owners, settings::ClusterSettings};

/// Delivers to mailboxes of this process and to other nodes.
pub struct ClusterRouter {
    pub(super) settings: ClusterSettings,
    pub(super) boot: BootId,
    pub(super) client: Client,
    pub(super) subjects: Subjects,
    pub(super) clock: Clock,
    pub(super) bells: Arc<Bells>,
    mailboxes: Arc<[Arc<Mailbox>]>,
    owners: Arc<Owners>,
    /// What other nodes said of each shard: an epoch and whose it is.
    heard: Vec<Mutex<(u64, Option<BootId>)>>,
    living: Arc<dyn Living>,
    lease: Lease,
    retry_after_ms: u64,
    answers: Arc<Answers>,
    outbox: Outbox,
    commands: AtomicU64,
}

/// Where a shard can be asked.
pub(super) enum Whereabouts<'a> {
    /// Here, in this epoch.
    Here(&'a Arc<Mailbox>, u64),
    /// At the node of this boot, in this epoch.
    There(BootId, u64),
    /// Nowhere at the moment, or nobody here knows.
    Nowhere,
}

impl ClusterRouter {
    /// A router, and what is to be run beside it.
    pub(super) fn new(parts: LinkParts) -> (Arc<Self>, Leaving) {
        let LinkParts { settings, deployment, boot, client, mailboxes, owners, living, lease, clock, retry_after_ms } =
            parts;
        let (outbox, leaving) = Outbox::new(settings.outgoing_messages);
        let router = Arc::new(Self {
            subjects: Subjects::new(&deployment, boot),
            bells: Bells::new(mailboxes.len(), settings.waiting_requests),
            heard: mailboxes.iter().map(|_| Mutex::default()).collect(),
            answers: Arc::default(),
            commands: AtomicU64::new(0),
            settings,
            boot,
            client,
            clock,
            mailboxes,
            owners,
            living,
            lease,
            retry_after_ms,
            outbox,
        });
        (router, leaving)
    }

    /// Rings and brings answers back for as long as `tasks` lives.
    pub(super) async fn start(&self, tasks: &mut JoinSet<()>) -> Result<(), SubscribeError> {
        let arriving = self.client.subscribe(self.subjects.answers()).await?;
        tasks.spawn(Arc::clone(&self.answers).run(self.subjects.clone(), arriving));
        tasks.spawn(Arc::clone(&self.bells).run(Arc::clone(&self.owners), Arc::clone(&self.mailboxes)));
        Ok(())
    }

    /// What waits for the shard looks again where it is: to be called when an owner says that it gave it up.
    pub fn ring(&self, shard: ShardId) {
        self.bells.ring(shard);
    }

    /// How many requests wait for a shard that changes hands.
    pub fn waiting(&self) -> usize {
        self.bells.waiting()
    }

    pub(super) fn mailbox(&self, shard: ShardId) -> Option<&Arc<Mailbox>> {
        self.mailboxes.get(usize::from(shard.0))
    }

    /// The latest epoch known of a shard and whose it is.
    pub(super) fn latest(&self, shard: ShardId) -> (u64, Option<BootId>) {
        let known = self.owners.of(shard);
        // What this node has let go is nobody's that could be asked, until the next one takes it.
        let boot = known.boot.filter(|boot| known.is_here || *boot != self.boot);
        let heard = self.heard.get(usize::from(shard.0)).map(|heard| *heard.lock()).unwrap_or_default();
        if heard.0 > known.epoch { heard } else { (known.epoch, boot) }
    }

    /// Another node said whose a shard is. Whether that is news.
    pub(super) fn hear(&self, shard: ShardId, epoch: u64, boot: Option<BootId>) -> bool {
        let is_news = epoch > self.latest(shard).0;
        if let Some(heard) = self.heard.get(usize::from(shard.0)).filter(|_| is_news) {
            *heard.lock() = (epoch, boot);
        }
        is_news
    }

    pub(super) fn whereabouts(&self, shard: ShardId) -> Whereabouts<'_> {
        let known = self.owners.of(shard);
        if known.is_here {
            return self.mailbox(shard).map_or(Whereabouts::Nowhere, |here| Whereabouts::Here(here, known.epoch));
        }
        match self.latest(shard) {
            (epoch, Some(boot)) if boot != self.boot && self.is_alive(boot) => Whereabouts::There(boot, epoch),
            _ => Whereabouts::Nowhere,
        }
    }

    pub(super) fn is_alive(&self, boot: BootId) -> bool {
        self.living.is_alive(boot)
    }

    pub(super) fn place(&self) -> Option<Place> {
        self.bells.place()
    }

    pub(super) fn ticket(&self, command: u128) -> Ticket {
        Ticket::new(&self.answers, command)
    }

    /// An id that no other command has: one half is this boot's, the other counts.
    pub(super) fn new_command(&self) -> u128 {
        let boot = u128::from_be_bytes(self.boot.to_bytes()) & !u128::from(u64::MAX);
        boot | u128::from(self.commands.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn unavailable(&self, reason: Unavailable) -> CommandError {
        CommandError::Unavailable { reason, retry_after_ms: self.retry_after_ms }
    }

    pub(super) fn overloaded(&self) -> CommandError {
        CommandError::Overloaded { retry_after_ms: self.retry_after_ms }
    }

    /// When what is sent now must be done.
    pub(super) fn expiry(&self) -> Timestamp {
        let limit = i64::try_from(self.settings.request_deadline_ms).unwrap_or(i64::MAX);
        self.clock.now().saturating_add_millis(limit)
    }

    /// The time left until then.
    pub(super) fn left(&self, until: Timestamp) -> Duration {
        let left = until.as_millis().saturating_sub(self.clock.now().as_millis());
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }

    /// Delivers a message if the shard is here; gives it back otherwise, or while the shard is about to leave.
    pub(super) fn deliver(&self, shard: ShardId, message: Message) -> Option<Message> {
        match self.mailbox(shard).filter(|here| self.owners.is_here(shard) && here.role() != Role::Follower) {
            Some(mailbox) => {
                mailbox.deliver(Envelope::Message(message));
                None
            }
            None => Some(message),
        }
    }
}

#[async_trait]
impl Router for ClusterRouter {
    fn shards(&self) -> ShardCount {
        self.owners.shards()
    }

    fn local(&self, shard: ShardId) -> Option<&Arc<Mailbox>> {
        self.mailbox(shard).filter(|_| self.owners.is_here(shard))
    }

    async fn remote(&self, shard: ShardId, request: Request) -> Outcome {
        Errand::new(self, shard, request).run().await
    }

    fn send(&self, shard: ShardId, message: Message) {
        if let Some(message) = self.deliver(shard, message) {
            self.outbox.put(shard, message);
        }
    }

    fn is_isolated(&self) -> bool {
        !self.lease.is_valid()
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.settings.request_deadline())
    }
}
