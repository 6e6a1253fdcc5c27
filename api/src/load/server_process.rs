//! A server in a process of its own: started, waited for, killed with `kill -9` or asked to leave.
//!
//! Invariant: the process does not outlive its [`ServerProcess`], whatever becomes of the test or the demo: it is killed
//! on drop, and leaves by itself when the pipe to its standard input closes because the parent was killed.

use std::{
    ffi::OsString,
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{stopwatch::Stopwatch, target::Target};

/// How often the ready file is looked for.
const POLL: Duration = Duration::from_millis(5);

/// What a server writes when it serves: where, and who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The public listener.
    pub public: SocketAddr,
    /// The operators' listener; an echo server has none.
    pub admin: Option<SocketAddr>,
    /// The process.
    pub pid: u32,
}

/// How to start a server: always on addresses of its own, with a folder of its own, untouched by the settings of
/// whoever starts it.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The executable, as an absolute path.
    pub program: PathBuf,
    /// The subcommand and its flags, but for those below.
    pub command: Vec<OsString>,
    /// The public address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The operators' address, if the server has one.
    pub admin_listen: Option<SocketAddr>,
    /// Settings, as variables.
    pub environment: Vec<(String, String)>,
    /// A folder for its ready file, its log and whatever it names by a relative path.
    pub folder: PathBuf,
    /// How long it may take until it serves.
    pub patience: Duration,
}

/// A running server.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    ready: Ready,
    log: PathBuf,
}

/// A server that did not start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Its folder cannot be used.
    #[error("cannot use {path}")]
    Folder {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The executable cannot be run.
    #[error("cannot run {program}")]
    Run {
        /// Which.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It left before it served.
    #[error("the server left before it served ({status}): {last_words}")]
    Left {
        /// How it left.
        status: ExitStatus,
        /// The end of its log.
        last_words: String,
    },
    /// It did not serve in time.
    #[error("the server did not serve within {patience:?}: {last_words}")]
    TooSlow {
        /// How long it was waited for.
        patience: Duration,
        /// The end of its log.
        last_words: String,
    },
}

impl Ready {
    /// Writes the ready file, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let draft = path.with_extension("draft");
        fs::write(&draft, serde_json::to_vec(self)?)?;
        fs::rename(&draft, path)
    }

    fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }
}

/// Any free port of this machine, not reachable from another.
const ANY_LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What a setting's variable begins with. None is inherited: a server started here is set up here.
const SETTING_PREFIX: &str = "HOLDFAST__";

impl Launch {
    /// A shop (`holdfast serve`) with its data in `folder`/data.
    pub fn shop(program: PathBuf, folder: &Path, admin_token: &str) -> Self {
        let data = folder.join("data");
        let variable = |name: &str, value: &str| (format!("{SETTING_PREFIX}{name}"), value.to_owned());
        Self {
            program,
            command: vec!["serve".into(), "--data".into(), data.into()],
            listen: ANY_LOCAL,
            admin_listen: Some(ANY_LOCAL),
            environment: vec![variable("ADMIN__TOKEN", admin_token), variable("LOG__FILTER", "warn")],
            folder: folder.to_owned(),
            patience: Duration::from_mins(1),
        }
    }

    /// An echo server (`holdfast bench echo-server`).
    pub fn echo(program: PathBuf, folder: &Path) -> Self {
        Self {
            program,
            command: vec!["bench".into(), "echo-server".into()],
            listen: ANY_LOCAL,
            admin_listen: None,
            environment: Vec::new(),
            folder: folder.to_owned(),
            patience: Duration::from_secs(10),
        }
    }

    /// The same with one worker thread, for a server that takes `--workers`.
    #[must_use]
    pub fn with_one_worker(mut self) -> Self {
        self.command.extend(["--workers".into(), "1".into()]);
        self
    }

    /// A payment gateway (`holdfast gateway`) with its book in `folder`.
    pub fn gateway(program: PathBuf, folder: &Path) -> Self {
        let filter = (format!("{SETTING_PREFIX}LOG__FILTER"), "warn".to_owned());
        Self {
            program,
            command: vec!["gateway".into(), "--book".into(), folder.join("gateway.book").into()],
            listen: ANY_LOCAL,
            admin_listen: None,
            environment: vec![filter],
            folder: folder.to_owned(),
            patience: Duration::from_mins(1),
        }
    }

    /// The same with one more setting, such as `RUNTIME__MAILBOX_PERMITS`.
    #[must_use]
    pub fn with_setting(mut self, name: &str, value: &str) -> Self {
        self.environment.push((format!("{SETTING_PREFIX}{name}"), value.to_owned()));
        self
    }

    /// From now on at the addresses it was ready at, so that whoever knows them finds it again after a restart.
    pub fn pin(&mut self, ready: &Ready) {
        self.listen = ready.public;
        self.admin_listen = ready.admin;
    }

    fn command(&self, ready_file: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.command).arg("--listen").arg(self.listen.to_string());
        if let Some(admin) = self.admin_listen {
            command.arg("--admin-listen").arg(admin.to_string());
        }
        command.arg("--leave-with-parent").arg("--ready-file").arg(ready_file);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(SETTING_PREFIX) {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value))).current_dir(&self.folder);
        command
    }

    /// Starts the server and waits until it serves. Blocks.
    ///
    /// # Errors
    /// [`LaunchError`], with the end of the server's log where it has one.
    pub fn start(&self) -> Result<ServerProcess, LaunchError> {
        let log = self.folder.join("server.log");
        let ready_file = self.folder.join("ready.json");
        let folder = |path: &Path, source| LaunchError::Folder { path: path.to_owned(), source };
        fs::create_dir_all(&self.folder).map_err(|source| folder(&self.folder, source))?;
        if ready_file.exists() {
            fs::remove_file(&ready_file).map_err(|source| folder(&ready_file, source))?;
        }
        let output = fs::File::options().create(true).append(true).open(&log).map_err(|source| folder(&log, source))?;
        let errors = output.try_clone().map_err(|source| folder(&log, source))?;
        let mut child = self
            .command(&ready_file)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(|source| LaunchError::Run { program: self.program.clone(), source })?;
        match wait_for(&mut child, &ready_file, &log, self.patience) {
            Ok(ready) => Ok(ServerProcess { child, ready, log }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }
}

fn wait_for(child: &mut Child, ready_file: &Path, log: &Path, patience: Duration) -> Result<Ready, LaunchError> {
    let watch = Stopwatch::start();
    while watch.elapsed() < patience {
        if let Some(ready) = Ready::read(ready_file) {
            return Ok(ready);
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(LaunchError::Left { status, last_words: last_words(log) });
        }
        thread::sleep(POLL);
    }
    Err(LaunchError::TooSlow { patience, last_words: last_words(log) })
}

/// The last line of a log that says anything.
fn last_words(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it logged nothing").to_owned()
}

/// Kills and reaps; a process that is gone already is as good.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

impl ServerProcess {
    /// Where it serves.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Its public address as the generator's target.
    pub fn target(&self) -> Target {
        Target::from(self.ready.public)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill(mut self) {
        end(&mut self.child);
    }

    /// Waits for it to leave by itself, at most `patience`. Blocks.
    pub fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let watch = Stopwatch::start();
        while watch.elapsed() < patience {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            thread::sleep(POLL);
        }
        None
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
