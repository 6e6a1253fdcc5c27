//! A node's own beats: what it says of itself, one number after the other, and what it takes to say it.
//!
//! Invariant: a beat claims every shard that this node owns in the journal or answers for, and those it is about to take over.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use holdfast_actors::Role;
use holdfast_core::{ShardCount, ShardId, Timestamp};

use super::{
    beat::{Beat, Claim, Figures, Standing, WIRE_VERSION},
    roster::millis_since,
};
use crate::{
    boot::BootId,
    owners::Owners,
    plan::{
        decide::Step,
        ports::{Log, Shards},
    },
};

/// How many own beats back a follower may be and still count as close behind, in number.
const BEATS_BEHIND: usize = 2;
/// The shortest time over which a rate is taken, in milliseconds: beats that follow at once say the rate of the one before.
const RATE_MS: u64 = 100;

/// What a node says of itself in every beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `cluster.node`.
    pub node: String,
    /// This life.
    pub boot: BootId,
    /// The version of Holdfast.
    pub version: String,
    /// `cluster.admin_url`.
    pub admin_url: String,
    /// [`secret_digest`](super::beat::secret_digest) of the store's secret.
    pub secret_digest: String,
    /// When it started.
    pub started_at: Timestamp,
}

/// What the beats so far said.
#[derive(Debug)]
pub struct Pulse {
    identity: Identity,
    dead_after_ms: u64,
    number: u64,
    unbroken_since: Timestamp,
    beaten_at: Timestamp,
    /// The last records of this node's shards as of the last beats, the oldest first.
    told: VecDeque<BTreeMap<ShardId, u64>>,
    /// Commands so far and their rate, and when that was counted.
    rates: BTreeMap<ShardId, (u64, f64)>,
    rated_at: Timestamp,
}

impl Pulse {
    /// Before the first beat.
    pub fn new(identity: Identity, dead_after_ms: u64, now: Timestamp) -> Self {
        Self {
            identity,
            dead_after_ms,
            number: 0,
            unbroken_since: now,
            beaten_at: now,
            told: VecDeque::new(),
            rates: BTreeMap::new(),
            rated_at: now,
        }
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// For how long this node has beaten without a gap, in milliseconds.
    pub fn unbroken_ms(&self, now: Timestamp) -> u64 {
        if millis_since(self.beaten_at, now) >= self.dead_after_ms { 0 } else { millis_since(self.unbroken_since, now) }
    }

    /// Whether a follower that is at `position` is close behind this node.
    pub fn is_close(&self, shard: ShardId, position: u64) -> bool {
        self.told.front().and_then(|told| told.get(&shard)).is_some_and(|told| position >= *told)
    }

    /// The next beat.
    pub fn beat(
        &mut self,
        shards: ShardCount,
        node: &Arc<dyn Shards>,
        log: &Arc<dyn Log>,
        owners: &Owners,
        (standing, busy): (Standing, &BTreeMap<ShardId, Step>),
        now: Timestamp,
    ) -> Beat {
        if millis_since(self.beaten_at, now) >= self.dead_after_ms {
            // Whoever had this node's name meanwhile has gone on for longer.
            self.unbroken_since = now;
        }
        self.number += 1;
        self.beaten_at = now;
        let (claims, follows) = self.shards(shards, node, log, owners, (busy, now));
        let Identity { node, boot, version, admin_url, secret_digest, started_at } = self.identity.clone();
        Beat {
            node,
            boot,
            number: self.number,
            version,
            wire: WIRE_VERSION,
            admin_url,
            started_at_ms: started_at.as_millis(),
            unbroken_ms: millis_since(self.unbroken_since, now),
            state: standing,
            secret_digest,
            claims,
            follows,
        }
    }

    /// The shards it claims, and those it follows and how far.
    fn shards(
        &mut self,
        shards: ShardCount,
        node: &Arc<dyn Shards>,
        log: &Arc<dyn Log>,
        owners: &Owners,
        (busy, now): (&BTreeMap<ShardId, Step>, Timestamp),
    ) -> (BTreeMap<ShardId, Claim>, BTreeMap<ShardId, u64>) {
        let (mut claims, mut follows) = (BTreeMap::new(), BTreeMap::new());
        let elapsed_ms = millis_since(self.rated_at, now);
        for shard in shards.iter() {
            let step = busy.get(&shard);
            let is_here = log.owns(shard) || node.role(shard) == Role::Owner;
            if is_here || matches!(step, Some(Step::TakeOver { .. } | Step::Open)) {
                let epoch = if log.owns(shard) { owners.of(shard).epoch } else { 0 };
                let is_leaving = matches!(step, Some(Step::HandOver { .. }));
                let figures = self.figures(shard, node, elapsed_ms);
                claims.insert(shard, Claim { epoch, is_leaving, figures });
            } else if node.role(shard) == Role::Follower {
                follows.insert(shard, node.position(shard));
            }
        }
        if elapsed_ms >= RATE_MS {
            self.rated_at = now;
            self.told.push_back(claims.iter().map(|(shard, claim)| (*shard, claim.figures.sequence)).collect());
            if self.told.len() > BEATS_BEHIND {
                self.told.pop_front();
            }
        }
        (claims, follows)
    }

    fn figures(&mut self, shard: ShardId, node: &Arc<dyn Shards>, elapsed_ms: u64) -> Figures {
        let counted = node.counted(shard);
        let rate = self.rates.entry(shard).or_insert((counted.commands, 0.0));
        if elapsed_ms >= RATE_MS {
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            let per_s = counted.commands.saturating_sub(rate.0) as f64 * 1_000.0 / elapsed_ms as f64;
            *rate = (counted.commands, per_s);
        }
        Figures {
            entities: counted.entities,
            commands_per_s: rate.1,
            mailbox_depth: counted.mailbox_depth,
            memory_bytes: counted.memory_bytes,
            sequence: counted.sequence,
        }
    }
}
