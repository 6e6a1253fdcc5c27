//! How a step towards the plan goes in the world: in pieces, between which anything may happen.

use holdfast_actors::Role;
use holdfast_cluster::{
    BootId,
    members::beat::Yielded,
    plan::{decide::Step, ports::Log as _},
};
use holdfast_core::ShardId;

use super::{GIVEN_UP_MS, STEP_MS, World, event::Event, node::Condition};

impl World {
    /// One piece of a step; the next one, if there is one, comes later.
    pub(super) fn piece(&mut self, node: usize, shard: ShardId, step: Step, piece: u8) {
        let life = self.nodes[node].life;
        let is_reached = self.nodes[node].condition == Condition::Running;
        let needs_stream = !matches!((step, piece), (Step::Demote | Step::Open, _) | (_, 1));
        if needs_stream && (!is_reached || self.is_lost() && self.is_lost()) {
            return self.schedule(GIVEN_UP_MS, Event::Ended { node, life, shard });
        }
        let is_over = match (step, piece) {
            (Step::TakeOver { .. }, 0) => !self.acquire(node, shard),
            (Step::TakeOver { .. } | Step::Open, _) if !self.may_open(node, shard) => {
                return self.schedule(1, Event::Piece { node, life, shard, step, piece: 1 });
            }
            (Step::TakeOver { .. } | Step::Open, _) => {
                let here = &self.nodes[node].here;
                if here.owns(shard) {
                    here.set_role(shard, Role::Owner);
                }
                true
            }
            (Step::HandOver { .. }, 0 | 1) => {
                self.nodes[node].here.set_role(shard, Role::Follower);
                false
            }
            (Step::HandOver { to }, _) => {
                self.release(node, shard, to);
                true
            }
            (Step::Demote, _) => {
                self.nodes[node].here.set_role(shard, Role::Follower);
                true
            }
        };
        let in_ms = if is_over { 0 } else { 1 + self.below(STEP_MS) };
        let next = if is_over {
            Event::Ended { node, life, shard }
        } else {
            Event::Piece { node, life, shard, step, piece: piece + 1 }
        };
        self.schedule(in_ms, next);
    }

    fn may_open(&self, node: usize, shard: ShardId) -> bool {
        let (it, now) = (&self.nodes[node], self.timestamp());
        // One that was overtaken meanwhile has nothing to wait for.
        !it.here.owns(shard) || it.knowledge.as_ref().is_some_and(|knowledge| knowledge.may_open(shard, now))
    }

    /// Appends the next epoch. Whether the node heard that it did.
    fn acquire(&mut self, node: usize, shard: ShardId) -> bool {
        let boot = self.nodes[node].boot;
        let has_let_go = self.nodes[node].here.let_go.lock().remove(&shard);
        let epoch = self.streams.acquire(shard, boot, has_let_go);
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            let way = self.way();
            if !self.is_lost() {
                self.schedule(way, Event::Learn { node: other, shard });
            }
        }
        if self.is_lost() {
            return false;
        }
        let it = &self.nodes[node];
        it.here.set_epoch(shard, Some(epoch));
        it.owners.take(shard, epoch, boot)
    }

    fn release(&mut self, node: usize, shard: ShardId, to: BootId) {
        let epoch = self.nodes[node].here.epochs.lock()[usize::from(shard.0)];
        let Some(epoch) = epoch else { return };
        self.nodes[node].here.set_epoch(shard, None);
        self.nodes[node].here.let_go.lock().insert(shard);
        self.nodes[node].owners.let_go(shard);
        let way = self.way();
        let heir = self.nodes.iter().position(|other| other.boot == to);
        if let (Some(heir), false) = (heir, self.is_lost()) {
            self.schedule(way, Event::HearYielded { node: heir, yielded: Yielded { shard, epoch, next_seq: 1 } });
        }
    }
}
