//! What operators do under load: shards are handed over, rebalanced and drained, nodes are restarted, join and leave. Nobody is
//! refused for it, and nothing is lost or there twice.

use std::time::Duration;

use anyhow::ensure;
use holdfast_cluster_tests::{house::HousePlan, stage::Stage};
use holdfast_core::ShardId;

/// Moves of one shard, in number.
const MOVES: usize = 12;
/// Drains that are taken back at once, in number.
const CHANGES: usize = 9;

/// Limits so long that nobody is refused because the machine is slow: only because of how shards change hands.
fn patient() -> HousePlan {
    let limits = [
        ("CLUSTER__REQUEST_DEADLINE_MS", "50000"),
        ("CLUSTER__REMEMBER_MS", "60000"),
        ("CLUSTER__HANDOVER_MS", "50000"),
        ("CLUSTER__DEAD_AFTER_MS", "20000"),
        ("CLUSTER__LEASE_MS", "15000"),
        ("RUNTIME__CHECKOUT_DEADLINE_MS", "50000"),
    ];
    let settings = limits.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    HousePlan { settings, ..HousePlan::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_handed_over_and_rebalanced_under_load_and_nobody_is_refused() -> anyhow::Result<()> {
    let mut stage = Stage::open(patient(), 21).await?;
    let mut pauses = stage.moved(ShardId(2), MOVES).await?;
    pauses.sort_unstable();
    println!(
        "{MOVES} moves: the slowest order waited {:?} at the median, {:?} at most",
        pauses[MOVES / 2],
        pauses.last()
    );
    let handed_over = stage.reckon_and_go_on().await?;
    println!("{handed_over}");
    ensure!(handed_over.tally.failed() == 0, "somebody was refused");
    let (moves, took) = stage.rebalanced().await?;
    let rebalanced = stage.reckon().await?;
    println!("{moves} shards rebalanced in {took:?}; {rebalanced}");
    ensure!(rebalanced.tally.failed() == 0, "somebody was refused");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_restarted_join_and_leave_under_load_and_nothing_is_lost() -> anyhow::Result<()> {
    let mut stage = Stage::open(patient(), 22).await?;
    let took = stage.rolling_restart().await?;
    let restarted = stage.reckon_and_go_on().await?;
    println!("all nodes restarted in {took:?}; {restarted}");
    // The node that stops or starts refuses and breaks off, and its clients go elsewhere; the others must not.
    let is_its_own = |reason: &str| reason.contains("shutting down") || reason.contains("recovering");
    let strange: Vec<_> = restarted.tally.refused.keys().filter(|reason| !is_its_own(reason)).collect();
    ensure!(strange.is_empty(), "refused for another reason than a node's stop and start: {strange:?}");
    let shards = stage.joined_and_left().await?;
    println!("a fourth node had {shards} shards and left; {}", stage.reckon().await?);
    ensure!(stage.left == 0 && took > Duration::ZERO, "nodes left by themselves");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_made_at_one_node_is_known_to_every_other_one_that_is_asked_next() -> anyhow::Result<()> {
    let stage = Stage::empty(HousePlan::default(), 23).await?;
    for change in 0..CHANGES {
        stage.drained_and_back_elsewhere(change % stage.house.count()).await?;
    }
    stage.house.settled(&[]).await?;
    // The last word on every node was that it is taken back.
    stage.house.all_alive().await
}
