//! `cargo xtask overload`: too many orders, idle and slow connections, answers nobody reads, and requests that mean harm, at full
//! size, with figures, each held to its limit. Wants a machine with nothing else to do. Ends with 1 if a limit is missed.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what a campaign says is its product")]

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use holdfast_tests::strain::campaign::{self, Part, Size};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Overloads and starves the real server, sends it what means harm, and prints what it measured.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask overload", bin_name = "cargo xtask overload")]
struct Arguments {
    /// Which parts, in this order. Default: all.
    parts: Vec<Part>,
    /// How long each measurement lasts, in seconds.
    #[arg(long, default_value = "5")]
    seconds: u64,
    /// How often each comparison is repeated; the median counts.
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Idle and slow connections; where the system does not allow as many, that is a limit missed.
    #[arg(long, default_value = "10000")]
    bystanders: usize,
    /// Print the results as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { parts, seconds, rounds, bystanders, json } = Arguments::parse();
    let parts = if parts.is_empty() { Part::ALL.to_vec() } else { parts };
    let allowed = connections_allowed();
    let size = Size { duration: Duration::from_secs(seconds), rounds, bystanders, allowed };
    if parts.contains(&Part::Bystanders) && allowed < bystanders {
        eprintln!(
            "{bystanders} idle and slow connections are asked for, the system has room for {allowed}: raise `ulimit -Hn`"
        );
    }
    let mut findings = Vec::new();
    for part in parts {
        for finding in campaign::run(part, size).await? {
            if !json {
                println!("{finding}");
            }
            findings.push(finding);
        }
    }
    let passed = findings.iter().all(|finding| finding.passed);
    if json {
        println!("{}", serde_json::json!({ "passed": passed, "findings": findings }));
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How many connections this process and its server may each have, once the limit is raised as far as it goes.
fn connections_allowed() -> usize {
    const OTHERS: u64 = 1_500;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let raised = setrlimit(Resource::Nofile, limit);
    let allowed = if raised.is_ok() { limit.maximum } else { getrlimit(Resource::Nofile).current };
    usize::try_from(allowed.unwrap_or(u64::MAX).saturating_sub(OTHERS)).unwrap_or(usize::MAX)
}
