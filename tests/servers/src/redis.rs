//! A Redis server of a comparison's own.
//!
//! Invariant: nothing is kept beyond the value's life, and nothing but what the caller asked for is written to disk: no
//! snapshots, and no rewriting of the append-only file in the middle of a measurement.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::{account::Account, port, processes::Processes};

/// How long a server may take to start before something is wrong with it, on however slow a machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often its readiness is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// When Redis syncs its append-only file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendFsync {
    /// Once a second: a power cut loses up to a second of acknowledged writes.
    EverySecond,
    /// Before any answer to what was written.
    Always,
}

/// A running server.
pub struct Redis {
    // The order matters: the processes go before their folder does.
    processes: Processes,
    port: u16,
    folder: TempDir,
}

impl Redis {
    /// A server with an empty database.
    ///
    /// # Errors
    /// When Redis is not installed or does not start.
    pub fn start(sync: AppendFsync) -> anyhow::Result<Self> {
        let account = Account::find()?;
        let folder = tempfile::Builder::new().prefix("holdfast-redis-").tempdir().context("a folder")?;
        account.own(folder.path())?;
        let port = port::free()?;
        let log = File::create(log_path(folder.path())).context("the server's log")?;
        let mut command = account.command(&program()?);
        let sync = match sync {
            AppendFsync::EverySecond => "everysec",
            AppendFsync::Always => "always",
        };
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "yes"]);
        command.args(["--appendfsync", sync, "--auto-aof-rewrite-percentage", "0", "--maxmemory-policy", "noeviction"]);
        command.arg("--dir").arg(folder.path()).current_dir("/");
        command.stdout(log.try_clone().context("the server's log")?).stderr(log);
        let processes = Processes::start(command, account.command(Path::new("/bin/sh")), folder.path())?;
        let mut server = Self { processes, port, folder };
        server.wait()?;
        Ok(server)
    }

    /// Where it is, as its clients want it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.processes.id()
    }

    /// What the server wrote to its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(log_path(self.folder.path())).unwrap_or_default()
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        for _ in 0..PATIENCE.as_millis() / LOOK_EVERY.as_millis() {
            if let Some(status) = self.processes.ended()? {
                bail!("Redis ended at start with {status}:\n{}", self.log());
            }
            if self.answers() {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("Redis is not ready after {PATIENCE:?}:\n{}", self.log())
    }

    /// Whether it answers a PING.
    fn answers(&self) -> bool {
        let mut answer = [0; 7];
        let mut ask = || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"PING\r\n")?;
            stream.read_exact(&mut answer)
        };
        ask().is_ok() && answer == *b"+PONG\r\n"
    }
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("server.log")
}

/// `redis-server`, on PATH.
fn program() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("redis-server")).find(|file| file.is_file());
    found.context(
        "redis-server is not installed: run `cargo xtask peers`, which installs it, or `apt-get install redis-server`",
    )
}
