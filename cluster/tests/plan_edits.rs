//! Changes of the plan: what operators ask for, and what the coordinating node makes of who lives.
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

use std::collections::{BTreeMap, BTreeSet};

use holdfast_cluster::{
    operator::OperatorError,
    plan::{
        document::Plan,
        edit::{self, COORDINATOR, Scene},
    },
};
use holdfast_core::{ShardCount, ShardId};

const SHARDS: u16 = 12;

fn names(nodes: &[&str]) -> BTreeSet<String> {
    nodes.iter().map(|node| (*node).to_owned()).collect()
}

/// These nodes live, have done so for long enough, and have their shards where the plan wants them.
fn scene(plan: &Plan, alive: &[&str]) -> Scene {
    let alive = names(alive);
    let actual = plan.placement.iter().filter(|(_, node)| alive.contains(*node));
    Scene {
        shards: ShardCount::new(SHARDS).expect("a number of shards"),
        known: alive.clone(),
        actual: actual.map(|(shard, node)| (*shard, node.clone())).collect(),
        alive,
        under_way: BTreeSet::new(),
        secret_digest: "d".to_owned(),
        is_settled: true,
        now_ms: 7_000,
    }
}

/// Three nodes with four shards each.
fn plan_of_three() -> Plan {
    let scene = scene(&Plan::default(), &["n1", "n2", "n3"]);
    edit::coordinate(&Plan::default(), &scene).expect("nodes without shards get some")
}

fn count(plan: &Plan) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    plan.placement.values().for_each(|node| *counts.entry(node.as_str()).or_default() += 1);
    counts
}

/// The shards that two plans put on different nodes.
fn moved(before: &Plan, after: &Plan) -> BTreeSet<ShardId> {
    after.placement.iter().filter(|(shard, node)| before.home(**shard) != Some(node)).map(|(shard, _)| *shard).collect()
}

fn shards_on(plan: &Plan, node: &str) -> BTreeSet<ShardId> {
    plan.placement.iter().filter(|(_, home)| *home == node).map(|(shard, _)| *shard).collect()
}

/// A shard that is not on `node`.
fn shard_elsewhere(plan: &Plan, node: &str) -> ShardId {
    *plan.placement.iter().find(|(_, home)| *home != node).expect("other nodes have shards").0
}

#[test]
fn a_drain_moves_that_nodes_shards_and_no_other_and_outlasts_whatever_is_planned_after() {
    let before = plan_of_three();
    let all = scene(&before, &["n1", "n2", "n3"]);
    let drained = edit::drain(&before, &all, "n2", "ann").expect("there are others");
    assert_eq!(moved(&before, &drained), shards_on(&before, "n2"));
    assert_eq!(count(&drained), BTreeMap::from([("n1", 6), ("n3", 6)]));
    assert_eq!(drained.moves.len(), 4);
    assert!(drained.moves.iter().all(|a_move| a_move.from.as_deref() == Some("n2")), "{:?}", drained.moves);
    assert_eq!((drained.change.by.as_str(), drained.change.at_ms), ("ann", 7_000));
    // It lives, and does not count as one that joins.
    assert_eq!(edit::coordinate(&drained, &scene(&drained, &["n1", "n2", "n3"])), None);
    let balanced = edit::rebalance(&drained, &scene(&drained, &["n1", "n2", "n3"]), "ann").expect("two are left");
    assert_eq!(shards_on(&balanced, "n2"), BTreeSet::new());
}

#[test]
fn a_drain_of_nobody_of_one_drained_already_and_of_the_last_node_is_refused() {
    let before = plan_of_three();
    let all = scene(&before, &["n1", "n2", "n3"]);
    assert_eq!(edit::drain(&before, &all, "n9", "ann"), Err(OperatorError::UnknownNode("n9".to_owned())));
    let drained = edit::drain(&before, &all, "n2", "ann").expect("there are others");
    assert!(matches!(edit::drain(&drained, &all, "n2", "ann"), Err(OperatorError::NothingToDo(_))));
    let alone = scene(&before, &["n2"]);
    assert_eq!(edit::drain(&before, &alone, "n2", "ann"), Err(OperatorError::NobodyLeft));
}

