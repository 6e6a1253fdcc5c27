//! What a node knows of the cluster at a moment, and what it concludes from it. No IO: the reconciler brings what it hears,
//! and carries out what follows.
//!
//! Invariant: everything here can be lost. A node that starts knows nothing, and comes to the same conclusions by listening.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use holdfast_actors::Role;
use holdfast_core::{ShardId, Timestamp};

use super::{
    decide::{Sight, Step, next_step},
    document::{Plan, Revision},
    edit::{self, Scene},
    placement::Placement,
    ports::{Log, Shards},
};
use crate::{
    boot::BootId,
    members::{
        beat::{Beat, Standing, Yielded},
        pulse::{Identity, Pulse},
        roster::{Heard, Roster, Tenure, millis_since},
    },
    owners::Owners,
    settings::ClusterSettings,
};

/// From whom a shard was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Former {
    /// From nobody, or from somebody who had let it go.
    Free,
    /// From this one, taken for dead.
    Dead(BootId),
    /// From somebody who was not heard of for as long as the dead are not.
    Unknown,
}

/// What a node knows.
pub struct Knowledge {
    /// `[cluster]`.
    pub settings: ClusterSettings,
    /// Who owns what, by the streams.
    pub owners: Arc<Owners>,
    /// The shards here.
    pub shards: Arc<dyn Shards>,
    /// The journal.
    pub log: Arc<dyn Log>,
    /// The other nodes, and this one.
    pub roster: Roster,
    /// This node's beats.
    pub pulse: Pulse,
    /// Whether it stays.
    pub standing: Standing,
    /// Steps that are under way.
    pub busy: BTreeMap<ShardId, Step>,
    /// Since when each shard's epoch is known.
    pub(super) learned: Vec<(u64, Timestamp)>,
    /// Epochs that ended by a hand-over.
    yielded: BTreeMap<ShardId, u64>,
    /// Who lived, and since when it is these.
    company: (BTreeSet<String>, Timestamp),
    /// Since when a change of the plan is due.
    due_since: Option<Timestamp>,
    /// What was believed of shards when they were taken over: the epoch that would begin, and from whom.
    pub(super) taken: BTreeMap<ShardId, (u64, Former)>,
    /// When a beat was acknowledged last, and since when they are again, after a while in which none was.
    pub(super) acknowledged_at: Option<Timestamp>,
    pub(super) back_since: Timestamp,
}

impl Knowledge {
    /// Knows nothing but who this node is.
    pub fn new(
        identity: Identity,
        settings: ClusterSettings,
        owners: Arc<Owners>,
        (shards, log): (Arc<dyn Shards>, Arc<dyn Log>),
        now: Timestamp,
    ) -> Self {
        let learned = owners.shards().iter().map(|_| (0, now)).collect();
        let roster = Roster::new(identity.boot, settings.dead_after_ms, now);
        let pulse = Pulse::new(identity, settings.dead_after_ms, now);
        Self {
            settings,
            owners,
            shards,
            log,
            roster,
            pulse,
            standing: Standing::Alive,
            busy: BTreeMap::new(),
            learned,
            yielded: BTreeMap::new(),
            company: (BTreeSet::new(), now),
            due_since: None,
            taken: BTreeMap::new(),
            acknowledged_at: None,
            back_since: now,
        }
    }

    /// This life.
    pub fn boot(&self) -> BootId {
        self.pulse.identity().boot
    }

    /// This node's name.
    pub fn node(&self) -> &str {
        &self.pulse.identity().node
    }

    /// This node's next beat, which it hears itself.
    pub fn beat(&mut self, now: Timestamp) -> Beat {
        let said = (self.standing, &self.busy);
        let beat = self.pulse.beat(self.owners.shards(), &self.shards, &self.log, &self.owners, said, now);
        self.roster.hear(beat.clone(), now);
        beat
    }

