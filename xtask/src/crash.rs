//! `cargo xtask crash`: the crash campaign on the release build, and power cuts by the hundred.
//!
//! Both programs are built by one cargo command over the whole workspace, so that the server is the one everything else
//! here builds and tests.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use clap::Args;

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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask has no folder above it")?;
    let target = target_folder()?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root);
    if let Some(cuts) = arguments.power_cuts {
        let test = ["test", "--workspace", "--release", "--locked", "--test", "power_cut", "--", "--nocapture"];
        cargo.args(test).env("HOLDFAST_POWER_CUTS", cuts.to_string());
        return Ok(cargo.status().context("cannot run cargo")?.success());
    }
    let bins = ["build", "--workspace", "--release", "--locked", "--bin", "holdfast", "--bin", "crash-campaign"];
    cargo.args(bins).arg("--target-dir").arg(&target);
    ensure!(cargo.status().context("cannot run cargo")?.success(), "the campaign does not build");
    let programs = target.join("release");
    let mut campaign = Command::new(programs.join("crash-campaign"));
    campaign.env("HOLDFAST_BIN", programs.join("holdfast"));
    campaign.args(["--cycles", &arguments.cycles.to_string(), "--seed", &arguments.seed.to_string()]);
    for point in &arguments.points {
        if point == "list" {
            campaign.arg("--list");
        } else {
            campaign.args(["--point", point]);
        }
    }
    if arguments.json {
        campaign.arg("--json");
    }
    Ok(campaign.status().context("cannot run the campaign")?.success())
}

/// Where cargo put this program, and puts the others: `<target>/<profile>/xtask`.
fn target_folder() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("cannot find this program's own file")?;
    Ok(program.ancestors().nth(2).context("this program is not in a target folder")?.to_path_buf())
}
