//! The campaign: one fault after the other, drawn from a seed, each under load and each followed by a reckoning; and the figures
//! that the documentation gives.
//!
//! Invariant: the same seed draws the same faults. A round that finds something wrong names the seed and the round.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use holdfast_core::ShardId;
use holdfast_tests::dice::Dice;
use serde::Serialize;

use crate::{faults::Cut, house::HousePlan, outages::Away, stage::Stage};

/// A house is given up after so many rounds, so that reckoning stays quick.
const ROUNDS_PER_HOUSE: u64 = 10;

/// One kind of round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Fault {
    /// A node is killed.
    Kill,
    /// A node is killed, and a server with it.
    KillBoth,
    /// A node stands still.
    Pause,
    /// A node's connections are closed.
    CutOff,
    /// Nothing a node sends arrives until others have taken over.
    HoldUp,
    /// A server is killed.
    Server,
    /// The leader of a stream is killed.
    Leader,
    /// All servers are killed.
    AllServers,
    /// All servers stand still.
    AllFrozen,
    /// All nodes and all servers are killed.
    Everything,
    /// A shard is moved around.
    Moves,
    /// Every node is restarted.
    RollingRestart,
    /// Everything is put on one node and rebalanced.
    Rebalance,
}

const FAULTS: [Fault; 13] = [
    Fault::Kill,
    Fault::KillBoth,
    Fault::Pause,
    Fault::CutOff,
    Fault::HoldUp,
    Fault::Server,
    Fault::Leader,
    Fault::AllServers,
    Fault::AllFrozen,
    Fault::Everything,
    Fault::Moves,
    Fault::RollingRestart,
    Fault::Rebalance,
];

/// What a campaign found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CampaignReport {
    /// What the faults were drawn from.
    pub seed: u64,
    /// Rounds played.
    pub rounds: u64,
    /// Orders acknowledged.
    pub acknowledged: u64,
    /// Those of them found at every node.
    pub found: u64,
    /// Orders whose money was captured.
    pub captured: u64,
    /// Nodes that left by themselves and were started again.
    pub left: u64,
}

/// Figures of takeovers and moves, in milliseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// Each takeover after a `kill -9`: until every shard of the killed node had acknowledged an order sent since.
    pub takeovers_ms: Vec<u64>,
    /// Their median.
    pub takeover_p50_ms: u64,
    /// What 95 % of them stayed within.
    pub takeover_p95_ms: u64,
    /// The slowest order of each move.
    pub pauses_ms: Vec<u64>,
    /// Their median.
    pub pause_p50_ms: u64,
    /// What 99 % of them stayed within.
    pub pause_p99_ms: u64,
    /// Requests that failed while shards were moved.
    pub failed_in_moves: u64,
}

/// Plays `rounds` rounds. `tell` hears a line for each.
///
/// # Errors
/// The first promise that was not kept, with the seed.
pub async fn play(rounds: u64, seed: u64, mut tell: impl FnMut(&str)) -> anyhow::Result<CampaignReport> {
    let mut report = CampaignReport { seed, ..CampaignReport::default() };
    let mut random = Dice::new(seed);
    while report.rounds < rounds {
        let mut stage = Stage::open(HousePlan { with_proxies: true, ..HousePlan::default() }, random.roll()).await?;
        let mut last = None;
        for _ in 0..ROUNDS_PER_HOUSE.min(rounds - report.rounds) {
            let fault = *random.pick(&FAULTS).context("a fault")?;
            let played = stage.play(fault, &mut random).await;
            let again = || format!("round {} ({fault:?}), again: cargo xtask cluster --seed {seed}", report.rounds + 1);
            let figure = played.with_context(again)?;
            stage.sell(20).await.with_context(again)?;
            let reckoning = stage.reckon_and_go_on().await.with_context(again)?;
            tell(&format!("{fault:?}: {figure}; {reckoning}"));
            last = Some(reckoning.found);
            report.rounds += 1;
        }
        stage.reckon().await?;
        let found = last.context("a round")?;
        report.acknowledged += found.acknowledged;
        report.found += found.found;
        report.captured += found.captured;
        report.left += stage.left;
    }
    Ok(report)
}

