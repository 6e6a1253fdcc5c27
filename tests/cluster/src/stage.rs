//! A house with its crowd: where faults are played.
//!
//! Invariant: a fault begins and ends with every node running and every shard settled; the reckoning comes after the crowd has
//! gone home.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use holdfast_api::load::{
    order::{ORDERS, OrderTemplate, fresh_run},
    shop::Answer,
    stopwatch::Stopwatch,
};
use holdfast_core::ShardId;
use holdfast_tests::counter::{Ask, Counter as _};
use hyper::{Method, StatusCode};
use tokio::time::sleep;

use crate::{
    crowd::{Crowd, Shopping},
    house::{ClusterHouse, HousePlan},
    pulse::Pulse,
    reckoning::{Reckoning, reckon},
};

/// How long anything may take before something is wrong, on however slow a machine.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// How often it is looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long one read of a node that may not answer may take.
const LOOK_PATIENCE: Duration = Duration::from_secs(20);

/// A house, a crowd, and shoppers under way.
pub struct Stage {
    /// Where it plays.
    pub house: ClusterHouse,
    /// Who shops there.
    pub crowd: Crowd,
    shopping: Option<Shopping>,
    /// Nodes that left by themselves and were started again.
    pub left: u64,
}

/// An order that was canceled while the node under test could not know.
#[derive(Debug, Clone)]
pub struct Witness {
    id: String,
    token: String,
}

impl Witness {
    /// Where it is read.
    pub fn path(&self) -> String {
        format!("{ORDERS}/{}", self.id)
    }

    /// What reads it.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Whether an answer shows it; none when it is a refusal.
    ///
    /// # Errors
    /// When it is shown as if it had not been canceled: a stale read.
    pub fn judge(&self, answer: &Answer) -> anyhow::Result<Option<()>> {
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            return Ok(None);
        }
        let status = answer.body["status"].as_str().unwrap_or_default();
        let is_so = answer.status == StatusCode::OK && ["canceled", "refunded"].contains(&status);
        ensure!(is_so, "a stale read: {} {}", answer.status, answer.body);
        Ok(Some(()))
    }
}