    /// Takes in another node's beat. `Err` when this node has to leave for it.
    ///
    /// # Errors
    /// Why this node has to leave.
    pub fn hear(&mut self, beat: Beat, now: Timestamp) -> Result<Heard, String> {
        let this = self.pulse.identity();
        if beat.boot == this.boot {
            return Ok(Heard::Same);
        }
        let is_namesake = beat.node == this.node;
        if is_namesake || beat.secret_digest != this.secret_digest {
            // Of the two the one that has gone on for longer stays: a newcomer, and one that was stopped meanwhile, leaves.
            let mine = (self.pulse.unbroken_ms(now), this.boot);
            if beat.state != Standing::Alive || mine > (beat.unbroken_ms, beat.boot) {
                return Ok(Heard::Rival);
            }
            let (node, boot) = (&beat.node, beat.boot);
            return Err(if is_namesake {
                format!("another node is called {node} as well (boot {boot}): give every node its own cluster.node")
            } else {
                format!("this node's store secret is not that of node {node}: copy it from there (store.secret_file)")
            });
        }
        for (shard, claim) in beat.claims.iter().filter(|(_, claim)| claim.epoch > 0) {
            let known = self.owners.of(*shard);
            if known.epoch == claim.epoch && known.boot.is_none() {
                self.owners.learn(*shard, claim.epoch, beat.boot);
            }
        }
        Ok(self.roster.hear(beat, now))
    }

    /// An owner has let a shard go.
    pub fn hear_yielded(&mut self, yielded: Yielded) {
        let epoch = self.yielded.entry(yielded.shard).or_default();
        *epoch = yielded.epoch.max(*epoch);
    }

    /// Looks at what has changed by itself: who fell silent, and who owns what.
    pub fn notice(&mut self, is_connected: bool, now: Timestamp) {
        self.roster.notice(is_connected, now);
        for (shard, learned) in self.owners.shards().iter().zip(&mut self.learned) {
            let epoch = self.owners.of(shard).epoch;
            if epoch != learned.0 {
                *learned = (epoch, now);
            }
        }
        let company: BTreeSet<String> = self.staying(now);
        if company != self.company.0 {
            self.company = (company, now);
        }
    }

    /// The steps to begin now.
    pub fn steps(&self, plan: &Plan, is_connected: bool, now: Timestamp) -> Vec<(ShardId, Step)> {
        let under_way = self.busy.values().filter(|step| matches!(step, Step::HandOver { .. })).count();
        let mut slots = self.settings.moves_at_once.saturating_sub(under_way);
        let mut steps = Vec::new();
        for shard in self.owners.shards().iter().filter(|shard| !self.busy.contains_key(shard)) {
            let sight = self.sight(plan, shard, is_connected, now);
            match next_step(&sight) {
                Some(Step::HandOver { .. }) if slots == 0 => {}
                Some(step) => {
                    slots -= usize::from(matches!(step, Step::HandOver { .. }));
                    steps.push((shard, step));
                }
                None => {}
            }
        }
        steps
    }

    fn sight(&self, plan: &Plan, shard: ShardId, is_connected: bool, now: Timestamp) -> Sight {
        let ownership = self.owners.of(shard);
        let home = plan.home(shard);
        let is_home = home == Some(self.node()) && self.standing == Standing::Alive;
        let learned_at = self.learned.get(usize::from(shard.0)).map_or(now, |learned| learned.1);
        let tenure = match ownership.boot {
            Some(boot) if boot != self.boot() => self.tenure(boot, shard, learned_at, now),
            None if ownership.epoch > 0 => self.tenure_of_unknown(shard, learned_at, now),
            _ => Tenure::Claimed,
        };
        Sight {
            boot: self.boot(),
            is_home,
            heir: home.filter(|_| !is_home).and_then(|node| self.heir(shard, node, now)),
            ownership,
            learned_at,
            tenure,
            yielded: self.yielded.get(&shard).copied(),
            owns: self.log.owns(shard),
            role: self.shards.role(shard),
            is_connected,
            beat_interval_ms: self.settings.beat_interval_ms,
        }
    }

    /// What became of an owner whose epoch was learned then. That it began one is a sign of life: whoever was taken for dead
    /// before may have come back while this node was deaf, and be cut off now with a lease that lasts. So its silence counts
    /// from there.
    fn tenure(&self, boot: BootId, shard: ShardId, learned_at: Timestamp, now: Timestamp) -> Tenure {
        let tenure = self.roster.tenure(boot, shard, now);
        let is_silent = tenure == Tenure::Gone && !self.roster.has_ended(boot);
        let is_news = millis_since(learned_at, now) < self.settings.dead_after_ms;
        if is_silent && is_news { Tenure::Unheard } else { tenure }
    }

    /// The same of an owner that nobody knows, since the record of its epoch was purged: whoever lives says what he claims
    /// within a beat; after the silence that kills, he is dead or has no lease.
    fn tenure_of_unknown(&self, shard: ShardId, learned_at: Timestamp, now: Timestamp) -> Tenure {
        let is_news = millis_since(learned_at, now) < self.settings.dead_after_ms || !self.roster.is_warm(now);
        match self.is_claimed_elsewhere(shard, now) {
            true => Tenure::Claimed,
            false if is_news => Tenure::Unheard,
            false => Tenure::Gone,
        }
    }

