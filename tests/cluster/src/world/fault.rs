//! What is done to the nodes of the world.

use std::collections::BTreeMap;

use holdfast_cluster::members::beat::Standing;
use holdfast_core::ShardId;

use super::{World, event::Event, node::Condition};

/// What is done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is started, if it does not run.
    Start(usize),
    /// It is gone from one moment to the next.
    Kill(usize),
    /// It does nothing for a while, and goes on as if nothing had been.
    Stop(usize),
    /// It is cut off from everybody and the streams.
    Cut(usize),
    /// It goes on, or is connected again.
    Heal(usize),
    /// It is asked to leave, and ends ten seconds later.
    Leave(usize),
}

impl World {
    pub(super) fn fault(&mut self, fault: Fault) {
        let (Fault::Start(node) | Fault::Kill(node) | Fault::Stop(node) | Fault::Cut(node)) = fault else {
            let (Fault::Heal(node) | Fault::Leave(node)) = fault else { return };
            return if matches!(fault, Fault::Heal(_)) { self.heal(node) } else { self.leave(node) };
        };
        let condition = self.nodes[node].condition;
        match fault {
            Fault::Start(_) if condition == Condition::Absent => {
                let (boot, now, shards) = (self.next_boot(), self.timestamp(), self.shards);
                let settings = self.settings.clone();
                let unread = self.unread();
                self.nodes[node].start(boot, &settings, shards, now);
                self.nodes[node].unread = unread;
                self.live(node);
            }
            Fault::Kill(_) => self.nodes[node].end(),
            Fault::Stop(_) if condition == Condition::Running => self.nodes[node].condition = Condition::Stopped,
            Fault::Cut(_) if condition == Condition::Running => self.nodes[node].condition = Condition::Cut,
            _ => {}
        }
    }

    /// Epochs whose beginning a node that starts now finds purged.
    fn unread(&mut self) -> BTreeMap<ShardId, u64> {
        if self.purged_of_1000 == 0 {
            return BTreeMap::new();
        }
        let all = self.shards;
        let shards: Vec<_> = all.iter().filter(|_| self.below(1_000) < self.purged_of_1000).collect();
        shards.into_iter().map(|shard| (shard, self.streams.end(shard).0)).collect()
    }

    fn heal(&mut self, node: usize) {
        match self.nodes[node].condition {
            Condition::Stopped => {
                self.nodes[node].condition = Condition::Running;
                // What was under way when it stopped is not known to have ended: as after a timeout, it is begun anew.
                self.nodes[node].life += 1;
                let knowledge = self.nodes[node].knowledge.as_mut();
                let is_leaving = knowledge.is_some_and(|knowledge| {
                    knowledge.busy.clear();
                    knowledge.standing == Standing::Leaving
                });
                self.live(node);
                if is_leaving {
                    self.leave(node);
                }
            }
            Condition::Cut => {
                self.nodes[node].condition = Condition::Running;
                self.catch_up(node);
            }
            Condition::Absent | Condition::Running => {}
        }
    }

    fn leave(&mut self, node: usize) {
        if self.nodes[node].condition == Condition::Running {
            if let Some(knowledge) = &mut self.nodes[node].knowledge {
                knowledge.standing = Standing::Leaving;
            }
            let life = self.nodes[node].life;
            self.urge(node);
            self.schedule(10_000, Event::Part { node, life });
        }
    }
}
