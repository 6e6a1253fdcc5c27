//! The crash campaign as a program: what `cargo xtask crash` builds and runs.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "what it says is its product")]

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Parser;
use holdfast_tests::campaign::{Campaign, Point};

/// Kills the real server at named points under load, and looks whether anything is lost.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often the server is killed at each point.
    #[arg(long, default_value_t = 10)]
    cycles: u64,
    /// What the random choices follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this point; may be given several times.
    #[arg(long = "point", value_name = "NAME")]
    points: Vec<String>,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
    /// List the points and leave.
    #[arg(long)]
    list: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crash-campaign: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let Arguments { cycles, seed, points, json, list } = Arguments::parse();
    if list {
        for point in Point::ALL {
            println!("{}", point.name());
        }
        return Ok(());
    }
    ensure!(cycles > 0, "a campaign of no cycles shows nothing");
    let named = points.iter().map(|name| Point::of_name(name).with_context(|| format!("no point {name}; see --list")));
    let mut points = named.collect::<anyhow::Result<Vec<_>>>()?;
    if points.is_empty() {
        points = Point::ALL.to_vec();
    }
    let report = Campaign { points, cycles, seed }.run(|line| eprintln!("{line}")).await?;
    if json {
        println!("{}", report.json());
    } else {
        println!("{}", report.summary());
    }
    Ok(())
}
