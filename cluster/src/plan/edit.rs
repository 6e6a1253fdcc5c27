//! Changes of the plan: those that operators ask for, and those that the coordinating node makes when nodes come and go.
//!
//! Invariant: plain functions of a plan and of what is known of the nodes. What they give is written by compare-and-set on
//! the very plan they were given, so a change is never made to another plan than it was meant for.

use std::collections::BTreeSet;

use holdfast_core::{ShardCount, ShardId};

use super::{
    document::{Note, Plan, VERSION},
    placement::{Goal, Placed, Placement, Situation, place},
};
use crate::operator::{Move, OperatorError};

/// The author of changes that no operator asked for.
pub const COORDINATOR: &str = "coordinator";

/// What is known of the nodes while the plan is changed.
#[derive(Debug, Clone)]
pub struct Scene {
    /// How many shards there are.
    pub shards: ShardCount,
    /// Every node that was heard of, alive or not.
    pub known: BTreeSet<String>,
    /// The nodes that live and do not leave.
    pub alive: BTreeSet<String>,
    /// Where the shards are: owners that live, also those that leave.
    pub actual: Placement,
    /// Shards that are being handed over right now.
    pub under_way: BTreeSet<ShardId>,
    /// What is told of the store's secret.
    pub secret_digest: String,
    /// Whether the nodes that live have been the same for `settle_ms`.
    pub is_settled: bool,
    /// The present, in milliseconds since the Unix epoch.
    pub now_ms: i64,
}

impl Scene {
    fn takers(&self, plan: &Plan) -> BTreeSet<String> {
        self.alive.difference(&plan.draining).cloned().collect()
    }

    fn place(&self, plan: &Plan, takers: &BTreeSet<String>, goal: Goal) -> Placed {
        let (desired, actual, pinned) = (&plan.placement, &self.actual, &plan.pinned);
        place(&Situation { shards: self.shards, takers, desired, actual, pinned }, goal)
    }

    fn know(&self, plan: &Plan, node: &str) -> Result<(), OperatorError> {
        let is_known = self.known.contains(node) || plan.members.contains(node) || plan.draining.contains(node);
        if is_known { Ok(()) } else { Err(OperatorError::UnknownNode(node.to_owned())) }
    }

    /// The plan with `placed` in it.
    fn planned(&self, plan: &Plan, placed: Placed, by: &str, what: String) -> Plan {
        let change = Note { by: by.to_owned(), at_ms: self.now_ms, what };
        let stays = |shard: &ShardId| plan.placement.get(shard) == placed.placement.get(shard);
        let pinned = plan.pinned.iter().copied().filter(|shard| stays(shard)).collect();
        let Placed { placement, moves } = placed;
        let secret_digest = self.secret_digest.clone();
        Plan { version: VERSION, secret_digest, placement, pinned, moves, cancelled: false, change, ..plan.clone() }
    }
}

/// Puts one shard on a node, where it stays until a rebalance.
///
/// # Errors
/// [`OperatorError`].
pub fn move_shard(plan: &Plan, scene: &Scene, shard: ShardId, to: &str, by: &str) -> Result<Plan, OperatorError> {
    if shard.0 >= scene.shards.get() {
        return Err(OperatorError::UnknownShard { shard, last: scene.shards.get() - 1 });
    }
    scene.know(plan, to)?;
    if !scene.takers(plan).contains(to) {
        return Err(OperatorError::NodeNotAlive(to.to_owned()));
    }
    if plan.home(shard) == Some(to) {
        return Err(OperatorError::NothingToDo(format!("shard {} shall be on {to} already", shard.0)));
    }
    let mut placement = plan.placement.clone();
    placement.insert(shard, to.to_owned());
    let mut moves = remaining(plan, &scene.actual);
    moves.retain(|a_move| a_move.shard != shard);
    let from = scene.actual.get(&shard).cloned();
    if from.as_deref() != Some(to) {
        moves.push(Move { shard, from, to: to.to_owned(), why: format!("{by} moved it there") });
    }
    let mut planned = scene.planned(plan, Placed { placement, moves }, by, format!("moved shard {} to {to}", shard.0));
    planned.pinned.insert(shard);
    Ok(planned)
}

/// Spreads all shards evenly, also those that operators had moved. The plan and its moves, also if there are none.
///
/// # Errors
/// [`OperatorError::NobodyLeft`].
pub fn rebalance(plan: &Plan, scene: &Scene, by: &str) -> Result<Plan, OperatorError> {
    let takers = scene.takers(plan);
    if takers.is_empty() {
        return Err(OperatorError::NobodyLeft);
    }
    let loose = Plan { pinned: BTreeSet::new(), ..plan.clone() };
    let placed = scene.place(&loose, &takers, Goal::Balanced);
    let what = format!("rebalanced over {}, {} moves", listed(&takers), placed.moves.len());
    Ok(Plan { members: takers, ..scene.planned(&loose, placed, by, what) })
}

