//! `cargo xtask simulate`: the deterministic simulation, optimized. With `--planted` it is built with mistakes in it, on
//! purpose, and must find every one.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::{campaign::target_folder, run::root};

/// The flag that asks for the build with planted bugs.
const PLANTED: &str = "--planted";

/// Builds the simulation and runs it with these arguments. Whether it passed.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<bool> {
    let (root, target) = (root()?, target_folder()?);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--workspace", "--locked", "--bin", "holdfast-simulate"]);
    if arguments.iter().any(|argument| argument == PLANTED) {
        cargo.args(["--features", "holdfast-simulation/planted"]);
    }
    cargo.arg("--target-dir").arg(&target).current_dir(&root);
    ensure!(cargo.status().context("cannot run cargo")?.success(), "the simulation does not build");
    let mut simulation = Command::new(target.join("release").join("holdfast-simulate"));
    Ok(simulation.args(arguments).current_dir(&root).status().context("cannot run the simulation")?.success())
}
