//! `cargo xtask simulate`: builds the simulator as it is fast, and runs seeds. With `--planted` it is built with mistakes in
//! it, on purpose, and must find every one.

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
    /// Hunt the planted bugs instead: each must be found within `--seeds` seeds.
    #[arg(long)]
    planted: bool,
    /// Hunt the planted bug of this name only.
    #[arg(long, requires = "planted")]
    bug: Option<String>,
}

/// Runs the seeds in the repository at `root`. Whether every promise was kept.
pub(crate) fn run(arguments: &Simulate, root: &Path) -> anyhow::Result<bool> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--release", "--locked", "--quiet", "--package", "holdfast-simulation"]);
    if arguments.planted {
        command.args(["--features", "planted"]);
    }
    command.args(["--bin", "holdfast-simulate", "--"]);
    command.args(["--seeds", &arguments.seeds.to_string(), "--from", &arguments.from.to_string()]);
    if arguments.json {
        command.arg("--json");
    }
    if arguments.planted {
        command.arg("--planted");
    }
    if let Some(bug) = &arguments.bug {
        command.args(["--bug", bug]);
    }
    let status = command.current_dir(root).status().context("cannot run cargo for the simulator")?;
    Ok(status.success())
}
