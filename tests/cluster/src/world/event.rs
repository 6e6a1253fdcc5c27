//! What happens in the world, one event after the other.

use holdfast_actors::Role;
use holdfast_cluster::{
    members::{
        beat::{Beat, Standing, Yielded},
        roster::Heard,
    },
    plan::{decide::Step, ports::Log as _, proof::Renewal},
};
use holdfast_core::ShardId;

use super::{World, fault::Fault, node::Condition};

/// How often a node looks by itself, in milliseconds: as the reconciler does.
const TURN_MS: u64 = 100;

pub(super) enum Event {
    Fault(Fault),
    Turn {
        node: usize,
        life: u64,
        again: bool,
    },
    Beat {
        node: usize,
        life: u64,
        again: bool,
    },
    Hear {
        node: usize,
        beat: Box<Beat>,
    },
    HearYielded {
        node: usize,
        yielded: Yielded,
    },
    Acknowledged {
        node: usize,
        life: u64,
        until: u64,
    },
    Plan {
        node: usize,
    },
    Learn {
        node: usize,
        shard: ShardId,
    },
    LearnAll {
        node: usize,
    },
    /// It has looked at its own shards' streams.
    Looked {
        node: usize,
        life: u64,
        until: u64,
    },
    Piece {
        node: usize,
        life: u64,
        shard: ShardId,
        step: Step,
        piece: u8,
    },
    Ended {
        node: usize,
        life: u64,
        shard: ShardId,
    },
    Part {
        node: usize,
        life: u64,
    },
}

impl World {
    pub(super) fn carry_out(&mut self, event: Event) {
        match event {
            Event::Fault(fault) => self.fault(fault),
            Event::Turn { node, life, again } if self.goes_on(node, life) => self.turn(node, life, again),
            Event::Beat { node, life, again } if self.goes_on(node, life) => self.beat(node, life, again),
            Event::Hear { node, beat } if self.hears(node) => self.hear(node, *beat),
            Event::HearYielded { node, yielded } if self.hears(node) => {
                if let Some(knowledge) = &mut self.nodes[node].knowledge {
                    knowledge.hear_yielded(yielded);
                }
                self.wake(node);
            }
            Event::Acknowledged { node, life, until } if self.goes_on(node, life) && self.hears(node) => {
                self.acknowledged(node, life, until);
            }
            Event::Looked { node, life, until } if self.goes_on(node, life) && self.hears(node) => {
                self.looked(node, life, until);
            }
            Event::LearnAll { node } if self.hears(node) => {
                self.shards.iter().for_each(|shard| self.learn(node, shard));
            }
            Event::Plan { node } if self.hears(node) => {
                self.nodes[node].plan = self.streams.plan.clone();
                self.wake(node);
            }
            Event::Learn { node, shard } if self.hears(node) => self.learn(node, shard),
            Event::Piece { node, life, shard, step, piece } if self.goes_on(node, life) => {
                self.piece(node, shard, step, piece);
            }
            Event::Ended { node, life, shard } if self.goes_on(node, life) => {
                self.nodes[node].knowledge.as_mut().map(|knowledge| knowledge.busy.remove(&shard));
                self.urge(node);
                self.wake(node);
            }
            Event::Part { node, life } if self.goes_on(node, life) => {
                if let Some(knowledge) = &mut self.nodes[node].knowledge {
                    knowledge.standing = Standing::Left;
                }
                self.beat(node, life, false);
                self.nodes[node].end();
            }
            _ => {}
        }
    }

    /// It has looked at its own shards' streams, and may answer again.
    fn looked(&mut self, node: usize, life: u64, until: u64) {
        self.shards.iter().for_each(|shard| self.learn(node, shard));
        // What it found to be another node's it serves no more.
        self.turn(node, life, false);
        for shard in self.shards.iter().filter(|shard| !self.nodes[node].here.owns(*shard)) {
            self.nodes[node].here.set_role(shard, Role::Follower);
        }
        let lease = &mut self.nodes[node].lease_until;
        *lease = until.max(*lease);
    }

    fn acknowledged(&mut self, node: usize, life: u64, until: u64) {
        let (now, it) = (self.timestamp(), &mut self.nodes[node]);
        let is_valid = self.now < it.lease_until;
        match it.knowledge.as_mut().map(|knowledge| knowledge.acknowledged(is_valid, now)) {
            Some(Renewal::Now) => it.lease_until = until.max(it.lease_until),
            Some(Renewal::AfterLook) => {
                let way = self.way() + self.way();
                self.schedule(way, Event::Looked { node, life, until });
            }
            Some(Renewal::Later) | None => {}
        }
    }

