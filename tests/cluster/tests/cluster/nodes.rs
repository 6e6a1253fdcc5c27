//! Nodes that die, stand still, are cut off or held up under load: others take over, nothing that was acknowledged is lost,
//! nothing stale is committed or read.

use holdfast_cluster_tests::{faults::Cut, house::HousePlan, stage::Stage};

/// Kills of an owner, in number.
const KILLS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn owners_are_killed_under_load_and_others_take_over_with_everything_acknowledged() -> anyhow::Result<()> {
    let mut stage = Stage::open(HousePlan::default(), 1).await?;
    for kill in 0..KILLS {
        let victim = kill % stage.house.count();
        let taken_over = stage.owner_killed(victim).await?;
        println!("{} killed: every shard of it answered again after {taken_over:?}", stage.house.name(victim));
        stage.sell(20).await?;
    }
    println!("{}", stage.reckon().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_stood_still_comes_back_as_a_zombie_and_commits_and_shows_nothing_stale() -> anyhow::Result<()> {
    let mut stage = Stage::open(HousePlan::default(), 2).await?;
    for victim in [1, 0] {
        let back = stage.owner_paused(victim).await?;
        println!("{} paused: {back}", stage.house.name(victim));
        stage.sell(20).await?;
    }
    println!("{}", stage.reckon().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_cut_off_from_the_servers_answers_nothing_from_memory_and_comes_back() -> anyhow::Result<()> {
    let mut stage = Stage::open(HousePlan { with_proxies: true, ..HousePlan::default() }, 3).await?;
    let back = stage.node_cut_off(1, Cut::Closed).await?;
    println!("{} cut off: {back}", stage.house.name(1));
    stage.sell(20).await?;
    println!("{}", stage.reckon().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_that_believe_to_own_a_shard_one_commits() -> anyhow::Result<()> {
    let mut stage = Stage::open(HousePlan { with_proxies: true, ..HousePlan::default() }, 4).await?;
    // What the first had sent arrives when the second has taken over: in the servers' order, behind the next epoch.
    let back = stage.node_cut_off(0, Cut::Held).await?;
    println!("{} held up: {back}", stage.house.name(0));
    stage.sell(20).await?;
    println!("{}", stage.reckon().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_left_with_a_minority_of_the_servers_answers_nothing_and_comes_back() -> anyhow::Result<()> {
    let mut stage = Stage::open(HousePlan { with_partition: true, ..HousePlan::default() }, 5).await?;
    let back = stage.node_cut_off(0, Cut::Minority).await?;
    println!("{} left with one server of three: {back}", stage.house.name(0));
    stage.sell(20).await?;
    println!("{}", stage.reckon().await?);
    Ok(())
}
