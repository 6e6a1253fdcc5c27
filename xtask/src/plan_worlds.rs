//! `cargo xtask plan-worlds`: builds the worlds of the cluster's plan as they are fast, and runs seeds.

use std::{path::Path, process::Command};

use anyhow::Context as _;
use clap::Args;

/// Which seeds.
#[derive(Debug, Args)]
pub(crate) struct PlanWorlds {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
}

/// Runs the seeds in the repository at `root`. Whether every promise was kept.
pub(crate) fn run(arguments: &PlanWorlds, root: &Path) -> anyhow::Result<bool> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--release", "--locked", "--quiet", "--package", "holdfast-cluster-tests"]);
    command.args(["--bin", "holdfast-plan-worlds", "--"]);
    command.args(["--seeds", &arguments.seeds.to_string(), "--from", &arguments.from.to_string()]);
    let status = command.current_dir(root).status().context("cannot run cargo for the worlds")?;
    Ok(status.success())
}