/// Leaves every shard that has not begun to move where it is, if its node may keep it.
///
/// # Errors
/// [`OperatorError::NothingToDo`].
pub fn cancel(plan: &Plan, scene: &Scene, by: &str) -> Result<Plan, OperatorError> {
    let takers = scene.takers(plan);
    let mut placement = plan.placement.clone();
    let mut stayed = 0_usize;
    for (shard, owner) in &scene.actual {
        let shall_move = plan.home(*shard).is_some_and(|home| home != owner);
        if shall_move && takers.contains(owner) && !scene.under_way.contains(shard) {
            placement.insert(*shard, owner.clone());
            stayed += 1;
        }
    }
    if stayed == 0 {
        return Err(OperatorError::NothingToDo("no move is waiting that could be called off".to_owned()));
    }
    let placed = Placed { placement, moves: plan.moves.clone() };
    let planned = scene.planned(plan, placed, by, format!("called {stayed} moves off"));
    // What is cancelled was still planned once: the progress goes on counting from it.
    Ok(Plan { cancelled: true, ..planned })
}

/// Gives all shards of a node to others, and none to it until that is taken back.
///
/// # Errors
/// [`OperatorError`].
pub fn drain(plan: &Plan, scene: &Scene, node: &str, by: &str) -> Result<Plan, OperatorError> {
    scene.know(plan, node)?;
    if plan.draining.contains(node) {
        return Err(OperatorError::NothingToDo(format!("{node} is drained already")));
    }
    let mut plan = plan.clone();
    plan.draining.insert(node.to_owned());
    plan.members.remove(node);
    let takers = members_first(&plan, scene);
    if takers.is_empty() {
        return Err(OperatorError::NobodyLeft);
    }
    let placed = scene.place(&plan, &takers, Goal::Homed);
    Ok(scene.planned(&plan, placed, by, format!("drained {node}")))
}

/// Lets a node have shards again. It gets them as one that joins.
///
/// # Errors
/// [`OperatorError`].
pub fn undrain(plan: &Plan, scene: &Scene, node: &str, by: &str) -> Result<Plan, OperatorError> {
    scene.know(plan, node)?;
    let mut plan = plan.clone();
    if !plan.draining.remove(node) {
        return Err(OperatorError::NothingToDo(format!("{node} is not drained")));
    }
    let placed = Placed { placement: plan.placement.clone(), moves: remaining(&plan, &scene.actual) };
    Ok(scene.planned(&plan, placed, by, format!("let {node} have shards again")))
}

/// What the coordinator makes of who lives: shards of a node that is gone get another one at once, a node that is new its
/// share once the nodes have settled. `None` when nothing is to be done.
pub fn coordinate(plan: &Plan, scene: &Scene) -> Option<Plan> {
    let takers = scene.takers(plan);
    if takers.is_empty() {
        return None;
    }
    let new: BTreeSet<String> = takers.difference(&plan.members).cloned().collect();
    if scene.is_settled && !new.is_empty() {
        let placed = scene.place(plan, &takers, Goal::Balanced);
        let what = format!("{} joined, {} moves", listed(&new), placed.moves.len());
        return Some(Plan { members: takers, ..scene.planned(plan, placed, COORDINATOR, what) });
    }
    let lost: BTreeSet<String> = plan.placement.values().filter(|node| !takers.contains(*node)).cloned().collect();
    let gone: BTreeSet<String> = plan.members.difference(&takers).cloned().collect();
    if lost.is_empty() && gone.is_empty() {
        return None;
    }
    let homes = members_first(plan, scene);
    let placed = scene.place(plan, &homes, Goal::Homed);
    let what = format!("{} left, {} moves", listed(&lost.union(&gone).cloned().collect()), placed.moves.len());
    let mut planned = scene.planned(plan, placed, COORDINATOR, what);
    planned.members.retain(|member| takers.contains(member));
    Some(planned)
}

/// The moves of the plan that are still to be made.
pub fn remaining(plan: &Plan, actual: &Placement) -> Vec<Move> {
    let is_ahead =
        |a_move: &&Move| plan.home(a_move.shard) == Some(&a_move.to) && actual.get(&a_move.shard) != Some(&a_move.to);
    plan.moves.iter().filter(is_ahead).cloned().collect()
}

/// The nodes that shards are spread over already, if any is left; a newcomer may still be filling its memory.
fn members_first(plan: &Plan, scene: &Scene) -> BTreeSet<String> {
    let takers = scene.takers(plan);
    let members: BTreeSet<String> = takers.intersection(&plan.members).cloned().collect();
    if members.is_empty() { takers } else { members }
}

fn listed(nodes: &BTreeSet<String>) -> String {
    nodes.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
