//! `bench compare`: echo, flash sale and sold-out in turns, over several rounds, as ratios.
//!
//! A shared machine drifts by tens of percent within minutes. The three kinds are therefore interleaved, each round has
//! its own ratios, and the median over the rounds is what is told.

use std::time::Duration;

use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use serde::Serialize;

use super::{
    echo,
    flash_sale::{self, FlashSaleError, Load},
    order::fresh_run,
    report::{Report, median},
    shop::Shop,
};

/// Units of a product that is not to sell out in a run.
const PLENTY: u64 = 1_000_000_000;

/// One turn of each kind.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// The echo.
    pub echo: Report,
    /// Orders that all sell.
    pub orders: Report,
    /// Orders that are all refused: sold out.
    pub refusals: Report,
    /// Orders per second over echoes per second.
    pub orders_ratio: f64,
    /// Refusals per second over echoes per second.
    pub refusals_ratio: f64,
}

/// All rounds and their medians.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Median over the rounds: orders per second over echoes per second.
    pub orders_ratio: f64,
    /// Median over the rounds: refusals per second over echoes per second.
    pub refusals_ratio: f64,
    /// Median over the rounds of the orders' 99th percentile, in milliseconds.
    pub orders_p99_ms: f64,
    /// Median over the rounds of the refusals' 99th percentile, in milliseconds.
    pub refusals_p99_ms: f64,
    /// The rounds, in order.
    pub rounds: Vec<Round>,
}

/// Runs `rounds` rounds against an echo server and a shop with an admin token.
///
/// # Errors
/// [`FlashSaleError`] when a product cannot be put up or read back.
pub async fn run(echo: &Shop, shop: &Shop, rounds: usize, load: Load) -> Result<Comparison, FlashSaleError> {
    let warm_up = Load { duration: Duration::from_secs(1), ..load };
    round(echo, shop, warm_up).await?;
    let mut done = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        done.push(round(echo, shop, load).await?);
    }
    Ok(Comparison::of(done))
}

async fn round(echo: &Shop, shop: &Shop, load: Load) -> Result<Round, FlashSaleError> {
    // 24 bytes at most, as the SKUs of nearly every shop: longer ones are kept apart from where they are named.
    let sku = |kind: &str| fresh_run().map(|run| format!("{kind}-{run}"));
    let echo = echo::drive(echo, load).await?;
    let orders = flash_sale::sell_new(shop, &[sku("sale")?], PLENTY, load).await?;
    let refusals = flash_sale::sell_new(shop, &[sku("out")?], 0, load).await?;
    let orders_ratio = ratio(&orders, &echo);
    let refusals_ratio = ratio(&refusals, &echo);
    Ok(Round { echo, orders, refusals, orders_ratio, refusals_ratio })
}

/// Requests per second of `of` over those of `to`. [`Comparison::is_clean`] says whether all were answered as asked for.
fn ratio(of: &Report, to: &Report) -> f64 {
    of.rps / to.rps.max(f64::EPSILON)
}

impl Comparison {
    fn of(rounds: Vec<Round>) -> Self {
        Self {
            orders_ratio: median(rounds.iter().map(|round| round.orders_ratio)),
            refusals_ratio: median(rounds.iter().map(|round| round.refusals_ratio)),
            orders_p99_ms: median(rounds.iter().map(|round| round.orders.latency.p99_ms)),
            refusals_p99_ms: median(rounds.iter().map(|round| round.refusals.latency.p99_ms)),
            rounds,
        }
    }

    /// Whether nothing was oversold and everything was answered as asked for: echoes by echoes, orders by sales, and orders of what is
    /// sold out by refusals.
    pub fn is_clean(&self) -> bool {
        let as_asked =
            |round: &Round| round.echo.is_all_sold() && round.orders.is_all_sold() && round.refusals.is_all_refused();
        self.rounds.iter().all(as_asked)
    }

    /// One line per round and one of medians.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(UTF8_BORDERS_ONLY);
        table.set_header([
            "round",
            "echo/s",
            "orders/s",
            "ratio",
            "orders p50 / p99 ms",
            "refusals/s",
            "ratio",
            "refusals p50 / p99 ms",
            "errors",
            "oversold",
        ]);
        for (index, round) in self.rounds.iter().enumerate() {
            table.add_row(round.cells(index.saturating_add(1)));
        }
        table.add_row([
            "median".to_owned(),
            String::new(),
            String::new(),
            format!("{:.2}", self.orders_ratio),
            format!("p99 {:.2}", self.orders_p99_ms),
            String::new(),
            format!("{:.2}", self.refusals_ratio),
            format!("p99 {:.2}", self.refusals_p99_ms),
        ]);
        table
    }
}

impl Round {
    fn cells(&self, number: usize) -> [String; 10] {
        let latency = |report: &Report| format!("{:.2} / {:.2}", report.latency.p50_ms, report.latency.p99_ms);
        // Whatever was not answered as asked for, orders that the books do not have included.
        let unsold = [&self.echo, &self.orders].map(|report| report.orders.saturating_sub(report.sold));
        let unrefused = self.refusals.orders.saturating_sub(self.refusals.refused);
        let errors = unsold.iter().sum::<u64>().saturating_add(unrefused).saturating_add(self.orders.lost);
        [
            number.to_string(),
            format!("{:.0}", self.echo.rps),
            format!("{:.0}", self.orders.rps),
            format!("{:.2}", self.orders_ratio),
            latency(&self.orders),
            format!("{:.0}", self.refusals.rps),
            format!("{:.2}", self.refusals_ratio),
            latency(&self.refusals),
            errors.to_string(),
            self.orders.oversold.saturating_add(self.refusals.oversold).to_string(),
        ]
    }
}
