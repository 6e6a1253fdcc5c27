//! Faults for the unmodified program: a small layer of C (`tests/preload`), loaded before the system's library, sees the
//! program's calls on its data folder and kills, fails, delays, shifts or records as it is told.
//!
//! Invariant: a layer that was not active proves nothing, so [`Layer::assert_active`] is part of every test that uses one.

mod panel;
mod rule;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context as _, bail, ensure};
use holdfast_api::load::{order::fresh_run, server_process::Launch};

pub use panel::{Call, Panel};
pub use rule::{Rule, RuleCall};

/// The layer's sources, in `tests/preload`.
const SOURCES: [&str; 4] = ["calls.c", "files.c", "recorder.c", "rules.c"];

/// A layer around the program that one launch starts.
#[derive(Debug)]
pub struct Layer {
    library: PathBuf,
    watched: PathBuf,
    panel: Panel,
    record: PathBuf,
}

impl Layer {
    /// A layer that watches the folder `watched` and keeps its own files in `folder`.
    ///
    /// # Errors
    /// When it cannot be compiled, or its files cannot be made.
    pub fn new(watched: &Path, folder: &Path) -> anyhow::Result<Self> {
        let panel = Panel::create(&folder.join("panel"))?;
        Ok(Self { library: library()?, watched: watched.to_owned(), panel, record: folder.join("record") })
    }

    /// Puts the layer around the server's next start, with these rules. They match once the panel is armed.
    pub fn surround(&self, launch: &mut Launch, rules: &[Rule]) {
        self.put_around(launch, rules, false);
    }

    /// The same, and everything the server does to its files and answers is written down in [`Layer::record`].
    pub fn surround_recording(&self, launch: &mut Launch, rules: &[Rule]) {
        self.put_around(launch, rules, true);
    }

    /// Takes the layer off the server's next start.
    pub fn take_off(launch: &mut Launch) {
        launch.environment.retain(|(name, _)| name != "LD_PRELOAD" && !name.starts_with("FAULT_"));
    }

    fn put_around(&self, launch: &mut Launch, rules: &[Rule], recording: bool) {
        Self::take_off(launch);
        let rules: Vec<_> = rules.iter().map(ToString::to_string).collect();
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut set = |name: &str, value: String| launch.environment.push((name.to_owned(), value));
        set("LD_PRELOAD", text(&self.library));
        set("FAULT_DIR", text(&self.watched));
        set("FAULT_PANEL", text(self.panel.path()));
        set("FAULT_RULES", rules.join(";"));
        if recording {
            set("FAULT_RECORD", text(&self.record));
        }
    }

    /// What the layer counts, and what it is told while the program runs.
    pub fn panel(&self) -> &Panel {
        &self.panel
    }

    /// Where a recording is.
    pub fn record(&self) -> &Path {
        &self.record
    }

    /// The folder the layer watches.
    pub fn watched(&self) -> &Path {
        &self.watched
    }

    /// Refuses a layer that saw nothing, or that something went around.
    ///
    /// # Errors
    /// When the layer was not loaded, saw no write or no sync, or counted a way around it.
    pub fn assert_active(&self) -> anyhow::Result<()> {
        ensure!(self.panel.pid()? != 0, "the fault layer was not loaded into the server");
        for call in [Call::Open, Call::Write, Call::Sync] {
            ensure!(self.panel.calls(call)? > 0, "the fault layer saw no {call:?} below {}", self.watched.display());
        }
        let escapes = self.panel.calls(Call::Escape)?;
        ensure!(escapes == 0, "{escapes} changes of files went around the fault layer");
        Ok(())
    }
}

/// The compiled layer; compiled once per process.
///
/// # Errors
/// When there is no C compiler, or it refuses.
pub fn library() -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let arguments = ["-shared", "-fPIC", "-pthread"];
    let built = BUILT.get_or_init(|| compile(&SOURCES, "fault-layer.so", &arguments).map_err(|e| format!("{e:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

/// Compiles these files of `tests/preload` into the file `name` beside the running program.
///
/// # Errors
/// When there is no C compiler, or it refuses.
pub fn compile(sources: &[&str], name: &str, arguments: &[&str]) -> anyhow::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("preload");
    let program = env::current_exe().context("cannot find the running program's own file")?;
    let path = program.with_file_name(name);
    // Written aside and renamed: another test may be compiling the same.
    let aside = program.with_file_name(format!("{name}.{}", fresh_run()?));
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"]).args(arguments).arg("-o").arg(&aside);
    compiler.args(sources.iter().map(|source| folder.join(source))).arg("-ldl");
    let output = compiler.output().context("the fault layer needs a C compiler: `cc` cannot be run")?;
    if !output.status.success() {
        bail!("the fault layer does not compile: {}", String::from_utf8_lossy(&output.stderr));
    }
    fs::rename(&aside, &path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}
