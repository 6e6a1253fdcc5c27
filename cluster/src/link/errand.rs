//! One request on its way to a shard's owner, with all its attempts.
//!
//! An attempt whose answer stays away may have been carried out. The same owner is asked again under the same id, and says
//! what became of it; another owner is only asked if the request may be carried out twice, or once the one before said that
//! it did nothing and never will.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use holdfast_actors::{
    CommandError, Effect, Mailbox, Unavailable,
    message::{Outcome, Request},
    router::ask_here,
};
use holdfast_core::{ShardId, Timestamp};
use tokio::sync::watch;

use super::{
    answers::{Returned, Ticket},
    bells::Place,
    router::{ClusterRouter, Whereabouts},
};
use crate::{
    boot::BootId,
    wire::{Answer, Header, Kind, WireError, framed},
};

/// How long what waits for an owner waits before it looks again without having been told.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// One request on its way.
pub(super) struct Errand<'a> {
    router: &'a ClusterRouter,
    shard: ShardId,
    /// Until a mailbox of this node has taken it.
    request: Option<Request>,
    is_repeatable: bool,
    command: u128,
    until: Timestamp,
    /// Everyone who may have carried it out: each a boot, in an epoch.
    doubts: Vec<(BootId, u64)>,
    /// What is only there once it was needed.
    body: Option<Bytes>,
    ticket: Option<Ticket>,
    waits: Option<(Place, watch::Receiver<u64>)>,
}

/// What is next.
enum Next {
    /// It is over.
    Done(Outcome),
    /// Look where the shard is now.
    Again,
    /// The same, but there may be no news yet.
    Wait,
}

impl<'a> Errand<'a> {
    pub(super) fn new(router: &'a ClusterRouter, shard: ShardId, request: Request) -> Self {
        Self {
            router,
            shard,
            is_repeatable: request.is_repeatable(),
            request: Some(request),
            command: router.new_command(),
            until: router.expiry(),
            doubts: Vec::new(),
            body: None,
            ticket: None,
            waits: None,
        }
    }

    pub(super) async fn run(mut self) -> Outcome {
        loop {
            if self.router.left(self.until).is_zero() {
                return self.give_up();
            }
            let next = match (self.doubts.last().copied(), self.router.whereabouts(self.shard)) {
                // Nobody but who may have done it can say whether it did.
                (Some((boot, _)), _) if !self.is_repeatable && !self.router.is_alive(boot) => {
                    Next::Done(self.give_up())
                }
                (Some((boot, epoch)), _) if !self.is_repeatable => self.attempt(boot, epoch).await,
                (_, Whereabouts::There(boot, epoch)) => self.attempt(boot, epoch).await,
                (_, Whereabouts::Here(mailbox, _)) => self.here(mailbox).await,
                (_, Whereabouts::Nowhere) => Next::Wait,
            };
            match next {
                Next::Done(outcome) => return outcome,
                Next::Again => {}
                Next::Wait => {
                    if !self.wait().await {
                        return self.give_up();
                    }
                }
            }
        }
    }

    /// The shard is this node's by now.
    async fn here(&mut self, mailbox: &Arc<Mailbox>) -> Next {
        let Some(request) = self.request.take() else { return Next::Done(self.give_up()) };
        match ask_here(self.router, mailbox, request, None).await {
            Ok(outcome) => Next::Done(self.said(outcome)),
            Err(refused) if is_passing(&refused.error) => {
                self.request = Some(refused.request);
                Next::Wait
            }
            Err(refused) => Next::Done(self.said(Err(refused.error))),
        }
    }

    /// Asks the owner of an epoch and waits for its answer.
    async fn attempt(&mut self, boot: BootId, epoch: u64) -> Next {
        let frame = match self.frame(epoch) {
            Ok(frame) => frame,
            Err(error) => {
                tracing::error!(%error, "a request cannot be written");
                return Next::Done(self.give_up());
            }
        };
        let router = self.router;
        let answer = router.subjects.answer(self.command);
        let ticket = self.ticket.get_or_insert_with(|| router.ticket(self.command));
        ticket.expect();
        let sent = router.client.publish_with_reply(router.subjects.ask(boot), answer, frame).await;
        if let Err(error) = sent {
            tracing::debug!(%error, "a request was not sent");
            return Next::Wait;
        }
        let limit = router.settings.attempt_timeout().min(router.left(self.until));
        match tokio::time::timeout(limit, ticket.next()).await {
            Ok(Returned::Answer(answer)) => self.judge(boot, epoch, answer),
            Ok(Returned::NobodyListens) => Next::Wait,
            Ok(Returned::Unreadable) => {
                self.doubt(boot, epoch);
                Next::Wait
            }
            Err(_) => {
                metrics::counter!("holdfast_cluster_attempts_unanswered_total").increment(1);
                self.doubt(boot, epoch);
                Next::Again
            }
        }
    }

