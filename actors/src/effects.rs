//! Makes what left the gate happen: messages to mailboxes, calls to the gateway, snapshots to the store, entities read.
//! Never blocks its caller, which is a task that lets a turn's output out, or the turn itself.

use std::{
    pin::Pin,
    sync::{Arc, mpsc},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use holdfast_core::{EntityId, OrderId, order::GatewayCall};
use holdfast_persistence::{Journal, SnapshotStore};

use crate::{
    background::Background,
    mailbox::{Mailbox, Nudges},
    message::{Envelope, Internal, Message},
    outbound::{Life, Outbound, Outgoing},
    payment::{Attempt, GatewayError, GatewayRequest, PaymentDriver},
    rebuild,
    router::Router,
    snapshot_writer::Job,
};

/// The runtime's side of [`Outbound`].
pub(crate) struct Effects {
    pub(crate) router: Arc<dyn Router>,
    pub(crate) mailboxes: Arc<[Arc<Mailbox>]>,
    pub(crate) background: Arc<dyn Background>,
    pub(crate) driver: Arc<PaymentDriver>,
    pub(crate) nudges: Arc<Nudges>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
    pub(crate) writer: mpsc::Sender<Job>,
}

impl Outbound for Arc<Effects> {
    fn send(&self, outgoing: &mut Vec<Outgoing>) {
        let mut calls = Vec::new();
        for item in outgoing.drain(..) {
            match item {
                Outgoing::Message { to, message } => self.router.send(to, message),
                Outgoing::Gateway(request) => calls.push(request),
                Outgoing::Snapshots { life, task } => self.write(Job::Task { life, task }),
                Outgoing::Load { life, entity, rebuild } => self.load(life, entity, rebuild),
            }
        }
        if calls.is_empty() {
            return;
        }
        let effects = Arc::clone(self);
        // Dropped with the runtime: an unanswered step is asked again after the restart, under the same key.
        if self.driver.answers_at_once() {
            let under_way = self.begin(calls);
            if !under_way.is_empty() {
                self.background.run(Box::pin(effects.await_gateway(under_way)));
            }
        } else {
            self.background.run(Box::pin(async move {
                let under_way = effects.begin(calls);
                effects.await_gateway(under_way).await;
            }));
        }
    }
}

/// What will become of a call.
type Call = Pin<Box<dyn Future<Output = (OrderId, Message)> + Send>>;

impl Effects {
    fn write(&self, job: Job) {
        if self.writer.send(job).is_err() {
            tracing::debug!("the snapshot writer has stopped; recovery replays the journal instead");
        }
    }

    fn load(self: &Arc<Self>, Life { shard, number: life }: Life, entity: EntityId, rebuild: bool) {
        let effects = Arc::clone(self);
        self.background.run_blocking(Box::new(move || {
            let snapshots = effects.snapshots.as_ref();
            let state = if rebuild {
                rebuild::rebuild(effects.journal.as_ref(), snapshots, effects.router.shards(), shard, &entity)
            } else {
                rebuild::load(snapshots, shard, &entity)
            };
            let internal = Internal::Loaded { life, entity, state: Box::new(state) };
            if let Some(mailbox) = effects.mailboxes.get(usize::from(shard.0)) {
                mailbox.deliver(Envelope::Internal(internal));
            }
        }));
    }

    /// Makes the calls of one turn. Those answered at once go back together; the others are given back.
    fn begin(&self, calls: Vec<GatewayRequest>) -> Vec<Call> {
        let mut answered = Vec::with_capacity(calls.len());
        let mut under_way: Vec<Call> = Vec::new();
        self.driver.look_ahead(&calls);
        for request in calls {
            let (order, call) = (request.key.order, request.key.call);
            match self.driver.begin(request) {
                Attempt::Answered(result) => answered.push(to_message(order, call, result)),
                Attempt::UnderWay(attempt) => {
                    under_way.push(Box::pin(async move { to_message(order, call, attempt.await) }));
                }
            }
        }
        self.answer(answered);
        under_way
    }

    /// Hands on the gateway's answers as they come.
    async fn await_gateway(self: Arc<Self>, under_way: Vec<Call>) {
        let mut under_way: FuturesUnordered<Call> = under_way.into_iter().collect();
        while let Some(message) = under_way.next().await {
            self.answer(vec![message]);
        }
    }

    /// Hands answers to their orders. No client waits for them, so they go with the clients' next turn if one comes soon:
    /// in a sale that halves the turns and the syncs.
    fn answer(&self, messages: Vec<(OrderId, Message)>) {
        let router = self.router.as_ref();
        let shard_of = |order: OrderId| router.shards().shard_of(order.slot());
        // The orders of one turn are of one shard, and a shard that asked is of this node.
        let Some(mailbox) = messages.first().and_then(|(order, _)| router.local(shard_of(*order))) else {
            for (order, message) in messages {
                router.send(shard_of(order), message);
            }
            return;
        };
        let mut envelopes = Vec::with_capacity(messages.len());
        for (order, message) in messages {
            let shard = shard_of(order);
            if shard == mailbox.shard() {
                envelopes.push(Envelope::Message(message));
            } else {
                router.send(shard, message);
            }
        }
        if let Some(deferred) = mailbox.defer_all(envelopes) {
            self.nudges.soon(deferred);
        }
    }
}

fn to_message(
    order: OrderId,
    call: GatewayCall,
    result: Result<holdfast_core::order::OrderCommand, GatewayError>,
) -> (OrderId, Message) {
    match result {
        Ok(command) => (order, Message::OrderAnswer { order, command }),
        Err(error) => {
            tracing::debug!(%order, ?call, %error, "a gateway call failed and will be repeated");
            (order, Message::GatewayFailed { order, call })
        }
    }
}
