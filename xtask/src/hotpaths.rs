//! `cargo xtask hotpaths`: what the hot paths cost in instructions and allocations, beside the figures that are checked in.
//!
//! Why not by time: CI machines are shared, and what they are slow at today says nothing about a change. Instructions and
//! allocations of one thread are the same on a busy machine.

use std::{path::Path, process::Command};

use anyhow::{Context as _, ensure};

use crate::{campaign::target_folder, debian};

/// What the build leaves out that no path executes, a quarter of its time: lines for debuggers, and the optimizer's last rounds
/// over the cluster, of which paths only use the router of a single node. The figures are those of a full build.
const LEFT_OUT: [&str; 2] = ["profile.release.debug=false", "profile.release.package.holdfast-cluster.opt-level=1"];

/// What to do with the figures.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    /// Make today's figures the baseline.
    #[arg(long)]
    accept: bool,
}

/// Counts. Whether no path costs more than its baseline allows.
pub(crate) fn run(arguments: &Arguments, root: &Path) -> anyhow::Result<bool> {
    debian::ensure_installed("valgrind", "valgrind")?;
    let target = target_folder()?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--workspace", "--locked", "--bin", "holdfast-hotpaths"]);
    cargo.args(LEFT_OUT.iter().flat_map(|setting| ["--config", *setting]));
    cargo.arg("--target-dir").arg(&target).current_dir(root);
    ensure!(cargo.status().context("cannot run cargo")?.success(), "the hot paths do not build");
    let mut count = Command::new(target.join("release").join("holdfast-hotpaths"));
    count.arg("guard").current_dir(root);
    if arguments.accept {
        count.arg("--accept");
    }
    Ok(count.status().context("cannot run holdfast-hotpaths")?.success())
}
