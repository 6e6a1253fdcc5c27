//! `cargo xtask hotpaths`: what the hot paths cost in instructions and allocations, beside the figures that are checked in.
//!
//! Why not by time: CI machines are shared, and what they are slow at today says nothing about a change. Instructions and
//! allocations of one thread are the same on a busy machine.

use std::{path::Path, process::Command};

use anyhow::{Context as _, ensure};

use crate::{campaign::target_folder, debian};

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
    cargo.arg("--target-dir").arg(&target).current_dir(root);
    ensure!(cargo.status().context("cannot run cargo")?.success(), "the hot paths do not build");
    let mut count = Command::new(target.join("release").join("holdfast-hotpaths"));
    count.arg("guard").current_dir(root);
    if arguments.accept {
        count.arg("--accept");
    }
    Ok(count.status().context("cannot run holdfast-hotpaths")?.success())
}