/// Measures takeovers and moves.
///
/// # Errors
/// When a promise is not kept.
pub async fn measure(takeovers: usize, moves: usize) -> anyhow::Result<Figures> {
    let mut stage = Stage::open(HousePlan::default(), 1).await?;
    let mut figures = Figures::default();
    for round in 0..takeovers {
        let taken_over = stage.owner_killed(round % stage.house.count()).await?;
        figures.takeovers_ms.push(millis(taken_over));
    }
    stage.reckon_and_go_on().await?;
    let pauses = stage.moved(ShardId(2), moves).await?;
    figures.pauses_ms = pauses.into_iter().map(millis).collect();
    let reckoning = stage.reckon().await?;
    figures.failed_in_moves = reckoning.tally.failed();
    figures.takeover_p50_ms = share(&figures.takeovers_ms, 50);
    figures.takeover_p95_ms = share(&figures.takeovers_ms, 95);
    figures.pause_p50_ms = share(&figures.pauses_ms, 50);
    figures.pause_p99_ms = share(&figures.pauses_ms, 99);
    Ok(figures)
}

/// Takes all servers away for so long, in full: what a test does for a quarter of a minute.
///
/// # Errors
/// When a promise is not kept.
pub async fn away(long: Duration) -> anyhow::Result<String> {
    let mut stage = Stage::open(HousePlan::default(), 11).await?;
    let outage = stage.servers_away(Away::Frozen, long).await?;
    let reckoning = stage.reckon().await?;
    ensure!(stage.left == 0, "a node left in an outage that is shorter than nats.append_deadline_ms");
    Ok(format!("{outage:?}; {reckoning}"))
}

impl Stage {
    async fn play(&mut self, fault: Fault, random: &mut Dice) -> anyhow::Result<String> {
        let victim = usize::try_from(random.below(self.house.count() as u64))?;
        let shard = ShardId(u16::try_from(random.below(u64::from(self.house.shards()?.get())))?);
        let long = Duration::from_millis(1_000 + random.below(6_000));
        Ok(match fault {
            Fault::Kill => format!("{:?}", self.owner_killed(victim).await?),
            Fault::KillBoth => {
                self.house.nats.kill(victim)?;
                let taken_over = self.owner_killed((victim + 1) % self.house.count()).await?;
                self.house.nats.start_one(victim)?;
                format!("{taken_over:?}")
            }
            Fault::Pause => self.owner_paused(victim).await?.to_string(),
            Fault::CutOff => self.node_cut_off(victim, Cut::Closed).await?.to_string(),
            Fault::HoldUp => self.node_cut_off(victim, Cut::Held).await?.to_string(),
            Fault::Server => format!("{:?}", self.server_killed(victim).await?),
            Fault::Leader => format!("{:?}", self.leader_killed(shard).await?),
            Fault::AllServers => format!("{:?}", self.servers_away(Away::Killed, long).await?),
            Fault::AllFrozen => format!("{:?}", self.servers_away(Away::Frozen, long).await?),
            Fault::Everything => format!("{:?}", self.everything_killed().await?),
            Fault::Moves => format!("{:?}", self.moved(shard, 3).await?),
            Fault::RollingRestart => format!("{:?}", self.rolling_restart().await?),
            Fault::Rebalance => format!("{:?}", self.rebalanced().await?),
        })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What this share of the values stays within; 0 of none.
fn share(values: &[u64], per_cent: usize) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get((sorted.len() * per_cent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_the_smallest_value_that_covers_it() {
        let values: Vec<_> = (1..=20).rev().collect();
        assert_eq!((share(&values, 50), share(&values, 95), share(&values, 99), share(&[], 50)), (10, 19, 20, 0));
    }
}
