//! `cargo xtask crash`: the crash campaign on the release build, and power cuts by the hundred.
//!
//! The campaign's own program does the work; this only knows its flags.

use std::process::Command;

use anyhow::Context as _;
use clap::Args;

use crate::{campaign, run};

/// Flags of `crash`.
#[derive(Debug, Args)]
pub(crate) struct CrashArguments {
    /// How often the server is killed at each point.
    #[arg(long, default_value_t = 10)]
    cycles: u64,
    /// What the random choices follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this point; may be given several times. `--point list` names them.
    #[arg(long = "point", value_name = "NAME")]
    points: Vec<String>,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
    /// Instead: cut the power so often, at instants spread over a recorded run.
    #[arg(long, value_name = "CUTS", conflicts_with_all = ["points", "json"])]
    power_cuts: Option<u64>,
}

/// Builds what is needed and runs it. Whether nothing was lost.
pub(crate) fn run(arguments: &CrashArguments) -> anyhow::Result<bool> {
    if let Some(cuts) = arguments.power_cuts {
        return cut_power(cuts);
    }
    let mut flags = vec![format!("--cycles={}", arguments.cycles), format!("--seed={}", arguments.seed)];
    for point in &arguments.points {
        flags.push(if point == "list" { "--list".to_owned() } else { format!("--point={point}") });
    }
    flags.extend(arguments.json.then(|| "--json".to_owned()));
    campaign::run("crash-campaign", &flags)
}

fn cut_power(cuts: u64) -> anyhow::Result<bool> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--workspace", "--release", "--locked", "--test", "power_cut", "--", "--nocapture"]);
    cargo.env("HOLDFAST_POWER_CUTS", cuts.to_string()).current_dir(run::root()?);
    Ok(cargo.status().context("cannot run cargo")?.success())
}
