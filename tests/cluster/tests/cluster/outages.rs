//! NATS servers that die or go away under load, alone or with the nodes: what was acknowledged is there, what is asked meanwhile
//! is refused in time, and the sale goes on by itself. The disks outlive all of it, but where a test says otherwise.

use std::{sync::atomic::Ordering, time::Duration};

use anyhow::ensure;
use holdfast_cluster_tests::{house::HousePlan, outages::Away, stage::Stage};
use holdfast_core::ShardId;

/// How long the servers are away here. `cargo xtask cluster --away 60` takes them away for a minute.
const AWAY: Duration = Duration::from_secs(15);
/// Who shop at once where most answers wait for a message that is sent again: three times as many make the same mischief in a
/// third of the time.
const PATIENT_SHOPPERS: usize = 24;

/// Limits far shorter than the outage, so that it shows whether an answer waits for its end.
fn hurried() -> HousePlan {
    let limits = [("CLUSTER__REQUEST_DEADLINE_MS", "3000"), ("RUNTIME__CHECKOUT_DEADLINE_MS", "3000")];
    let settings = limits.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    HousePlan { settings, ..HousePlan::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_killed_under_load_and_the_sale_goes_on() -> anyhow::Result<()> {
    let mut stage = Stage::open(hurried(), 11).await?;
    println!("a server killed: every shard answered again after {:?}", stage.server_killed(0).await?);
    println!("{}", stage.reckon_and_go_on().await?);
    println!("the leader of a stream killed: after {:?}", stage.leader_killed(ShardId(3)).await?);
    println!("{}", stage.reckon_and_go_on().await?);
    println!("all servers killed: {:?}", stage.servers_away(Away::Killed, Duration::from_secs(2)).await?);
    println!("{}", stage.reckon().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_servers_go_away_under_load_and_no_answer_waits_for_their_return() -> anyhow::Result<()> {
    let mut stage = Stage::open(hurried(), 15).await?;
    let outage = stage.servers_away(Away::Frozen, AWAY).await?;
    let reckoning = stage.reckon().await?;
    println!("all servers frozen: {outage:?}; {reckoning}");
    ensure!(u128::from(reckoning.tally.slowest_ms) < outage.away_ms, "an answer waited for the servers");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_process_is_killed_at_once_and_everything_acknowledged_is_there_again() -> anyhow::Result<()> {
    let mut stage = Stage::open(HousePlan::default(), 12).await?;
    println!("nodes and servers killed: sold again {:?} after they were started", stage.everything_killed().await?);
    stage.sell(20).await?;
    println!("{}", stage.reckon().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn disks_are_lost_beside_purged_streams_and_everything_comes_back_from_the_archive() -> anyhow::Result<()> {
    // As little history as may be, and checkpoints so often that it goes soon.
    let bounds = [
        ("STORE__JOURNAL__RETAIN_BYTES", "1"),
        ("RUNTIME__CHECKPOINT_RECORDS", "100"),
        ("NATS__ARCHIVE_INTERVAL_MS", "200"),
    ];
    let settings = bounds.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    let mut stage = Stage::open(HousePlan { settings, ..HousePlan::default() }, 14).await?;
    println!("{} messages were let go", stage.purged().await?);
    ensure!(stage.disks_lost(&[0]).await? == 1, "one disk was filled from the archive");
    stage.sell(20).await?;
    println!("one disk lost: {}", stage.reckon_and_go_on().await?);
    stage.sell(20).await?;
    let all: Vec<_> = stage.house.running();
    ensure!(stage.disks_lost(&all).await? == 1 + all.len(), "every disk was filled from the archive");
    stage.sell(20).await?;
    println!("all disks lost: {}", stage.reckon().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_lost_doubled_and_late_change_nothing() -> anyhow::Result<()> {
    let mut stage = Stage::empty(HousePlan { with_proxies: true, ..HousePlan::default() }, 13).await?;
    stage.send_in_so_many(PATIENT_SHOPPERS);
    stage.sell(50).await?;
    let mischief: Vec<_> = (0..stage.house.count()).flat_map(|node| stage.house.mischief(node)).collect();
    let set = |percent: u64| {
        for wire in &mischief {
            for share in [&wire.core_lost_percent, &wire.core_doubled_percent, &wire.core_late_percent] {
                share.store(percent, Ordering::Relaxed);
            }
            wire.doubled_percent.store(percent, Ordering::Relaxed);
            wire.lost_ack_percent.store(percent, Ordering::Relaxed);
        }
    };
    set(10);
    stage.sell(150).await?;
    set(0);
    let sum = |count: fn(&holdfast_servers::Mischief) -> u64| mischief.iter().map(|wire| count(wire)).sum::<u64>();
    let lost = sum(|wire| wire.lost.load(Ordering::Relaxed));
    let doubled = sum(|wire| wire.doubled.load(Ordering::Relaxed));
    let late = sum(|wire| wire.late.load(Ordering::Relaxed));
    ensure!(lost > 0 && doubled > 0 && late > 0, "nothing went wrong: {lost} lost, {doubled} doubled, {late} late");
    println!("{lost} messages lost, {doubled} doubled, {late} late: {}", stage.reckon().await?);
    Ok(())
}
