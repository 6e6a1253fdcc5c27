//! `cargo xtask cluster`: faults drawn from a seed, round after round, on three nodes and three NATS servers; or all servers away
//! for a minute; or figures: of takeovers and moves, of orders that make a detour. Ends with 1 when a promise is not kept.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "what a campaign says is its product")]

use std::time::Duration;

use clap::Parser;
use holdfast_cluster_tests::{campaign, detour};

/// Plays faults on a cluster, and measures it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask cluster", bin_name = "cargo xtask cluster")]
struct Arguments {
    /// Rounds, one fault each.
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// What the faults are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Instead: all servers away for so long, in seconds.
    #[arg(long, value_name = "SECONDS", conflicts_with = "figures")]
    away: Option<u64>,
    /// Instead: figures of takeovers and moves, as JSON.
    #[arg(long)]
    figures: bool,
    /// Instead: what an order costs at another node than its owner, over so many orders of each kind, as JSON.
    #[arg(long, value_name = "ORDERS", conflicts_with_all = ["figures", "away"])]
    detour: Option<u64>,
    /// Takeovers that are measured.
    #[arg(long, default_value_t = 20)]
    takeovers: usize,
    /// Moves that are measured.
    #[arg(long, default_value_t = 100)]
    moves: usize,
    /// Print what the rounds found as JSON.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { rounds, seed, away, figures, detour, takeovers, moves, json } = Arguments::parse();
    if let Some(seconds) = away {
        println!("{}", campaign::away(Duration::from_secs(seconds)).await?);
    } else if let Some(orders) = detour {
        println!("{}", serde_json::to_string_pretty(&detour::measure(orders).await?)?);
    } else if figures {
        println!("{}", serde_json::to_string_pretty(&campaign::measure(takeovers, moves).await?)?);
    } else {
        println!("seed {seed}");
        let report = campaign::play(rounds, seed, |line| println!("{line}")).await?;
        println!("{}", if json { serde_json::to_string_pretty(&report)? } else { format!("{report:?}") });
    }
    Ok(())
}