    /// Whether another node that lives claims the shard.
    pub(super) fn is_claimed_elsewhere(&self, shard: ShardId, now: Timestamp) -> bool {
        let claims = |beat: &Beat| beat.boot != self.boot() && beat.claims.contains_key(&shard);
        self.roster.living(now).any(|(_, member)| claims(&member.beat))
    }

    /// The life of a node that lives, stays, and is close behind this one with the shard.
    fn heir(&self, shard: ShardId, node: &str, now: Timestamp) -> Option<BootId> {
        let member = self.roster.member(node).filter(|member| self.roster.is_alive(member, now))?;
        let position = *member.beat.follows.get(&shard)?;
        let is_close = self.shards.role(shard) != Role::Owner || self.pulse.is_close(shard, position);
        let stays = member.beat.state == Standing::Alive && member.beat.boot != self.boot();
        (is_close && stays).then_some(member.beat.boot)
    }

    /// The last record that every node that lives and follows the shard has, as far as they said.
    pub(super) fn slowest_follower(&self, shard: ShardId, now: Timestamp) -> Option<u64> {
        self.roster.living(now).filter_map(|(_, member)| member.beat.follows.get(&shard)).min().copied()
    }

    /// The nodes that live and do not leave.
    fn staying(&self, now: Timestamp) -> BTreeSet<String> {
        let staying = self.roster.living(now).filter(|(_, member)| member.beat.state == Standing::Alive);
        staying.map(|(name, _)| name.to_owned()).collect()
    }

    /// What a change of the plan starts from.
    pub fn scene(&self, plan: &Plan, now: Timestamp) -> Scene {
        let mut alive = self.staying(now);
        if !self.roster.is_warm(now) {
            // Not heard of yet is not dead.
            let planned = plan.members.iter().chain(plan.placement.values());
            alive.extend(planned.filter(|node| self.roster.member(node).is_none()).cloned());
        }
        let known = self.roster.members().map(|(name, _)| name.to_owned()).collect();
        let claims = self.roster.living(now).flat_map(|(_, member)| &member.beat.claims);
        Scene {
            shards: self.owners.shards(),
            known,
            alive,
            actual: self.actual(now),
            under_way: claims.filter(|(_, claim)| claim.is_leaving).map(|(shard, _)| *shard).collect(),
            secret_digest: self.pulse.identity().secret_digest.clone(),
            is_settled: millis_since(self.company.1, now) >= self.settings.settle_ms,
            now_ms: now.as_millis(),
        }
    }

    /// Where the shards are: by their streams, as far as those nodes live.
    pub fn actual(&self, now: Timestamp) -> Placement {
        let owner = |shard| self.roster.node_of(self.owners.of(shard).boot?, now).map(str::to_owned);
        self.owners.shards().iter().filter_map(|shard| Some((shard, owner(shard)?))).collect()
    }

    /// Who plans, in order: first those that have listened for long enough, by name.
    fn planners(&self, now: Timestamp) -> Vec<&str> {
        let staying = self.roster.living(now).filter(|(_, member)| member.beat.state == Standing::Alive);
        let mut planners: Vec<(bool, &str)> =
            staying.map(|(name, member)| (member.beat.unbroken_ms < self.settings.dead_after_ms, name)).collect();
        planners.sort_unstable();
        planners.into_iter().map(|(_, name)| name).collect()
    }

    /// The node that plans.
    pub fn coordinator(&self, now: Timestamp) -> Option<&str> {
        self.planners(now).first().copied()
    }

    /// The change of the plan that this node has to make now. The coordinator makes it at once; if it does not, the next one
    /// does, a while later.
    pub fn due(&mut self, revision: &Revision, is_connected: bool, now: Timestamp) -> Option<Plan> {
        let scene = self.scene(&revision.plan, now);
        let due = edit::coordinate(&revision.plan, &scene);
        if due.is_none() || !is_connected || revision.is_newer() {
            self.due_since = None;
            return None;
        }
        let waited_ms = millis_since(*self.due_since.get_or_insert(now), now);
        let place = self.planners(now).iter().position(|name| *name == self.node())?;
        let patience_ms = self.settings.beat_interval_ms.saturating_mul(2).saturating_mul(place as u64);
        due.filter(|_| waited_ms >= patience_ms)
    }
}
