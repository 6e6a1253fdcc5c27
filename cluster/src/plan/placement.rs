//! Which node a shard shall be on: plain functions of what is known, so that whoever computes it gets the same.
//!
//! Bounded load: with S shards on N nodes none gets more than S/N rounded up, nor less than S/N rounded down; a node keeps
//! what it has within that, so nothing moves that need not. Where several nodes would do, rendezvous hashing chooses.
//! Dead, leaving and drained nodes get nothing. A shard that an operator moved stays where it was put until the next
//! rebalance that an operator asks for, or until its node takes no shards any more; the others are balanced around it.
//!
//! Invariant: no IO, no clock, no randomness, and no order but that of names and numbers.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_core::{ShardCount, ShardId};

use super::load::Load;
use crate::operator::Move;

/// Node names by shard. A shard that is missing is nobody's.
pub type Placement = BTreeMap<ShardId, String>;

/// What a placement follows from.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// How many shards there are.
    pub shards: ShardCount,
    /// The nodes that may get shards: those that live and are neither leaving nor drained.
    pub takers: &'a BTreeSet<String>,
    /// Where the shards shall be so far.
    pub desired: &'a Placement,
    /// Where they are: owners that live.
    pub actual: &'a Placement,
    /// Shards that stay where they shall be, as long as that node takes shards.
    pub pinned: &'a BTreeSet<ShardId>,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Shards whose node takes none any more get another one; nothing else moves.
    Homed,
    /// As even as can be.
    Balanced,
}

/// Where the shards shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The node of every shard.
    pub placement: Placement,
    /// The shards that are not there now, and why they shall be.
    pub moves: Vec<Move>,
}

/// Places every shard. Without any node that takes shards, everything stays as it is.
pub fn place(situation: &Situation<'_>, goal: Goal) -> Placed {
    if situation.takers.is_empty() {
        return Placed { placement: situation.desired.clone(), moves: Vec::new() };
    }
    let mut load = Load::of(situation);
    if goal == Goal::Balanced {
        load.shed();
    }
    load.house(goal);
    let moves = load.moves();
    Placed { placement: load.placement, moves }
}

