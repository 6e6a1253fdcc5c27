//! The crash campaign: a server is driven with orders, retries, cancellations and shipments, killed at a named point, and
//! started again, over and over; after each kill the shop must be what its books say.
//!
//! Read in this order: [`point`] is where it is killed, [`crate::shoppers`] is what it is driven with, [`report`] is what came
//! of it.
//!
//! Invariant: a point counts only if the fault layer says that the process was killed there. One that is never reached
//! fails the campaign.

pub mod point;
pub mod report;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use holdfast_api::load::stopwatch::Stopwatch;
use holdfast_persistence::{AuditError, Store};

use crate::{House, books::Found, dice::Dice, fault::Layer, shoppers::Crowd};
pub use point::Point;
use point::When;
pub use report::Report;

/// Units of the SKUs that do not sell out.
const PLENTY: u64 = 1_000_000;
/// Units of the one that does.
const FEW: u64 = 60;
/// How long a point may take to be reached under load.
const REACHED: Duration = Duration::from_mins(1);
/// A house is given up after so many cycles, so that checking its books stays quick.
const CYCLES_PER_HOUSE: u64 = 20;
/// How long holds without an order may stay: their time to live, the attempt's deadline, and a little.
const LAPSED: Duration = Duration::from_mins(1);

/// Small segments, frequent checkpoints and short holds: a short run meets every step of the journal's life.
const SETTINGS: [(&str, &str); 9] = [
    ("STORE__JOURNAL__SEGMENT_BYTES", "131072"),
    ("STORE__JOURNAL__RESERVE_BYTES", "32768"),
    ("STORE__JOURNAL__FRAME_LIMIT_BYTES", "16384"),
    ("STORE__JOURNAL__RECORD_LIMIT_BYTES", "8192"),
    ("LIMITS__BODY_BYTES", "4096"),
    ("RUNTIME__TURN_BYTES", "16384"),
    ("RUNTIME__CHECKPOINT_RECORDS", "100"),
    ("RUNTIME__CHECKOUT_DEADLINE_MS", "2000"),
    ("RUNTIME__HOLD_TTL_MS", "20000"),
];

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// The points, each in its turn.
    pub points: Vec<Point>,
    /// How often the server is killed at each.
    pub cycles: u64,
    /// What the random choices follow from.
    pub seed: u64,
}

/// A server, its layer, and what it must remember.
struct Stage {
    house: House,
    layer: Layer,
    crowd: Crowd,
}

impl Campaign {
    /// Runs it. `tell` hears a line now and then.
    ///
    /// # Errors
    /// The first promise that was not kept, or point that was not reached, with the seed to see it again.
    pub async fn run(&self, mut tell: impl FnMut(&str)) -> anyhow::Result<Report> {
        let mut report = Report::new(self.seed);
        for &point in &self.points {
            let name = point.name();
            let again = || format!("cargo xtask crash --point {name} --cycles {} --seed {}", self.cycles, self.seed);
            // By the point and not by its turn, so that a point alone sees again what it saw among all.
            let mut random = Dice::new(self.seed.wrapping_mul(1_000).wrapping_add(point as u64));
            let outcome = self.strike(point, &mut random, &mut report).await;
            outcome.with_context(|| format!("at the point {name} (again: {})", again()))?;
            tell(&report.line(name));
        }
        Ok(report)
    }

    /// All cycles of one point.
    async fn strike(&self, point: Point, random: &mut Dice, report: &mut Report) -> anyhow::Result<()> {
        let mut left = self.cycles;
        while left > 0 {
            let mut stage = Stage::set(point, random.roll()).await?;
            let cycles = left.min(CYCLES_PER_HOUSE);
            for cycle in 0..cycles {
                let restart = stage.cycle(point, random).await;
                let restart = restart.with_context(|| format!("in cycle {}", self.cycles - left + cycle + 1))?;
                report.killed(point.name(), restart);
            }
            report.audited(stage.audit().await?);
            report.found(&stage.end().await?);
            left -= cycles;
        }
        Ok(())
    }
}

