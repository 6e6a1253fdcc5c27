//! The desk of a node: serves what other nodes ask of its shards, and takes in what theirs tell.
//!
//! One task reads, decides who is asked, and collects the answers, so that what arrives together is answered together. A
//! request costs no task, and a repeat of one under way nothing at all: its answer goes to the same subject.
//!
//! Invariants:
//! - What is past its end, for another epoch, or for a shard of somebody else is not carried out.
//! - A command is looked up before anything else is said of it: who says that it did nothing has looked.
//! - A message is passed on once.

use std::sync::Arc;

use async_nats::{Message as Arrived, Subject, SubscribeError, Subscriber};
use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use holdfast_actors::{
    CommandError, Mailbox, Router as _, Unavailable,
    message::{Message, Request},
    router::ask_here,
};
use holdfast_core::ShardId;
use holdfast_persistence::decode_value;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::{
    errand::is_passing,
    memory::{Known, Memory},
    outbox::dropped,
    router::{ClusterRouter, Whereabouts},
};
use crate::wire::{Answer, Header, Kind, Split, WireError, framed};

/// The desk of a node.
pub(super) struct Desk {
    router: Arc<ClusterRouter>,
    memory: Arc<Mutex<Memory>>,
    under_way: FuturesUnordered<BoxFuture<'static, ()>>,
}

/// A request that is to be carried out here.
struct Task {
    router: Arc<ClusterRouter>,
    memory: Arc<Mutex<Memory>>,
    header: Header,
    request: Request,
    is_repeatable: bool,
    is_read: bool,
    reply: Subject,
}

impl Desk {
    /// Serves for as long as `tasks` lives.
    ///
    /// # Errors
    /// When the client is at its end.
    pub(super) async fn start(router: Arc<ClusterRouter>, tasks: &mut JoinSet<()>) -> Result<(), SubscribeError> {
        let settings = &router.settings;
        let memory = Memory::new(settings.remembered_commands, settings.remember_ms, settings.request_deadline_ms);
        let asked = router.client.subscribe(router.subjects.ask(router.boot)).await?;
        let told = router.client.subscribe(router.subjects.tell(router.boot)).await?;
        let desk = Self { router, memory: Arc::new(Mutex::new(memory)), under_way: FuturesUnordered::new() };
        tasks.spawn(desk.run(asked, told));
        Ok(())
    }

    async fn run(mut self, mut asked: Subscriber, mut told: Subscriber) {
        loop {
            tokio::select! {
                arrived = asked.next() => match arrived {
                    Some(arrived) => self.take(arrived).await,
                    None => return,
                },
                Some(()) = self.under_way.next(), if !self.under_way.is_empty() => {}
                arrived = told.next() => match arrived {
                    Some(arrived) => hear(&self.router, &arrived).await,
                    None => return,
                },
            }
        }
    }

    /// Takes a request in, or says at once why not.
    async fn take(&mut self, arrived: Arrived) {
        let Some(reply) = arrived.reply else { return };
        let answer = match Header::split(&arrived.payload) {
            Ok((header, body)) if header.kind == Kind::Ask => match self.consider(header, body, &reply) {
                Verdict::Carry(task) => {
                    self.under_way.push(Box::pin(task.run()));
                    return;
                }
                Verdict::Silence => return,
                Verdict::Say(answer) => answer,
                Verdict::SayAgain(bytes) => return say(&self.router, reply, bytes).await,
            },
            Ok(_) | Err(WireError::Version(_) | WireError::Kind(_)) => Answer::Version,
            Err(error) => {
                tracing::warn!(%error, "a request of another node cannot be read");
                return;
            }
        };
        if let Ok(bytes) = answer.to_bytes() {
            say(&self.router, reply, bytes.into()).await;
        }
    }

    /// What is to be done with a request.
    fn consider(&self, header: Header, body: &[u8], reply: &Subject) -> Verdict {
        let (router, now) = (&self.router, self.router.clock.now());
        let mut memory = self.memory.lock();
        match memory.recall(header.command) {
            Some(Known::Done(answer)) => return Verdict::SayAgain(answer),
            Some(_) => return Verdict::Silence,
            None => {}
        }
        if now >= header.expires_at {
            return Verdict::Say(Answer::Late);
        }
        match router.whereabouts(header.shard) {
            Whereabouts::Here(_, epoch) if epoch == header.epoch => {}
            _ => return Verdict::Say(moved(router, header.shard)),
        }
        if router.is_isolated() {
            return Verdict::Say(Answer::Isolated);
        }
        let request: Request = match decode_value(body) {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!(%error, "a request of another node is none that is known here");
                return Verdict::Say(Answer::Version);
            }
        };
        let (is_repeatable, is_read) = (request.is_repeatable(), !request.writes());
        if !is_read {
            match memory.begin(header.command, is_repeatable, now) {
                Known::New => {}
                Known::Full => {
                    metrics::counter!("holdfast_cluster_commands_refused_total").increment(1);
                    return Verdict::Say(Answer::Outcome(Err(router.overloaded())));
                }
                Known::UnderWay => return Verdict::Silence,
                Known::Done(answer) => return Verdict::SayAgain(answer),
            }
        }
        let (router, memory, reply) = (Arc::clone(router), Arc::clone(&self.memory), reply.clone());
        Verdict::Carry(Box::new(Task { router, memory, header, request, is_repeatable, is_read, reply }))
    }
}

