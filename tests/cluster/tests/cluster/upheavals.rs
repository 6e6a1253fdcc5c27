//! What operators do under load: shards are handed over, rebalanced and drained, nodes are restarted, join and leave. Nobody is
//! refused for it, and nothing is lost or there twice.

use std::{process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use holdfast_cluster_tests::{house::HousePlan, stage::Stage};
use holdfast_core::ShardId;
use holdfast_tests::binary;

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

/// `holdfast admin drain n2`, and whether it ended well.
fn drain(stage: &Stage, more: &[&str]) -> anyhow::Result<bool> {
    let (admin, node) = (stage.house.admin(0), stage.house.name(1));
    let mut command = Command::new(binary::holdfast()?);
    command.args(["admin", "drain", node]).args(more).env("HOLDFAST_ADMIN_URL", admin.target().to_string());
    command.env("HOLDFAST__ADMIN__TOKEN", admin.admin_token().context("a token")?).env("USER", "jo");
    Ok(command.status()?.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_is_repeated_ends_when_the_node_has_no_shards() -> anyhow::Result<()> {
    let stage = Stage::empty(HousePlan::default(), 24).await?;
    ensure!(!stage.house.shards_of(1).await?.is_empty(), "the node has shards");
    ensure!(drain(&stage, &["--no-wait"])?, "it is planned");
    // Whoever repeats it, since its answer was lost, is about to stop the node.
    ensure!(drain(&stage, &[])?, "it is done");
    let table = stage.house.shard_table(0).await?;
    let left = table.iter().filter(|shard| shard.owner.as_deref() == Some(stage.house.name(1))).count();
    ensure!(left == 0, "the node still has {left} shards");
    Ok(())
}