impl Stage {
    /// Opens a house, waits until every shard has its place, and sends the crowd in.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn open(plan: HousePlan, seed: u64) -> anyhow::Result<Self> {
        let mut stage = Self::empty(plan, seed).await?;
        stage.send_in();
        stage.sell(50).await?;
        Ok(stage)
    }

    /// The same without anybody in it.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn empty(plan: HousePlan, seed: u64) -> anyhow::Result<Self> {
        let house = ClusterHouse::open(plan)?;
        house.settled(&[]).await?;
        let crowd = Crowd::gather(&house, seed).await?;
        Ok(Self { house, crowd, shopping: None, left: 0 })
    }

    /// Sends the crowd in.
    pub fn send_in(&mut self) {
        self.shopping = Some(self.crowd.go());
    }

    /// Sends so many of it in.
    pub fn send_in_so_many(&mut self, shoppers: usize) {
        self.shopping = Some(self.crowd.go_with(shoppers));
    }

    /// Waits until so many more orders were acknowledged.
    ///
    /// # Errors
    /// When they are not, or a shopper was told something that makes no sense.
    pub async fn sell(&mut self, more: usize) -> anyhow::Result<()> {
        let sold = self.crowd.sell(more, PATIENCE).await;
        self.shopping.as_mut().map_or(Ok(()), Shopping::check)?;
        sold
    }

    /// Sends everybody home and reckons.
    ///
    /// # Errors
    /// The first promise that was not kept.
    pub async fn reckon(&mut self) -> anyhow::Result<Reckoning> {
        if let Some(shopping) = self.shopping.take() {
            shopping.end().await?;
        }
        reckon(&self.house, &self.crowd).await
    }

    /// The same, and sends the crowd in again.
    ///
    /// # Errors
    /// The first promise that was not kept.
    pub async fn reckon_and_go_on(&mut self) -> anyhow::Result<Reckoning> {
        let reckoning = self.reckon().await?;
        self.send_in();
        Ok(reckoning)
    }

    /// Every running node but this one.
    pub fn others(&self, index: usize) -> Vec<usize> {
        self.house.running().into_iter().filter(|other| *other != index).collect()
    }

    /// Feels the pulse of shards at these nodes, once every one of them is heard.
    ///
    /// # Errors
    /// When one is not.
    pub async fn feel(&self, shards: &[ShardId], at: &[usize]) -> anyhow::Result<Pulse> {
        let pulse = Pulse::feel(&self.crowd, shards, at)?;
        for shard in shards {
            wait_until("a pulse", || pulse.back_after(*shard, Duration::ZERO).is_some()).await?;
        }
        Ok(pulse)
    }

    /// Waits until every one of these shards has acknowledged something sent after `since`. How long that took, for the slowest.
    ///
    /// # Errors
    /// When one never does.
    pub async fn all_back(&self, pulse: &Pulse, shards: &[ShardId], since: Duration) -> anyhow::Result<Duration> {
        let mut slowest = Duration::ZERO;
        for shard in shards {
            let what = format!("shard {} after a takeover", shard.0);
            wait_until(&what, || pulse.back_after(*shard, since).is_some()).await?;
            slowest = slowest.max(pulse.back_after(*shard, since).context("it was there")?);
        }
        Ok(slowest)
    }

    /// Buys an order that lives in `shard`, at node `at`.
    ///
    /// # Errors
    /// When it is not acknowledged.
    pub async fn witness(&self, shard: ShardId, mut at: usize) -> anyhow::Result<Witness> {
        let ask = Ask::new(Method::POST, ORDERS).header("idempotency-key", &fresh_run()?);
        let placed = self.crowd.doors.ask(&mut at, &ask.json(OrderTemplate::body(self.crowd.sku(shard)?))).await?;
        let placed = placed.expect("an order", &[StatusCode::CREATED])?.body;
        self.crowd.enter(&placed)?;
        let text = |field: &str| placed[field].as_str().map(str::to_owned).context("an order without id or token");
        Ok(Witness { id: text("id")?, token: text("buyer_token")? })
    }

    /// Cancels it at node `at`.
    ///
    /// # Errors
    /// When that is not acknowledged.
    pub async fn cancel(&self, witness: &Witness, mut at: usize) -> anyhow::Result<()> {
        let admin = self.house.shop(at);
        let ask = Ask::new(Method::POST, format!("{ORDERS}/{}/cancel", witness.id));
        let answer = self.crowd.doors.ask(&mut at, &ask.bearer(admin.admin_token().unwrap_or_default())).await?;
        answer.expect("a cancellation", &[StatusCode::OK])?;
        Ok(())
    }

    /// Reads a canceled order at node `at`. Whether it was shown; none when the node refused or is gone.
    ///
    /// # Errors
    /// When it is shown as if it had not been canceled: a stale read.
    pub async fn look(&self, witness: &Witness, at: usize) -> anyhow::Result<Option<()>> {
        let (shop, path) = (self.house.shop(at), witness.path());
        let call = shop.call(Method::GET, &path, Some(&witness.token), &[], None);
        let Ok(Ok(answer)) = tokio::time::timeout(LOOK_PATIENCE, call).await else { return Ok(None) };
        witness.judge(&answer).with_context(|| format!("at {}", self.house.name(at)))
    }

    /// Reads it again and again for a while. How often it was shown, and how often refused.
    ///
    /// # Errors
    /// At the first stale read.
    pub async fn look_for(&self, witness: &Witness, at: usize, long: Duration) -> anyhow::Result<(u64, u64)> {
        let (watch, mut shown, mut refused) = (Stopwatch::start(), 0, 0);
        while watch.elapsed() < long {
            match self.look(witness, at).await? {
                Some(()) => shown += 1,
                None => refused += 1,
            }
            sleep(LOOK_EVERY).await;
        }
        Ok((shown, refused))
    }

    /// Waits until every shard is settled again; nodes that have left by themselves meanwhile are started.
    ///
    /// # Errors
    /// When they do not settle.
    #[expect(clippy::print_stdout, reason = "a test shows its figures")]
    pub async fn recovered(&mut self) -> anyhow::Result<()> {
        for index in self.house.running() {
            if let Some(status) = self.house.has_left(index)? {
                println!("{} had left by itself: {status}", self.house.name(index));
                self.left += 1;
                self.house.note_gone(index)?;
                self.house.start(index)?;
            }
            self.crowd.doors.reopen(index);
        }
        self.house.settled(&[]).await?;
        self.shopping.as_mut().map_or(Ok(()), Shopping::check)
    }
}

/// Waits until something is so.
///
/// # Errors
/// When it is not within [`PATIENCE`].
pub async fn wait_until(what: &str, is_so: impl Fn() -> bool) -> anyhow::Result<()> {
    let watch = Stopwatch::start();
    while watch.elapsed() < PATIENCE {
        if is_so() {
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
    }
    bail!("{what} did not come within {PATIENCE:?}")
}