/// What is to be done with a request.
enum Verdict {
    Carry(Box<Task>),
    Silence,
    Say(Answer),
    SayAgain(Bytes),
}

impl Task {
    /// Carries the request out and says how it ended.
    async fn run(self: Box<Self>) {
        let Self { router, memory, header, request, is_repeatable, is_read, reply } = *self;
        let answer = carry(&router, &header, request).await;
        let Ok(bytes) = answer.to_bytes() else { return };
        let bytes = Bytes::from(bytes);
        if !is_read {
            let mut memory = memory.lock();
            match &answer {
                Answer::Outcome(outcome) if !outcome.as_ref().is_err_and(is_unstarted) => {
                    memory.end(header.command, is_repeatable, &bytes);
                }
                _ => memory.undo(header.command, is_repeatable),
            }
        }
        say(&router, reply, bytes).await;
    }
}

/// Asks the shard, waiting for its mailbox to open while it has just come here.
async fn carry(router: &ClusterRouter, header: &Header, mut request: Request) -> Answer {
    let mut waits = None;
    loop {
        let mailbox: &Arc<Mailbox> = match router.whereabouts(header.shard) {
            Whereabouts::Here(mailbox, epoch) if epoch == header.epoch => mailbox,
            _ => return moved(router, header.shard),
        };
        match ask_here(router, mailbox, request, None).await {
            Ok(outcome) => return Answer::Outcome(outcome),
            Err(refused) if is_passing(&refused.error) => request = refused.request,
            Err(refused) => return Answer::Outcome(Err(refused.error)),
        }
        if router.is_isolated() {
            return Answer::Isolated;
        }
        if router.left(header.expires_at).is_zero() {
            return Answer::Late;
        }
        match &mut waits {
            None => match router.place().zip(router.bells.listen(header.shard)) {
                Some(place) => waits = Some(place),
                None => return Answer::Outcome(Err(router.unavailable(Unavailable::Moving))),
            },
            Some((_, news)) => {
                let _ = tokio::time::timeout(router.left(header.expires_at), news.changed()).await;
            }
        }
    }
}

/// Takes a message in, or passes it on.
async fn hear(router: &ClusterRouter, arrived: &Arrived) {
    let read = Header::split(&arrived.payload).and_then(|(header, body): Split<'_>| {
        let message: Message = decode_value(body)?;
        Ok((header, message))
    });
    let (header, message) = match read {
        Ok(read) => read,
        Err(error) => {
            tracing::warn!(%error, "a message of another node cannot be read");
            return dropped("unreadable");
        }
    };
    let Some(message) = router.deliver(header.shard, message) else { return };
    match router.whereabouts(header.shard) {
        _ if header.hops > 0 => dropped("hops"),
        Whereabouts::There(boot, epoch) => {
            let Ok(bytes) = framed(&Header { epoch, hops: 1, ..header }, &message) else { return };
            if router.client.publish(router.subjects.tell(boot), bytes.into()).await.is_err() {
                dropped("connection");
            }
        }
        // Its own node parks it, as it does what it sends itself.
        Whereabouts::Here(..) | Whereabouts::Nowhere => router.send(header.shard, message),
    }
}

/// What is said of a shard that cannot be asked here.
fn moved(router: &ClusterRouter, shard: ShardId) -> Answer {
    let (epoch, boot) = router.latest(shard);
    Answer::Moved { epoch, boot }
}

/// Whether nothing was begun, so that a repeat may find better times.
fn is_unstarted(error: &CommandError) -> bool {
    is_passing(error) || matches!(error, CommandError::Overloaded { .. })
}

async fn say(router: &ClusterRouter, reply: Subject, answer: Bytes) {
    if let Err(error) = router.client.publish(reply, answer).await {
        tracing::debug!(%error, "an answer was not sent");
    }
}
