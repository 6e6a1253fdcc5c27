//! `cargo xtask linearize`: a long trial of histories, checked one by one. Ends with 1 if one has no explanation.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "what a campaign says is its product")]

use std::{io::IsTerminal as _, process::ExitCode};

use clap::Parser;
use holdfast_api::load::stopwatch::Stopwatch;
use holdfast_tests::linearizability::{Trial, TrialReport};

/// Records histories of concurrent clients from the real server and looks for an order that explains each.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask linearize", bin_name = "cargo xtask linearize")]
struct Arguments {
    /// How many histories.
    #[arg(long, default_value = "400")]
    histories: u64,
    /// The seed of the clients' choices; the timing is the machine's own.
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Print the result as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { histories, seed, json } = Arguments::parse();
    let watch = Stopwatch::start();
    let is_shown = !json && std::io::stderr().is_terminal();
    let progress = |report: &TrialReport| {
        if is_shown {
            eprint!("\r{} of {histories} histories, {} violations", report.histories, report.violations);
        }
    };
    let report = Trial { seed, histories }.run(progress).await?;
    if is_shown {
        eprintln!();
    }
    if json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!(
            "{} histories in {:.0} s: {} operations, {} unanswered, {} kills; {} violations, {} undecided",
            report.histories,
            watch.elapsed().as_secs_f64(),
            report.operations,
            report.unanswered,
            report.kills,
            report.violations,
            report.undecided
        );
        if let Some(failure) = &report.first_failure {
            println!("{failure}");
        }
    }
    Ok(if report.violations + report.undecided == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