    /// Whether that life of the node goes on, cut off or not.
    fn goes_on(&self, node: usize, life: u64) -> bool {
        let it = &self.nodes[node];
        it.life == life && matches!(it.condition, Condition::Running | Condition::Cut)
    }

    fn hears(&self, node: usize) -> bool {
        self.nodes[node].condition == Condition::Running
    }

    pub(super) fn live(&mut self, node: usize) {
        let life = self.nodes[node].life;
        self.nodes[node].is_woken = false;
        self.catch_up(node);
        self.schedule(0, Event::Beat { node, life, again: true });
        self.schedule(1, Event::Turn { node, life, again: true });
    }

    /// Reads all streams' ends, as a follower does when it polls.
    pub(super) fn catch_up(&mut self, node: usize) {
        let way = self.way();
        self.schedule(way, Event::Plan { node });
        self.schedule(way, Event::LearnAll { node });
    }

    pub(super) fn wake(&mut self, node: usize) {
        if std::mem::replace(&mut self.nodes[node].is_woken, true) {
            return;
        }
        let life = self.nodes[node].life;
        self.schedule(1, Event::Turn { node, life, again: false });
    }

    pub(super) fn urge(&mut self, node: usize) {
        let life = self.nodes[node].life;
        self.schedule(0, Event::Beat { node, life, again: false });
    }

    fn turn(&mut self, node: usize, life: u64, again: bool) {
        let (now, it) = (self.timestamp(), &mut self.nodes[node]);
        it.is_woken = false;
        let is_connected = self.now < it.lease_until;
        let Some(knowledge) = &mut it.knowledge else { return };
        knowledge.notice(is_connected, now);
        let (due, after) = (knowledge.due(&it.plan, is_connected, now), it.plan.number);
        let steps = knowledge.steps(&it.plan.plan, is_connected, now);
        if let Some(plan) = due
            && self.nodes[node].condition == Condition::Running
        {
            self.publish(after, plan);
        }
        if !steps.is_empty() {
            self.urge(node);
        }
        for (shard, step) in steps {
            self.begin(node, shard, step);
        }
        if again {
            self.schedule(TURN_MS, Event::Turn { node, life, again });
        }
    }

    fn beat(&mut self, node: usize, life: u64, again: bool) {
        let now = self.timestamp();
        let Some(beat) = self.nodes[node].knowledge.as_mut().map(|knowledge| knowledge.beat(now)) else { return };
        if self.hears(node) {
            for other in (0..self.nodes.len()).filter(|other| *other != node) {
                let way = self.way();
                if !self.is_lost() {
                    self.schedule(way, Event::Hear { node: other, beat: Box::new(beat.clone()) });
                }
            }
            let way = self.way() + self.way();
            if !self.is_lost() {
                let until = self.now + self.settings.lease_ms;
                self.schedule(way, Event::Acknowledged { node, life, until });
            }
        }
        if again {
            // Whatever was not heard of is found by looking.
            if self.hears(node) {
                self.catch_up(node);
            }
            self.schedule(self.settings.beat_interval_ms, Event::Beat { node, life, again });
        }
    }

    fn hear(&mut self, node: usize, beat: Beat) {
        let now = self.timestamp();
        let Some(knowledge) = &mut self.nodes[node].knowledge else { return };
        match knowledge.hear(beat, now) {
            Ok(Heard::Arrival | Heard::News) => self.wake(node),
            Ok(_) => {}
            Err(_) => self.nodes[node].end(),
        }
    }

    /// Reads the end of a stream: whoever is overtaken finds out.
    fn learn(&mut self, node: usize, shard: ShardId) {
        let (epoch, boot) = self.streams.end(shard);
        let it = &self.nodes[node];
        if it.unread.get(&shard) == Some(&epoch) {
            it.owners.learn_epoch(shard, epoch);
        } else if let Some(boot) = boot {
            it.owners.learn(shard, epoch, boot);
            let is_overtaken = it.here.epochs.lock()[usize::from(shard.0)].is_some_and(|own| own < epoch);
            if is_overtaken {
                it.here.set_epoch(shard, None);
                it.owners.let_go(shard);
            }
        }
        self.wake(node);
    }
}
