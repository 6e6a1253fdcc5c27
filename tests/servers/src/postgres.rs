//! A PostgreSQL server of a test's own.
//!
//! Invariant: port, data and password stay the same for the life of the value, whatever happens to the process in between:
//! whoever has the URL reaches the server again once it runs again.

use std::{
    fmt::Write as _,
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{account::Account, certificate::ServerCertificate, port, processes::Processes, programs::Programs};

/// How long a server may take to start or to stop before something is wrong with it, on however slow a machine.
const PATIENCE: Duration = Duration::from_mins(10);
/// How often its readiness is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The administrator of every server. Not a secret: it opens a server of one test on loopback.
const ADMINISTRATOR: &str = "postgres";
const PASSWORD: &str = "only-of-this-test";

/// Small and quick: a test has few rows, and several servers may run at once.
const SETTINGS: [(&str, &str); 14] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("shared_buffers", "64MB"),
    ("max_connections", "40"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("max_wal_size", "1GB"),
    ("checkpoint_timeout", "30min"),
    ("jit", "off"),
    ("logging_collector", "off"),
    ("log_line_prefix", "%m [%p] %u "),
    ("timezone", "UTC"),
    ("lc_messages", "C"),
    ("max_parallel_workers_per_gather", "0"),
];

/// How a server is to be.
#[derive(Clone, Default)]
pub struct PostgresOptions {
    /// Syncs to disk as in production. Off by default: tests cut no power.
    pub durable: bool,
    /// Offers TLS with this certificate, and refuses connections without.
    pub tls: Option<ServerCertificate>,
    /// Further settings of postgresql.conf.
    pub settings: Vec<(String, String)>,
}

/// A server, running or not.
pub struct Postgres {
    // The order matters: the processes go before their folder does.
    pub(crate) processes: Option<Processes>,
    pub(crate) programs: Programs,
    pub(crate) account: Account,
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
}

impl Postgres {
    /// A server with an empty database `postgres`.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start.
    pub fn start() -> anyhow::Result<Self> {
        Self::with(&PostgresOptions::default())
    }

    /// The same, as `options` say.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start.
    pub fn with(options: &PostgresOptions) -> anyhow::Result<Self> {
        let (programs, account) = (Programs::find()?, Account::find()?);
        let folder = tempfile::Builder::new().prefix("holdfast-postgres-").tempdir().context("a folder")?;
        account.own(folder.path())?;
        let mut server = Self { processes: None, programs, account, port: port::free()?, folder };
        server.initialize()?;
        server.configure(options)?;
        server.start_again()?;
        Ok(server)
    }

    /// Starts the server where it was, on the same port and data. Nothing happens when it runs.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        if self.is_running() {
            return Ok(());
        }
        // What a killed one left would look as if this one was ready.
        fs::remove_file(self.data().join("postmaster.pid")).ok();
        let log = File::options().append(true).create(true).open(self.log_path()).context("the server's log")?;
        let mut command = self.account.command(&self.programs.path("postgres"));
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]).current_dir("/");
        command.stdout(Stdio::null()).stderr(log);
        let mut processes = Processes::start(command, self.account.command(Path::new("/bin/sh")), self.folder.path())?;
        for _ in 0..PATIENCE.as_millis() / LOOK_EVERY.as_millis() {
            if let Some(status) = processes.ended()? {
                bail!("PostgreSQL ended at start with {status}:\n{}", self.log());
            }
            if self.is_ready() {
                self.processes = Some(processes);
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("PostgreSQL is not ready after {PATIENCE:?}:\n{}", self.log())
    }

    /// Shuts the server down in order, cutting the connections.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut processes) = self.processes.take() else { return Ok(()) };
        processes.signal(Signal::INT)?;
        ensure!(processes.wait(PATIENCE)?, "PostgreSQL does not stop:\n{}", self.log());
        Ok(())
    }

    /// `kill -9` to all its processes: nothing is written any more.
    ///
    /// # Errors
    /// When it cannot be signaled.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let Some(mut processes) = self.processes.take() else { return Ok(()) };
        processes.signal_all(Signal::KILL)?;
        ensure!(processes.wait(PATIENCE)?, "PostgreSQL was killed and lives");
        Ok(())
    }

    /// SIGSTOP to all its processes: connections stay, nothing answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.running()?.signal_all(Signal::STOP)
    }

    /// SIGCONT to all its processes.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.running()?.signal_all(Signal::CONT)
    }

    /// Whether it was started and has not ended, be it by itself.
    pub fn is_running(&mut self) -> bool {
        self.processes.as_mut().is_some_and(|processes| matches!(processes.ended(), Ok(None)))
    }

    /// The address of the administrator's database, with the password.
    pub fn url(&self) -> String {
        format!("postgresql://{ADMINISTRATOR}:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    /// The same without the password.
    pub fn url_without_password(&self) -> String {
        format!("postgresql://{ADMINISTRATOR}@127.0.0.1:{}/postgres", self.port)
    }

    /// The administrator's password.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// Its main process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.processes.as_ref().map(Processes::id)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the server wrote to its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Runs SQL through psql as the administrator. Returns the rows, one a line, values parted by `|`.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn sql(&self, sql: &str) -> anyhow::Result<String> {
        self.psql(&self.url(), &["-c", sql])
    }

    /// Runs psql on another address (of another user, say) with these arguments. Ends at the first error.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn psql(&self, url: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(self.programs.path("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url]).args(arguments);
        let output = command.stdin(Stdio::null()).output().context("cannot run psql")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        ensure!(output.status.success(), "psql: {}", text(&output.stderr));
        Ok(text(&output.stdout))
    }

    fn running(&self) -> anyhow::Result<&Processes> {
        self.processes.as_ref().context("PostgreSQL does not run")
    }

    fn initialize(&self) -> anyhow::Result<()> {
        let password = self.folder.path().join("password");
        self.put(&password, PASSWORD)?;
        let mut initdb = self.account.command(&self.programs.path("initdb"));
        initdb.args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "-U", ADMINISTRATOR]);
        initdb.arg("--pwfile").arg(&password).arg("-D").arg(self.data()).current_dir("/");
        let output = initdb.output().context("cannot run initdb")?;
        ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn configure(&self, options: &PostgresOptions) -> anyhow::Result<()> {
        let quick = if options.durable { "on" } else { "off" };
        let durability = ["fsync", "full_page_writes"].map(|name| (name, quick));
        let further = options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut text = String::new();
        for (name, value) in SETTINGS.into_iter().chain(durability).chain(further) {
            writeln!(text, "{name} = '{value}'")?;
        }
        if let Some(tls) = &options.tls {
            text.push_str("ssl = 'on'\n");
            self.put(&self.data().join("server.crt"), &tls.certificate_pem)?;
            self.put(&self.data().join("server.key"), &tls.key_pem)?;
            self.put(&self.data().join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 scram-sha-256\n")?;
        }
        self.put(&self.data().join("postgresql.auto.conf"), &text)
    }

    /// Writes a file only the server's account may read.
    pub(crate) fn put(&self, path: &Path, text: &str) -> anyhow::Result<()> {
        let write = || {
            fs::write(path, text)?;
            fs::set_permissions(path, Permissions::from_mode(0o600))
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
        self.account.own(path)
    }

    /// The last line of the server's own note about itself says whether it takes connections.
    fn is_ready(&self) -> bool {
        let note = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        note.lines().nth(7).is_some_and(|line| line.trim_end() == "ready")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // In order, since a killed server leaves a piece of shared memory behind that no later one finds.
        let stopped = self.processes.take().is_none_or(|mut processes| {
            processes.signal_all(Signal::CONT).ok();
            processes.signal(Signal::QUIT).is_ok() && processes.wait(PATIENCE).unwrap_or(false)
        });
        if !stopped {
            eprintln!("PostgreSQL on port {} had to be killed", self.port);
        }
    }
}
