//! Longer runs against an optimized server: built whole, so that cargo unifies features as everywhere, then started with
//! whatever arguments follow.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use crate::run::root;

/// The variable that names the server to a campaign.
const SERVER: &str = "HOLDFAST_BIN";

/// Builds the server and the campaign `program` of the tests, and runs the campaign. Whether it passed.
pub(crate) fn run(program: &str, arguments: &[String]) -> anyhow::Result<bool> {
    let root = root()?;
    let target = target_folder()?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--workspace", "--locked", "--bin", "holdfast", "--bin", program]);
    cargo.arg("--target-dir").arg(&target).current_dir(&root);
    ensure!(cargo.status().context("cannot run cargo")?.success(), "{program} does not build");
    carry_out(&target.join("release"), program, arguments)
}

/// Runs the campaign `program` against the server beside it in the folder `built`. Whether it passed.
pub(crate) fn carry_out(built: &Path, program: &str, arguments: &[String]) -> anyhow::Result<bool> {
    let mut campaign = Command::new(built.join(program));
    campaign.args(arguments).env(SERVER, built.join("holdfast")).current_dir(root()?);
    Ok(campaign.status().with_context(|| format!("cannot run {program}"))?.success())
}

/// Where this program was built: `<target>/<profile>/xtask`.
pub(crate) fn target_folder() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find xtask's own file")?;
    let target = own.ancestors().nth(2).context("xtask is not in a target folder")?;
    Ok(target.to_path_buf())
}
