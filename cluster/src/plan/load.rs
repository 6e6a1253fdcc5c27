//! How many shards each node has, shall have, and may have, while they are being placed.
//!
//! Invariant: no node ends with more than its share, but for shards that an operator put there.

use std::collections::BTreeMap;

use holdfast_core::ShardId;

use super::placement::{Goal, Placement, Situation, affinity};
use crate::operator::Move;

/// A placement in the making.
pub(super) struct Load<'a> {
    situation: Situation<'a>,
    pub(super) placement: Placement,
    pub(super) counts: BTreeMap<&'a str, usize>,
    pinned: BTreeMap<&'a str, usize>,
    /// Why shards that are on their way are.
    why: BTreeMap<ShardId, String>,
}

impl<'a> Load<'a> {
    /// What stays where it is: where it shall be, else where it is, if that node takes shards.
    pub(super) fn of(situation: &Situation<'a>) -> Self {
        let situation = *situation;
        let zero = || situation.takers.iter().map(|node| (node.as_str(), 0)).collect::<BTreeMap<_, usize>>();
        let (mut placement, mut counts, mut pinned, mut why) = (Placement::new(), zero(), zero(), BTreeMap::new());
        for shard in situation.shards.iter() {
            let (desired, actual) = (situation.desired.get(&shard), situation.actual.get(&shard));
            let homes = [desired, actual].into_iter().flatten();
            let Some(home) = homes.clone().find_map(|node| situation.takers.get(node)) else {
                let gone = desired.map_or_else(|| "it had no node".to_owned(), |node| no_taker(node));
                why.insert(shard, gone);
                continue;
            };
            placement.insert(shard, home.clone());
            *counts.entry(home.as_str()).or_default() += 1;
            if situation.pinned.contains(&shard) && desired == Some(home) {
                *pinned.entry(home.as_str()).or_default() += 1;
            }
        }
        Self { situation, placement, counts, pinned, why }
    }

    fn is_pinned(&self, shard: ShardId) -> bool {
        self.situation.pinned.contains(&shard) && self.situation.desired.get(&shard) == self.placement.get(&shard)
    }

    /// Takes from every node what is beyond its share.
    pub(super) fn shed(&mut self) {
        let quotas = self.quotas();
        for (node, quota) in quotas {
            let had = self.counts.get(node).copied().unwrap_or_default();
            if had <= quota {
                continue;
            }
            let loose = self.placement.iter().filter(|(shard, home)| *home == node && !self.is_pinned(**shard));
            let mut loose: Vec<ShardId> = loose.map(|(shard, _)| *shard).collect();
            loose.sort_by_key(|shard| (affinity(*shard, node), *shard));
            for shard in loose.into_iter().take(had - quota) {
                self.placement.remove(&shard);
                let shards = self.situation.shards.get();
                self.why.insert(shard, format!("{node} would keep {had} of {shards} shards, its share is {quota}"));
            }
            self.counts.insert(node, quota);
        }
    }

    /// How many shards each node may have. A node with more pinned shards than its share keeps those, and the others share
    /// what is left. Who gets the one more than the rest is who has the most already.
    fn quotas(&self) -> BTreeMap<&'a str, usize> {
        let mut quotas = BTreeMap::new();
        let mut left = usize::from(self.situation.shards.get());
        let mut free: Vec<&'a str> = self.counts.keys().copied().collect();
        loop {
            let share = left / free.len().max(1);
            let (kept, rest): (Vec<_>, Vec<_>) = free.iter().partition(|node| self.pinned_on(node) > share);
            free = rest;
            for node in &kept {
                let pinned = self.pinned_on(node);
                quotas.insert(*node, pinned);
                left -= pinned;
            }
            if kept.is_empty() {
                break;
            }
        }
        let count = |node: &str| self.counts.get(node).copied().unwrap_or_default();
        free.sort_by_key(|node| (std::cmp::Reverse(count(node)), *node));
        let (share, more) = (left / free.len().max(1), left % free.len().max(1));
        quotas.extend(free.into_iter().enumerate().map(|(place, node)| (node, share + usize::from(place < more))));
        quotas
    }

    fn pinned_on(&self, node: &str) -> usize {
        self.pinned.get(node).copied().unwrap_or_default()
    }

    /// Finds a node for every shard without one: one that has room, or, where only homes are wanted, one of those with the
    /// fewest shards.
    pub(super) fn house(&mut self, goal: Goal) {
        let quotas = self.quotas();
        let homeless: Vec<ShardId> =
            self.situation.shards.iter().filter(|shard| !self.placement.contains_key(shard)).collect();
        for shard in homeless {
            let least = self.counts.values().copied().min().unwrap_or_default();
            let has_room = |node: &str, count: usize| match goal {
                Goal::Homed => count == least,
                Goal::Balanced => count < quotas.get(node).copied().unwrap_or_default(),
            };
            let candidates = self.counts.iter().filter(|(node, count)| has_room(node, **count)).map(|(node, _)| *node);
            let Some(node) = candidates.max_by_key(|node| (affinity(shard, node), *node)) else { continue };
            *self.counts.entry(node).or_default() += 1;
            self.placement.insert(shard, node.to_owned());
        }
    }

    pub(super) fn moves(&self) -> Vec<Move> {
        let is_elsewhere = |(shard, to): &(&ShardId, &String)| self.situation.actual.get(shard) != Some(*to);
        let moves = self.placement.iter().filter(is_elsewhere).map(|(shard, to)| {
            let from = self.situation.actual.get(shard).cloned();
            let why = self.why.get(shard).cloned().unwrap_or_else(|| "it was to be there before".to_owned());
            Move { shard: *shard, from, to: to.clone(), why }
        });
        moves.collect()
    }
}

fn no_taker(node: &str) -> String {
    format!("{node} is dead, leaves, or is drained")
}
