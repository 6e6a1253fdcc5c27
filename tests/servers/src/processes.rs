//! The processes of one server: the one that was started and those it started.
//!
//! Invariant: only processes below the one that this test started are ever signaled.

use std::{
    fs, io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

/// How often a process is looked at while it is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running server.
#[derive(Debug)]
pub(crate) struct Processes {
    main: Child,
    /// Kills the server when the test process dies without dropping it. It waits on a pipe that only this value holds open.
    watcher: Child,
}

impl Processes {
    /// Starts `command` and what watches over it and its folder; `guard` is a shell that may signal it.
    pub(crate) fn start(mut command: Command, mut guard: Command, folder: &Path) -> anyhow::Result<Self> {
        // Groups of their own: Ctrl-C is for the test, and the watcher sees to the rest.
        command.process_group(0).stdin(Stdio::null());
        let main = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let clear = "read _; kill -KILL \"$1\"; sleep 1; rm -rf \"$2\"";
        guard.process_group(0).args(["-c", clear, "guard", &main.id().to_string()]).arg(folder);
        let watcher = guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut processes = match watcher {
            Ok(watcher) => Self { main, watcher },
            Err(error) => {
                let mut main = main;
                main.kill().and_then(|()| main.wait())?;
                return Err(error).context("cannot run a shell");
            }
        };
        // Dead already? Then whoever asks for readiness finds out why.
        processes.ended()?;
        Ok(processes)
    }

    /// The main process.
    pub(crate) fn id(&self) -> u32 {
        self.main.id()
    }

    /// How the main process ended, if it did.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.main.try_wait()
    }

    /// Signals the main process.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill_process(self.pid()?, signal).with_context(|| format!("cannot send {signal:?}"))
    }

    /// Signals the main process, then everything below it. One that has just ended is no error.
    pub(crate) fn signal_all(&self, signal: Signal) -> anyhow::Result<()> {
        let below = |of: Pid| children(of.as_raw_nonzero().get()).into_iter().filter_map(Pid::from_raw);
        let before: Vec<_> = below(self.pid()?).collect();
        self.signal(signal)?;
        // Once it is stopped it starts no more; when it is killed its children are nobody's, so they were noted before.
        for child in before.into_iter().chain(below(self.pid()?)) {
            kill_process(child, signal).ok();
        }
        Ok(())
    }

    /// Waits up to `patience` for the main process to end. Whether it did.
    pub(crate) fn wait(&mut self, patience: Duration) -> io::Result<bool> {
        for _ in 0..=patience.as_millis() / LOOK_EVERY.as_millis() {
            if self.ended()?.is_some() {
                return Ok(true);
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(false)
    }

    fn pid(&self) -> anyhow::Result<Pid> {
        i32::try_from(self.main.id()).ok().and_then(Pid::from_raw).context("a process id")
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // First the watcher: the number of an ended process may soon be another's.
        let _: io::Result<_> = self.watcher.kill().and_then(|()| self.watcher.wait());
        if matches!(self.ended(), Ok(None)) {
            self.signal_all(Signal::KILL).ok();
            let _: io::Result<_> = self.main.wait();
        }
    }
}

/// The processes that `pid` started and that still run.
fn children(pid: i32) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|child| parent(*child) == Some(pid)).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
