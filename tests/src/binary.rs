//! Builds the program under test once per test process, in the profile and target folder of the test itself, so that a
//! plain `cargo test --workspace` never tests a stale server.
//!
//! Invariant: it is built with a test beside it, and so from the same crates as the tests. Built alone it would lack the few
//! features that only tests turn on, and every crate of ours would be compiled twice; a test of the house knows those features.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context as _, bail, ensure};

/// The variable that names a program to test instead: for a release build, or another version.
pub const OVERRIDE: &str = "HOLDFAST_BIN";

/// The program under test.
///
/// # Errors
/// When it cannot be built or found.
pub fn holdfast() -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| named().unwrap_or_else(build).map_err(|error| format!("{error:#}")));
    match built {
        Ok(path) => Ok(path.clone()),
        Err(why) => bail!("{why}"),
    }
}

fn named() -> Option<anyhow::Result<PathBuf>> {
    let path = PathBuf::from(env::var_os(OVERRIDE)?);
    Some(path.canonicalize().with_context(|| format!("{OVERRIDE} names {}", path.display())))
}

fn build() -> anyhow::Result<PathBuf> {
    // A test's own file is <target>/<profile>/deps/<name>-<hash>.
    let test = env::current_exe().context("cannot find the test's own file")?;
    let profile = test.ancestors().nth(2).context("the test is not in a target folder")?;
    let target = profile.parent().context("the profile is not in a target folder")?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the package is not in a workspace")?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--workspace", "--bin", "holdfast", "--test", "tidy", "--target-dir"]).arg(target);
    match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") => {}
        Some(name) => {
            cargo.args(["--profile", name]);
        }
        None => bail!("{} is not a profile's folder", profile.display()),
    }
    let status = cargo.current_dir(root).status().context("cannot run cargo")?;
    ensure!(status.success(), "the program under test does not build");
    Ok(profile.join("holdfast"))
}