/// How well a shard and a node go together: the highest of all nodes is the same for everybody, and a node more or less
/// changes it for few shards.
pub(super) fn affinity(shard: ShardId, node: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&shard.0.to_le_bytes()).update(node.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(count: usize) -> BTreeSet<String> {
        (0..count).map(|index| format!("n{index}")).collect()
    }

    fn counts(placed: &Placed, takers: &BTreeSet<String>) -> Vec<usize> {
        takers.iter().map(|node| placed.placement.values().filter(|home| *home == node).count()).collect()
    }

    /// Shards, the nodes that take shards, the other ones, and where every shard shall be and is: anywhere, or nowhere.
    fn situations() -> impl Strategy<Value = (ShardCount, BTreeSet<String>, Placement, Placement)> {
        (1_u16..200, 1_usize..12, 0_usize..4).prop_flat_map(|(shards, takers, others)| {
            let places = || prop::collection::vec(prop::option::of(0..takers + others), usize::from(shards));
            (places(), places(), any::<bool>()).prop_map(move |(desired, actual, is_settled)| {
                let placement = |places: &[Option<usize>]| -> Placement {
                    let named = places.iter().zip(0_u16..).filter_map(|(place, shard)| Some((shard, (*place)?)));
                    named.map(|(shard, place)| (ShardId(shard), format!("n{place}"))).collect()
                };
                let desired = placement(&desired);
                let actual = if is_settled { desired.clone() } else { placement(&actual) };
                (ShardCount::new(shards).expect("within the range"), names(takers), desired, actual)
            })
        })
    }

    proptest! {
        #[test]
        fn balanced_is_as_even_as_can_be_with_the_fewest_moves_and_the_same_for_everybody(
            (shards, takers, desired, actual) in situations(),
        ) {
            let pinned = BTreeSet::new();
            let situation =
                Situation { shards, takers: &takers, desired: &desired, actual: &actual, pinned: &pinned };
            let placed = place(&situation, Goal::Balanced);
            prop_assert_eq!(placed.placement.len(), usize::from(shards.get()));
            prop_assert!(placed.placement.values().all(|node| takers.contains(node)));
            let (total, nodes) = (usize::from(shards.get()), takers.len());
            let counts = counts(&placed, &takers);
            prop_assert!(counts.iter().all(|count| (total / nodes..=total.div_ceil(nodes)).contains(count)));
            prop_assert_eq!(&place(&situation, Goal::Balanced), &placed);
            // The fewest there can be: the homeless, and what nodes have beyond their share, whoever gets the odd ones.
            let kept = Load::of(&situation);
            let mut had: Vec<usize> = kept.counts.values().copied().collect();
            had.sort_unstable_by(|a, b| b.cmp(a));
            let share = |place: usize| total / nodes + usize::from(place < total % nodes);
            let stay: usize = had.iter().enumerate().map(|(place, count)| (*count).min(share(place))).sum();
            let stayed = kept.placement.iter().filter(|(shard, node)| placed.placement.get(shard) == Some(*node));
            prop_assert_eq!(stayed.count(), stay);
        }

        #[test]
        fn what_is_balanced_does_not_move_and_a_lost_nodes_shards_alone_find_homes(
            (shards, takers, desired, actual) in situations(), lost in 0_usize..12,
        ) {
            let pinned = BTreeSet::new();
            let before = Situation { shards, takers: &takers, desired: &desired, actual: &actual, pinned: &pinned };
            let even = place(&before, Goal::Balanced).placement;
            let settled = Situation { desired: &even, actual: &even, ..before };
            prop_assert_eq!(place(&settled, Goal::Balanced).moves, vec![]);
            let gone = format!("n{}", lost % takers.len());
            let fewer: BTreeSet<String> = takers.iter().filter(|node| **node != gone).cloned().collect();
            let after = place(&Situation { takers: &fewer, ..settled }, Goal::Homed);
            if fewer.is_empty() {
                prop_assert_eq!(&after.placement, &even);
                return Ok(());
            }
            for (shard, node) in &even {
                prop_assert!(*node == gone || after.placement.get(shard) == Some(node));
            }
            prop_assert_eq!(after.moves.len(), even.values().filter(|node| **node == gone).count());
            let counts = counts(&after, &fewer);
            let most = usize::from(shards.get()).div_ceil(fewer.len());
            prop_assert!(counts.iter().all(|count| *count <= most), "{:?} above {}", counts, most);
        }

        #[test]
        fn pinned_shards_stay_and_the_others_are_even_around_them(
            (shards, takers, desired, _) in situations(), every in 1_u16..5,
        ) {
            let pinned: BTreeSet<ShardId> = shards.iter().filter(|shard| shard.0 % every == 0).collect();
            let situation =
                Situation { shards, takers: &takers, desired: &desired, actual: &desired, pinned: &pinned };
            let placed = place(&situation, Goal::Balanced);
            prop_assert_eq!(placed.placement.len(), usize::from(shards.get()));
            for shard in &pinned {
                let home = desired.get(shard).filter(|node| takers.contains(*node));
                prop_assert!(home.is_none() || placed.placement.get(shard) == home);
            }
            let held = |node: &String| {
                pinned.iter().filter(|shard| desired.get(shard) == Some(node)).count()
            };
            let counts: Vec<(usize, usize)> =
                takers.iter().map(held).zip(counts(&placed, &takers)).collect();
            let least = counts.iter().map(|(_, count)| *count).min().unwrap_or_default();
            let even = |(held, count): &(usize, usize)| count == held || *count <= least + 1;
            prop_assert!(counts.iter().all(even), "{:?}", counts);
        }
    }

    #[test]
    fn every_move_says_why_and_a_node_that_joins_gets_its_share_from_those_with_more() {
        let shards = ShardCount::new(16).expect("16 is a number of shards");
        let (two, three) = (names(2), names(3));
        let (nothing, pinned) = (Placement::new(), BTreeSet::new());
        let fresh = Situation { shards, takers: &two, desired: &nothing, actual: &nothing, pinned: &pinned };
        let first = place(&fresh, Goal::Balanced);
        assert!(first.moves.iter().all(|a_move| a_move.from.is_none() && a_move.why == "it had no node"));
        let joined = Situation { takers: &three, desired: &first.placement, actual: &first.placement, ..fresh };
        let second = place(&joined, Goal::Balanced);
        assert_eq!(second.moves.len(), 5, "a third of 16");
        assert!(
            second.moves.iter().all(|a_move| a_move.to == "n2" && a_move.why.contains("of 16 shards, its share is"))
        );
    }

    #[test]
    fn the_choice_among_equals_is_the_same_in_every_version() {
        // Two versions that choose differently would move shards back and forth during an upgrade.
        assert_eq!(affinity(ShardId(7), "n1"), 6_230_736_725_873_965_609);
    }
}
