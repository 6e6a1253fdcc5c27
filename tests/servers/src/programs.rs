//! Finds PostgreSQL where it is installed.
//!
//! Invariant: all programs are of one version, 15 or later: they are taken from one folder.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

/// The oldest version Holdfast supports.
const OLDEST: u32 = 15;

/// The folder of the programs of one PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// The newest PostgreSQL that is installed: on PATH, or where Debian puts it.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let newest = candidates().into_iter().filter_map(|folder| Some((version(&folder)?, folder))).max();
        let (_, folder) = newest.filter(|(version, _)| *version >= OLDEST).with_context(|| {
            format!(
                "PostgreSQL {OLDEST} or later is not installed (initdb, postgres and psql on PATH or in \
                 /usr/lib/postgresql/*/bin): run `cargo xtask test postgres`, which installs it, or \
                 `apt-get install postgresql`"
            )
        })?;
        Ok(Self { folder })
    }

    /// The path of one program.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn candidates() -> Vec<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "PATH is where programs are, and no setting of ours")]
    let path = env::var("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).filter_map(|folder| {
        // A link on PATH leads to the folder that has all of them.
        let postgres = folder.join("postgres").canonicalize().ok()?;
        postgres.parent().map(Path::to_path_buf)
    });
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    on_path.chain(installed.map(|entry| entry.path().join("bin"))).collect()
}

/// The major version of the PostgreSQL in `folder`, if it is whole.
fn version(folder: &Path) -> Option<u32> {
    ["initdb", "psql"].iter().all(|name| folder.join(name).is_file()).then_some(())?;
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let number = text.split_whitespace().nth(2)?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
