//! Who a server runs as: PostgreSQL refuses to run as root, which tests in containers often are.
//!
//! Invariant: nothing is changed for a test that is not root.

use std::{fs, os::unix::fs::chown, os::unix::process::CommandExt as _, path::Path, process::Command};

use anyhow::Context as _;

/// Accounts a server may run as when the test is root, the first that exists.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// Another account than the test's own, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    other: Option<(u32, u32)>,
}

impl Account {
    /// An account that is not root.
    pub(crate) fn find() -> anyhow::Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { other: None });
        }
        let users = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        let ids = |line: &str, name: &str| {
            let mut fields = line.split(':');
            (fields.next()? == name).then_some(())?;
            Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        let found = ACCOUNTS.iter().find_map(|name| users.lines().find_map(|line| ids(line, name)));
        let other = found.with_context(|| format!("root needs another account to run a server as: {ACCOUNTS:?}"))?;
        Ok(Self { other: Some(other) })
    }

    /// A command that runs as this account.
    pub(crate) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.other {
            command.uid(user).gid(group);
        }
        command
    }

    /// Gives a file or folder to this account.
    pub(crate) fn own(self, path: &Path) -> anyhow::Result<()> {
        let Some((user, group)) = self.other else { return Ok(()) };
        chown(path, Some(user), Some(group)).with_context(|| format!("cannot give away {}", path.display()))
    }
}
