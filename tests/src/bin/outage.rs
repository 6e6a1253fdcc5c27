//! `cargo xtask outage`: PostgreSQL is stopped in the middle of a sale, for ten minutes unless told otherwise, and the
//! figures beside those of the same sale with it. Ends with 1 if an order is lost, an answer is no clean one, or catching
//! up takes longer than two minutes, while the sale goes on.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "what a campaign says is its product")]

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use holdfast_servers::{Postgres, PostgresOptions};
use holdfast_tests::outage::Sale;

/// How long catching up may take after ten minutes at 1,000 orders a second, in seconds.
const CAUGHT_UP_S: f64 = 120.0;

/// Takes PostgreSQL away in the middle of a sale and gives it back.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask outage", bin_name = "cargo xtask outage")]
struct Arguments {
    /// How long it is away, in seconds.
    #[arg(long, default_value = "600")]
    seconds: u64,
    /// Orders a second, before, during and after. What a machine can drain in two minutes follows from its projection's
    /// speed: docs/postgres.md says how.
    #[arg(long, default_value = "1000")]
    rate: f64,
    /// Print the figures as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { seconds, rate, json } = Arguments::parse();
    let server = Postgres::with(&PostgresOptions { durable: true, ..PostgresOptions::default() })?;
    let mut sale = Sale::open(server).await?;
    let away = Duration::from_secs(seconds);
    sale.set_rate(rate);
    let report = sale.without_database(away, Duration::from_secs_f64(CAUGHT_UP_S)).await?;
    let compared = sale.check().await?;
    let passed = report.caught_up_s <= CAUGHT_UP_S;
    if json {
        println!("{}", serde_json::json!({ "passed": passed, "report": report, "orders": compared.orders }));
    } else {
        println!("{report}; {} orders and {} rows agree with the journal", compared.orders, compared.rows);
        if !passed {
            println!("catching up took longer than {CAUGHT_UP_S} s");
        }
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
