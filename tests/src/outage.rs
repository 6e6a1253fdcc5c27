//! A sale during which the database is in trouble: what the buyers noticed, what waited on disk, and how long it took to catch
//! up.
//!
//! Invariant: nothing is asserted of speed, which a test's machine decides: figures with trouble stand beside those without.
//! What is asserted is that every answer was an order or a clean refusal, that every order is in the tables once it has caught
//! up, and that the tables agree with the journal row by row.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use holdfast_servers::Postgres;
use serde::Serialize;

use crate::{
    House, database,
    relational::Compared,
    strain::load::{Load, Outcome, put_on},
};

/// Units of the SKU on sale: more than anybody buys.
const PLENTY: u64 = 100_000_000;
/// How long catching up may take before something is wrong with it, on however slow a machine.
const DRAINED: Duration = Duration::from_mins(20);
/// Connections that buy, each one order after the other.
const CONNECTIONS: usize = 16;

/// A sale beside a database.
pub struct Sale {
    house: House,
    server: Arc<Postgres>,
    /// Orders a second that are due; none: as many as are answered.
    rate: Option<f64>,
    sold: u64,
    /// Orders that were due and not answered by the end of their load.
    unanswered: u64,
}

/// What came of trouble.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The sale before it, of the same length or shorter.
    pub before: Outcome,
    /// The sale during it.
    pub during: Outcome,
    /// Records that waited in the journal when it ended.
    pub backlog_records: u64,
    /// What those and all others take on disk, in bytes.
    pub journal_bytes: u64,
    /// From its end until the tables contained everything, in seconds.
    pub caught_up_s: f64,
    /// The sale while that was caught up with, if it went on.
    pub after: Option<Outcome>,
}

impl Sale {
    /// Opens a shop beside `server`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn open(server: Postgres) -> anyhow::Result<Self> {
        let house = database::house(&server, &[])?;
        house.put_up("SALE", PLENTY).await?;
        let sale = Self { house, server: Arc::new(server), rate: None, sold: 0, unanswered: 0 };
        database::caught_up(&sale.server, &sale.house).await?;
        Ok(sale)
    }

    /// Sells so many orders a second from now on, however long each takes.
    pub fn set_rate(&mut self, rate: f64) {
        self.rate = Some(rate);
    }

    /// Sells for a while.
    ///
    /// # Errors
    /// When an answer was neither an order nor a clean refusal, or nothing was sold.
    pub async fn sell(&mut self, duration: Duration) -> anyhow::Result<Outcome> {
        let load = Load { connections: CONNECTIONS, duration, rate: self.rate };
        let outcome = put_on(self.house.shop(), "SALE", load).await?;
        ensure!(outcome.unclean.is_empty(), "neither orders nor clean refusals: {:?}", outcome.unclean);
        ensure!(outcome.sold > 0, "nothing was sold");
        self.sold += outcome.sold;
        self.unanswered += outcome.unsent;
        Ok(outcome)
    }

    /// Sells, makes trouble, sells for `duration`, ends the trouble, and waits until the tables contain everything.
    ///
    /// # Errors
    /// The first promise that was not kept.
    pub async fn through<T>(
        &mut self,
        duration: Duration,
        begin: impl FnOnce(&mut Postgres) -> anyhow::Result<T>,
        end: impl FnOnce(&mut Postgres, T) -> anyhow::Result<()>,
    ) -> anyhow::Result<Report> {
        let before = self.sell(duration.min(Duration::from_secs(10))).await?;
        database::caught_up(&self.server, &self.house).await?;
        let contained = database::projected(&self.server)?;
        let trouble = tokio::task::block_in_place(|| begin(self.server_mut()?))?;
        let during = self.sell(duration).await?;
        let backlog_records = database::journaled(&self.house)?.saturating_sub(contained);
        tokio::task::block_in_place(|| end(self.server_mut()?, trouble))?;
        let caught_up_s = database::caught_up(&self.server, &self.house).await?.as_secs_f64();
        let journal_bytes = self.journal_bytes()?;
        Ok(Report { before, during, backlog_records, journal_bytes, caught_up_s, after: None })
    }

    /// Takes the database away in the middle of a sale that goes on all the time: before, during, and for `drain` while what
    /// waited is caught up with.
    ///
    /// # Errors
    /// The first promise that was not kept.
    pub async fn without_database(&mut self, away: Duration, drain: Duration) -> anyhow::Result<Report> {
        let before = self.sell(away.min(Duration::from_secs(30))).await?;
        database::caught_up(&self.server, &self.house).await?;
        let contained = database::projected(&self.server)?;
        tokio::task::block_in_place(|| self.server_mut()?.stop())?;
        let during = self.sell(away).await?;
        let wanted = database::journaled(&self.house)?;
        tokio::task::block_in_place(|| self.server_mut()?.start_again())?;
        let server = Arc::clone(&self.server);
        let caught_up = database::contains(&server, wanted, DRAINED);
        let (caught_up, after) = tokio::join!(caught_up, self.sell(drain));
        let (caught_up_s, after) = (caught_up?.as_secs_f64(), Some(after?));
        let backlog_records = wanted.saturating_sub(contained);
        Ok(Report { before, during, backlog_records, journal_bytes: self.journal_bytes()?, caught_up_s, after })
    }

    /// Holds the tables to the journal, and both to what buyers were told.
    ///
    /// # Errors
    /// What does not agree.
    pub async fn check(&self) -> anyhow::Result<Compared> {
        database::caught_up(&self.server, &self.house).await?;
        let compared = database::compare(&self.server, &self.house).await?;
        let (orders, sold, unanswered) = (compared.orders, self.sold, self.unanswered);
        ensure!(orders >= sold, "{sold} orders were acknowledged, {orders} are there");
        // Whoever is not answered when a load ends goes home, and the order may be there; of all others everybody was told.
        ensure!(orders - sold <= unanswered, "{orders} orders, {sold} acknowledged, {unanswered} not answered");
        Ok(compared)
    }

    /// The database, to be asked beside the sale.
    pub fn server(&self) -> Arc<Postgres> {
        Arc::clone(&self.server)
    }

    /// The database.
    ///
    /// # Errors
    /// When it is being asked something.
    fn server_mut(&mut self) -> anyhow::Result<&mut Postgres> {
        Arc::get_mut(&mut self.server).context("the database is being asked something")
    }

    fn journal_bytes(&self) -> anyhow::Result<u64> {
        let mut bytes = 0;
        for entry in std::fs::read_dir(self.house.data().join("journal"))? {
            bytes += entry?.metadata()?.len();
        }
        Ok(bytes)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (before, during) = (&self.before, &self.during);
        write!(
            f,
            "{:.0} orders/s and p99 {:.1} ms before, {:.0} and {:.1} during; {} records waited (journal {} MiB), caught up \
             in {:.1} s",
            before.goodput_per_s,
            before.latency.p99_ms,
            during.goodput_per_s,
            during.latency.p99_ms,
            self.backlog_records,
            self.journal_bytes >> 20,
            self.caught_up_s
        )?;
        match &self.after {
            Some(after) => {
                write!(f, " while {:.0} orders/s went on at p99 {:.1} ms", after.goodput_per_s, after.latency.p99_ms)
            }
            None => Ok(()),
        }
    }
}
