//! `cargo xtask simulate`: builds the simulator as it is fast, and runs seeds.

use std::{path::Path, process::Command};

use anyhow::Context as _;
use clap::Args;

/// Which seeds, and how to show what they did.
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// The summary as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the seeds in the repository at `root`. Whether every promise was kept.
pub(crate) fn run(arguments: &Simulate, root: &Path) -> anyhow::Result<bool> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--release", "--locked", "--quiet", "--package", "holdfast-simulation"]);
    command.args(["--bin", "holdfast-simulate", "--"]);
    command.args(["--seeds", &arguments.seeds.to_string(), "--from", &arguments.from.to_string()]);
    if arguments.json {
        command.arg("--json");
    }
    let status = command.current_dir(root).status().context("cannot run cargo for the simulator")?;
    Ok(status.success())
}