#[test]
fn an_undrained_node_gets_its_share_as_one_that_joins() {
    let before = plan_of_three();
    let drained = edit::drain(&before, &scene(&before, &["n1", "n2", "n3"]), "n2", "ann").expect("there are others");
    let all = scene(&drained, &["n1", "n2", "n3"]);
    assert!(matches!(edit::undrain(&drained, &all, "n1", "ann"), Err(OperatorError::NothingToDo(_))));
    assert_eq!(edit::undrain(&drained, &all, "n9", "ann"), Err(OperatorError::UnknownNode("n9".to_owned())));
    let undrained = edit::undrain(&drained, &all, "n2", "ann").expect("it was drained");
    assert_eq!(moved(&drained, &undrained), BTreeSet::new(), "that alone moves nothing");
    let all = scene(&undrained, &["n1", "n2", "n3"]);
    assert_eq!(edit::coordinate(&undrained, &Scene { is_settled: false, ..all.clone() }), None);
    let joined = edit::coordinate(&undrained, &all).expect("it is new to the plan");
    assert_eq!(count(&joined), BTreeMap::from([("n1", 4), ("n2", 4), ("n3", 4)]));
    assert_eq!(joined.change.by, COORDINATOR);
}

#[test]
fn a_shard_that_was_moved_stays_when_nodes_come_and_goes_home_with_the_next_rebalance() {
    let before = plan_of_three();
    let shard = shard_elsewhere(&before, "n1");
    let from = before.home(shard).map(str::to_owned);
    let all = scene(&before, &["n1", "n2", "n3"]);
    let changed = edit::move_shard(&before, &all, shard, "n1", "ann").expect("it lives");
    assert_eq!((moved(&before, &changed), changed.home(shard)), (BTreeSet::from([shard]), Some("n1")));
    assert_eq!((&changed.moves[0].from, &changed.moves[0].to), (&from, &"n1".to_owned()));
    // n1 has five of twelve: without the pin it would have to give one of three shares away when a fourth node comes.
    let mut pinned = changed.clone();
    for shard in shards_on(&before, "n1") {
        pinned.pinned.insert(shard);
    }
    let four = scene(&pinned, &["n1", "n2", "n3", "n4"]);
    let joined = edit::coordinate(&pinned, &four).expect("n4 joins");
    assert_eq!(shards_on(&joined, "n1"), shards_on(&changed, "n1"), "pinned shards stay");
    assert_eq!(joined.pinned, pinned.pinned);
    let four = scene(&joined, &["n1", "n2", "n3", "n4"]);
    let balanced = edit::rebalance(&joined, &four, "ann").expect("four live");
    assert_eq!(count(&balanced), BTreeMap::from([("n1", 3), ("n2", 3), ("n3", 3), ("n4", 3)]));
    assert_eq!(balanced.pinned, BTreeSet::new());
}

#[test]
fn a_pin_ends_when_its_node_takes_no_shards_any_more() {
    let before = plan_of_three();
    let shard = shard_elsewhere(&before, "n1");
    let all = scene(&before, &["n1", "n2", "n3"]);
    let changed = edit::move_shard(&before, &all, shard, "n1", "ann").expect("it lives");
    assert_eq!(changed.pinned, BTreeSet::from([shard]));
    let lost = edit::coordinate(&changed, &scene(&changed, &["n2", "n3"])).expect("n1 is gone");
    assert_eq!(lost.pinned, BTreeSet::new());
    assert!(lost.home(shard).is_some_and(|node| node != "n1"));
}