    /// The request for the owner of `epoch`, as it travels.
    fn frame(&mut self, epoch: u64) -> Result<Bytes, WireError> {
        let (shard, expires_at, command) = (self.shard, self.until, self.command);
        let header = Header { kind: Kind::Ask, shard, epoch, expires_at, command, hops: 0 };
        if let Some(body) = &self.body {
            let mut bytes = Vec::with_capacity(Header::BYTES + body.len());
            header.write(&mut bytes);
            bytes.extend_from_slice(body);
            return Ok(bytes.into());
        }
        let frame = match &self.request {
            Some(request) => Bytes::from(framed(&header, request)?),
            None => return Err(WireError::CutShort(0)),
        };
        self.body = Some(frame.slice(Header::BYTES..));
        Ok(frame)
    }

    /// What follows from an answer. It may be that of an earlier attempt, which was for the same command.
    fn judge(&mut self, boot: BootId, epoch: u64, answer: Answer) -> Next {
        match answer {
            Answer::Outcome(Err(error)) if is_passing(&error) => Next::Wait,
            // It was taken in, and then the owner lost the shard or its journal: what became of it is in the stream.
            Answer::Outcome(Err(error)) if error.effect() == Effect::Unknown => {
                self.doubt(boot, epoch);
                if self.is_repeatable { Next::Wait } else { Next::Done(self.give_up()) }
            }
            Answer::Outcome(outcome) => {
                self.trust(boot);
                Next::Done(self.said(outcome))
            }
            Answer::Moved { epoch: latest, boot: owner } => {
                self.trust(boot);
                if self.router.hear(self.shard, latest, owner) { Next::Again } else { Next::Wait }
            }
            Answer::Version => {
                tracing::warn!(%boot, "another node speaks another version: it is not asked until it is replaced");
                Next::Wait
            }
            Answer::Isolated => Next::Wait,
            Answer::Late => {
                tracing::warn!(%boot, "a request was late for another node: do the nodes' clocks agree?");
                Next::Wait
            }
        }
    }

    /// Waits until there may be news of the shard. `false` when there is no place to wait.
    async fn wait(&mut self) -> bool {
        let Some((_, news)) = &mut self.waits else {
            // Listens first and looks once more then, so that no change falls in between.
            let place = self.router.place().zip(self.router.bells.listen(self.shard));
            self.waits = place;
            return self.waits.is_some();
        };
        let limit = LOOK_AGAIN.min(self.router.left(self.until));
        // The end of a wait without news is a reason to look all the same.
        let _ = tokio::time::timeout(limit, news.changed()).await;
        true
    }

    /// An attempt there may have been carried out.
    fn doubt(&mut self, boot: BootId, epoch: u64) {
        self.doubts.retain(|(doubted, _)| *doubted != boot);
        self.doubts.push((boot, epoch));
    }

    /// What became of the attempts there is known. Those elsewhere are still in doubt; and so is a request that may be carried
    /// out twice, since an owner may have forgotten that it did.
    fn trust(&mut self, boot: BootId) {
        if !self.is_repeatable {
            self.doubts.retain(|(doubted, _)| *doubted != boot);
        }
    }

    /// What is told at the end. An owner that refused without a decision does not know what one before it did.
    fn said(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Err(error) if !self.doubts.is_empty() && !error.is_decision() => self.give_up(),
            outcome => outcome,
        }
    }

    fn give_up(&self) -> Outcome {
        let reason = if self.doubts.is_empty() { Unavailable::Moving } else { Unavailable::Unknown };
        Err(self.router.unavailable(reason))
    }
}

/// Whether a refusal says that nothing was done, and passes by itself when the shard has got where it goes.
pub(super) fn is_passing(error: &CommandError) -> bool {
    use Unavailable::{Draining, Isolated, Leaving, Moving, Recovering};
    matches!(error, CommandError::Unavailable { reason: Moving | Recovering | Draining | Isolated | Leaving, .. })
}
