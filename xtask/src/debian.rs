//! Programs that are not Rust and that a chore needs: found on PATH, or installed from Debian where apt-get may.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// Makes sure that `program` is on PATH, installing Debian's `package` if it is not.
///
/// # Errors
/// When it is missing and cannot be installed; says what to do.
pub(crate) fn ensure_installed(program: &str, package: &str) -> anyhow::Result<()> {
    if is_on_path(program) {
        return Ok(());
    }
    let asked = format!("{program} is not installed (Debian and Ubuntu: apt-get install {package})");
    println!("{asked}: trying to");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["--quiet", "--quiet", "--yes", "--no-install-recommends"]).args(arguments);
        // A package that starts a service is told not to ask about it.
        command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(Stdio::null());
        command.status().with_context(|| asked.clone())
    };
    // The lists may be missing or old; an installation that works without them needs no update.
    let installed =
        apt(&["install", package])?.success() || (apt(&["update"])?.success() && apt(&["install", package])?.success());
    ensure!(
        installed && is_on_path(program),
        "{asked}: apt-get could not, see above; it needs root and a package mirror"
    );
    Ok(())
}

/// Whether a program of this name is on PATH.
pub(crate) fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