#[test]
fn a_move_of_no_shard_to_nobody_to_the_dead_the_drained_or_to_where_it_is_is_refused() {
    let before = plan_of_three();
    let shard = shard_elsewhere(&before, "n1");
    let two = Scene { known: names(&["n1", "n2", "n3"]), ..scene(&before, &["n2", "n3"]) };
    let to = |plan: &Plan, scene: &Scene, shard, node| edit::move_shard(plan, scene, shard, node, "ann").unwrap_err();
    let beyond = ShardId(SHARDS);
    assert_eq!(to(&before, &two, beyond, "n2"), OperatorError::UnknownShard { shard: beyond, last: SHARDS - 1 });
    assert_eq!(to(&before, &two, shard, "n9"), OperatorError::UnknownNode("n9".to_owned()));
    assert_eq!(to(&before, &two, shard, "n1"), OperatorError::NodeNotAlive("n1".to_owned()));
    let all = scene(&before, &["n1", "n2", "n3"]);
    let drained = edit::drain(&before, &all, "n1", "ann").expect("there are others");
    assert_eq!(to(&drained, &all, shard, "n1"), OperatorError::NodeNotAlive("n1".to_owned()));
    let home = before.home(shard).expect("it has a node").to_owned();
    assert!(matches!(to(&before, &all, shard, &home), OperatorError::NothingToDo(_)));
}

#[test]
fn a_rebalance_is_over_those_that_live_and_says_every_move_and_why() {
    let before = plan_of_three();
    let two = scene(&before, &["n1", "n2"]);
    let balanced = edit::rebalance(&before, &two, "ann").expect("two live");
    assert_eq!(count(&balanced), BTreeMap::from([("n1", 6), ("n2", 6)]));
    assert_eq!(balanced.members, names(&["n1", "n2"]));
    assert_eq!(balanced.moves.len(), 4);
    assert!(balanced.moves.iter().all(|a_move| a_move.why.contains("n3")), "{:?}", balanced.moves);
    assert_eq!(edit::rebalance(&before, &scene(&before, &[]), "ann"), Err(OperatorError::NobodyLeft));
    let again = edit::rebalance(&balanced, &scene(&balanced, &["n1", "n2"]), "ann").expect("two live");
    assert_eq!((again.moves.len(), &again.placement), (0, &balanced.placement));
}

#[test]
fn a_cancel_keeps_what_has_not_begun_where_it_is_and_is_final() {
    let before = plan_of_three();
    let four = scene(&before, &["n1", "n2", "n3", "n4"]);
    let joined = edit::coordinate(&before, &four).expect("n4 joins");
    assert_eq!(joined.moves.len(), 3);
    let begun = joined.moves[0].shard;
    let under_way = Scene { under_way: BTreeSet::from([begun]), ..four };
    let cancelled = edit::cancel(&joined, &under_way, "ann").expect("two have not begun");
    assert_eq!(moved(&before, &cancelled), BTreeSet::from([begun]));
    assert_eq!((cancelled.cancelled, cancelled.moves.len()), (true, 3), "the progress counts from what was planned");
    assert_eq!(edit::remaining(&cancelled, &under_way.actual).len(), 1);
    assert!(matches!(edit::cancel(&cancelled, &under_way, "ann"), Err(OperatorError::NothingToDo(_))));
    assert_eq!(edit::coordinate(&cancelled, &under_way), None, "nobody plans it again");
    let resumed = edit::rebalance(&cancelled, &under_way, "ann").expect("four live");
    assert!(!resumed.cancelled);
}

#[test]
fn a_cancel_leaves_no_shard_on_a_node_that_is_drained() {
    let before = plan_of_three();
    let all = scene(&before, &["n1", "n2", "n3"]);
    let drained = edit::drain(&before, &all, "n2", "ann").expect("there are others");
    assert!(matches!(edit::cancel(&drained, &all, "ann"), Err(OperatorError::NothingToDo(_))));
}

#[test]
fn a_loss_is_planned_at_once_and_moves_the_lost_shards_alone() {
    let before = plan_of_three();
    let two = Scene { is_settled: false, ..scene(&before, &["n1", "n3"]) };
    let after = edit::coordinate(&before, &two).expect("n2 is lost");
    assert_eq!(moved(&before, &after), shards_on(&before, "n2"));
    assert_eq!(after.members, names(&["n1", "n3"]));
    let back = scene(&after, &["n1", "n2", "n3"]);
    assert_eq!(
        edit::coordinate(&after, &Scene { is_settled: false, ..back.clone() }),
        None,
        "not before it has settled"
    );
    assert_eq!(edit::coordinate(&after, &back).map(|plan| plan.moves.len()), Some(4));
}