impl Stage {
    async fn set(point: Point, seed: u64) -> anyhow::Result<Self> {
        let mut settings = SETTINGS.to_vec();
        settings.push(("STORE__SHARDS", if point.wants_one_shard() { "1" } else { "4" }));
        if point.wants_purges() {
            settings.push(("STORE__JOURNAL__RETAIN_BYTES", "1"));
        }
        let mut layer = None;
        let house = House::launched(&settings, |folder, launch| {
            layer = Some(Layer::new(&folder.join("data"), folder)?);
            // A gateway outlives the shop that asks it.
            let book = folder.join("sandbox.book").to_string_lossy().into_owned();
            launch.environment.push(("HOLDFAST__PAYMENTS__SANDBOX__BOOK".to_owned(), book));
            Ok(())
        })?;
        let mut crowd = Crowd::of(house.shop(), seed);
        crowd.ask_gateway(house.folder().join("sandbox.book"));
        for sku in ["CRASH-A", "CRASH-B", "CRASH-C"] {
            house.put_up(sku, PLENTY).await?;
            crowd.put_up(sku, PLENTY);
        }
        house.put_up("CRASH-FEW", FEW).await?;
        crowd.put_up_few("CRASH-FEW", FEW);
        Ok(Self { house, layer: layer.context("a layer")?, crowd })
    }

    /// Starts the server with the layer, drives it, has it killed, starts it again without, and looks. Returns how long the
    /// second start took.
    async fn cycle(&mut self, point: Point, random: &mut Dice) -> anyhow::Result<Duration> {
        self.layer.panel().clear()?;
        self.layer.surround(self.house.launch_mut(), &point.rules(random));
        if point.when() == When::FromStart {
            self.layer.panel().arm()?;
        }
        let started = self.house.restart().await;
        let killed_starting = started.is_err() && self.layer.panel().fired(0)? > 0;
        if !killed_starting {
            started.context("before the kill")?;
        }
        let shopping = self.crowd.go();
        if !killed_starting {
            self.kill(point, random).await?;
        }
        ensure!(self.layer.panel().pid()? != 0, "the fault layer was not loaded");
        Layer::take_off(self.house.launch_mut());
        let restart = self.house.restart().await.context("after the kill")?;
        let ended = tokio::time::timeout(REACHED, shopping.end()).await;
        ended.context("shoppers were not answered after the restart")??;
        self.crowd.books().check(self.house.shop()).await?;
        Ok(restart)
    }

    async fn kill(&mut self, point: Point, random: &mut Dice) -> anyhow::Result<()> {
        let pause = Duration::from_millis(20 + random.below(300));
        tokio::time::sleep(pause).await;
        if point == Point::Random {
            self.house.kill();
            return Ok(());
        }
        self.layer.panel().arm()?;
        let watch = Stopwatch::start();
        let left = self.house.left(REACHED).await?;
        let matched = self.layer.panel().matched(0)?;
        let status = left.with_context(|| format!("not reached in {:?} ({matched} calls matched)", watch.elapsed()))?;
        ensure!(self.layer.panel().fired(0)? > 0, "the server left ({status}) before the point was reached");
        self.layer.assert_active()
    }

    /// One more `kill -9`, at rest, and a look at what is on disk: how many snapshots are what the journal leads to (I4). None
    /// where the journal does not reach back to the beginning.
    async fn audit(&mut self) -> anyhow::Result<u64> {
        self.house.kill();
        let data = self.house.folder().join("data");
        match tokio::task::spawn_blocking(move || Store::audit(&data)).await? {
            Ok(audit) => Ok(audit.snapshots),
            Err(AuditError::Purged { .. }) => Ok(0),
            Err(error) => Err(error).context("snapshots and journal differ"),
        }
    }

    /// The server comes back from that, and the last look: holds that no order came of are gone as well.
    async fn end(mut self) -> anyhow::Result<Found> {
        self.house.restart().await?;
        let books = self.crowd.books();
        books.without_holds(self.house.shop(), LAPSED).await?;
        books.check(self.house.shop()).await
    }
}
