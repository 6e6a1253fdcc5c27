//! Sees to it that there is a PostgreSQL for the tests that start one.
//!
//! Invariant: what is installed is used as it is. Only where there is none, and apt-get may, Debian's is installed, without
//! the server of its own that the package would otherwise set up.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

/// The oldest version Holdfast supports.
const OLDEST: u32 = 15;
/// Keeps Debian's package from making and starting a server.
const NO_SERVER: (&str, &str) =
    ("/etc/postgresql-common/createcluster.d/holdfast-tests.conf", "create_main_cluster = false\n");

/// Installs PostgreSQL if there is none.
pub(crate) fn ensure_installed() -> anyhow::Result<()> {
    if is_installed() {
        return Ok(());
    }
    let by_hand = format!("PostgreSQL {OLDEST} or later is missing: install it, as with `apt-get install postgresql`");
    ensure!(may_install(), "{by_hand}");
    println!("PostgreSQL {OLDEST} or later is missing: installing Debian's");
    install().context(by_hand.clone())?;
    ensure!(is_installed(), "{by_hand}; Debian's is older here");
    Ok(())
}

fn install() -> anyhow::Result<()> {
    apt_get(&["update"])?;
    apt_get(&["install", "--yes", "--no-install-recommends", "postgresql-common"])?;
    let (path, text) = NO_SERVER;
    let folder = Path::new(path).parent().context("a folder")?;
    fs::create_dir_all(folder).and_then(|()| fs::write(path, text)).with_context(|| format!("cannot write {path}"))?;
    apt_get(&["install", "--yes", "--no-install-recommends", "postgresql"])
}

fn apt_get(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    let status = command.status().context("cannot run apt-get")?;
    ensure!(status.success(), "apt-get {} failed", arguments.join(" "));
    Ok(())
}

/// Whether this is root on a Debian.
fn may_install() -> bool {
    let id = Command::new("id").arg("-u").output();
    let is_root = id.is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    is_root && Command::new("apt-get").arg("--version").stdout(Stdio::null()).status().is_ok()
}

fn is_installed() -> bool {
    #[expect(clippy::disallowed_methods, reason = "PATH is where programs are, and no setting of ours")]
    let path = env::var("PATH").unwrap_or_default();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = debian.map(|entry| entry.path().join("bin"));
    env::split_paths(&path).chain(debian).any(|folder| version(&folder).is_some_and(|version| version >= OLDEST))
}

/// The major version of the server in `folder`.
fn version(folder: &Path) -> Option<u32> {
    let program: PathBuf = folder.join("postgres");
    program.is_file().then_some(())?;
    major(&String::from_utf8(Command::new(program).arg("--version").output().ok()?.stdout).ok()?)
}

/// The major version in what `postgres --version` says.
fn major(text: &str) -> Option<u32> {
    text.split_whitespace().nth(2)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_whatever_follows_it() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("postgres"), None);
    }
}
