//! Messages between shards of different nodes, on their way out.
//!
//! Invariants: putting one in never blocks; what waits has a bound in number and in time. What is dropped is missed and asked
//! for again by the order whose step it was; a hold that is not given back lapses.
//!
//! One task drains the queue, so that many messages go in one write of the connection.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use holdfast_actors::message::Message;
use holdfast_core::{ShardId, Timestamp};
use tokio::sync::mpsc;

use super::router::{ClusterRouter, Whereabouts};
use crate::wire::{Header, Kind, framed};

/// How many messages are taken out of the queue at once.
const AT_ONCE: usize = 256;
/// How often what has no owner is looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where messages are put in.
#[derive(Debug)]
pub(super) struct Outbox(mpsc::Sender<(ShardId, Message)>);

/// Where they come out.
#[derive(Debug)]
pub(super) struct Leaving {
    queue: mpsc::Receiver<(ShardId, Message)>,
    /// Messages to shards without an owner, and until when they wait for one.
    parked: VecDeque<(Timestamp, ShardId, Message)>,
    limit: usize,
}

impl Outbox {
    pub(super) fn new(limit: usize) -> (Self, Leaving) {
        let (sender, queue) = mpsc::channel(limit);
        (Self(sender), Leaving { queue, parked: VecDeque::new(), limit })
    }

    /// Puts a message in, or drops it when too many wait.
    pub(super) fn put(&self, shard: ShardId, message: Message) {
        if self.0.try_send((shard, message)).is_err() {
            dropped("full");
        }
    }
}

/// Counts a message that was dropped.
pub(super) fn dropped(why: &'static str) {
    metrics::counter!("holdfast_cluster_messages_dropped_total", "why" => why).increment(1);
}

impl Leaving {
    /// Sends messages as they come. Ends with the router.
    pub(super) async fn run(mut self, router: Arc<ClusterRouter>) {
        let mut taken = Vec::with_capacity(AT_ONCE);
        loop {
            let parked = !self.parked.is_empty();
            tokio::select! {
                count = self.queue.recv_many(&mut taken, AT_ONCE) => if count == 0 { return },
                () = tokio::time::sleep(LOOK_EVERY), if parked => {}
            }
            for (until, shard, message) in std::mem::take(&mut self.parked) {
                if router.clock.now() >= until {
                    dropped("no owner");
                } else {
                    self.send(&router, until, shard, message).await;
                }
            }
            for (shard, message) in taken.drain(..) {
                self.send(&router, router.expiry(), shard, message).await;
            }
        }
    }

    async fn send(&mut self, router: &ClusterRouter, until: Timestamp, shard: ShardId, message: Message) {
        let Some(message) = router.deliver(shard, message) else { return };
        match router.whereabouts(shard) {
            Whereabouts::There(boot, epoch) => {
                let header = Header { kind: Kind::Tell, shard, epoch, expires_at: until, command: 0, hops: 0 };
                let Ok(bytes) = framed(&header, &message) else { return dropped("unwritable") };
                if router.client.publish(router.subjects.tell(boot), bytes.into()).await.is_err() {
                    dropped("connection");
                }
            }
            Whereabouts::Here(..) | Whereabouts::Nowhere if self.parked.len() < self.limit => {
                self.parked.push_back((until, shard, message));
            }
            Whereabouts::Here(..) | Whereabouts::Nowhere => dropped("full"),
        }
    }
}
