//! The running server against the `OpenAPI` document it serves, with schemathesis: no fault, no answer that is not
//! documented, no body that is not as documented.
//!
//! Schemathesis is Python. It is installed, at fixed versions, into a folder of its own in the user's cache, once; nothing of
//! it is in the clone. The same seed makes the same requests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::Context as _;

use crate::campaign;

/// What is installed, with everything it needs.
const REQUIREMENTS: &str = "tests/schemathesis/requirements.txt";
/// The checks, and how requests are made.
const CONFIG: &str = "tests/schemathesis/schemathesis.toml";
/// Where the hooks are that put up a shop to ask about.
const HOOKS: &str = "tests/schemathesis";
/// The admin's token of the server under test.
const ADMIN: &str = "admin-token-for-schemathesis-0123456789";
/// How often, and how many times, the server's ready file is looked for.
const POLL: Duration = Duration::from_millis(50);
const POLLS: u32 = 1_200;

/// How much to ask.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Requests made up for each operation and phase, at most.
    #[arg(long, default_value_t = Arguments::default().examples)]
    examples: u32,
    /// Where chance begins.
    #[arg(long, default_value_t = Arguments::default().seed)]
    seed: u64,
    /// The end, in seconds, however many were asked.
    #[arg(long, default_value_t = Arguments::default().seconds)]
    seconds: u64,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { examples: 8, seed: 1, seconds: 45 }
    }
}

/// Starts the server and asks. Whether everything was as documented.
pub(crate) fn run(arguments: &Arguments, root: &Path) -> anyhow::Result<bool> {
    let program = installed(root)?;
    let folder = std::env::temp_dir().join(format!("holdfast-schemathesis-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let asked = Server::start(root, &folder).and_then(|server| ask(arguments, root, &folder, &program, &server));
    // A folder that stays behind is in the system's own place for such.
    let _ = fs::remove_dir_all(&folder);
    asked
}

fn ask(arguments: &Arguments, root: &Path, folder: &Path, program: &Path, server: &Server) -> anyhow::Result<bool> {
    let address = &server.address;
    let mut schemathesis = Command::new(program);
    schemathesis.args(["--no-color", "--config-file"]).arg(root.join(CONFIG)).arg("run");
    schemathesis.arg(format!("http://{address}/api/v1/openapi.json"));
    schemathesis.args([
        format!("--max-examples={}", arguments.examples),
        format!("--seed={}", arguments.seed),
        format!("--max-time={}", arguments.seconds),
    ]);
    // It leaves its caches where it runs.
    schemathesis.current_dir(folder).env("SCHEMATHESIS_HOOKS", "shop").env("PYTHONPATH", root.join(HOOKS));
    schemathesis.env("PYTHONDONTWRITEBYTECODE", "1").env("HOLDFAST_URL", format!("http://{address}"));
    schemathesis.env("HOLDFAST_ADMIN_TOKEN", ADMIN).env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    Ok(schemathesis.status().with_context(|| format!("cannot run {}", program.display()))?.success())
}

/// A server with a folder of its own. It is killed when this is dropped.
#[derive(Debug)]
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(root: &Path, folder: &Path) -> anyhow::Result<Self> {
        // With a test beside it, from the crates that the tests were built from: tests/src/binary.rs.
        let target = campaign::target_folder()?;
        let step = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--workspace",
                "--locked",
                "--bin",
                "holdfast",
                "--test",
                "tidy",
                "--target-dir",
            ])
            .arg(&target)
            .current_dir(root)
            .status()
            .context("cannot run cargo")?;
        anyhow::ensure!(step.success(), "the server does not build");
        let (ready, log) = (folder.join("ready.json"), folder.join("server.log"));
        let log = fs::File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let child = Command::new(target.join("debug").join("holdfast"))
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data"])
            .arg(folder.join("data"))
            .arg("--ready-file")
            .arg(&ready)
            .env("HOLDFAST__ADMIN__TOKEN", ADMIN)
            .env("HOLDFAST__LOG__FILTER", "warn")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start the server")?;
        let mut server = Self { child, address: String::new() };
        server.address = server.wait(&ready)?;
        Ok(server)
    }

    /// The public address, once the server takes requests.
    fn wait(&mut self, ready: &Path) -> anyhow::Result<String> {
        for _ in 0..POLLS {
            if let Some(address) = fs::read_to_string(ready).ok().as_deref().and_then(public_address) {
                return Ok(address.to_owned());
            }
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(ready.with_file_name("server.log")).unwrap_or_default();
                anyhow::bail!("the server left before it served ({status}): {log}");
            }
            thread::sleep(POLL);
        }
        anyhow::bail!("the server did not serve within {:?}", POLL * POLLS)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has left already cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in `{"public":"127.0.0.1:1234",...}`.
fn public_address(ready: &str) -> Option<&str> {
    ready.split_once("\"public\":\"")?.1.split_once('"').map(|(address, _)| address)
}

/// The program, installed if it was not.
fn installed(root: &Path) -> anyhow::Result<PathBuf> {
    let requirements =
        fs::read_to_string(root.join(REQUIREMENTS)).with_context(|| format!("cannot read {REQUIREMENTS}"))?;
    let version = requirements.lines().find_map(|line| line.strip_prefix("schemathesis=="));
    let version = version.with_context(|| format!("{REQUIREMENTS} names no version of schemathesis"))?;
    let folder = cache()?.join(format!("schemathesis-{version}"));
    let program = folder.join("bin").join("st");
    // Written last, so that an installation that was cut short is begun again.
    let whole = folder.join("installed");
    if fs::read_to_string(&whole).is_ok_and(|text| text == requirements) {
        return Ok(program);
    }
    println!("schemathesis: installing version {version} into {}", folder.display());
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let made = Command::new(&python).args(["-m", "venv", "--clear"]).arg(&folder).status();
    anyhow::ensure!(
        made.is_ok_and(|status| status.success()),
        "schemathesis needs Python 3.10 or later with venv: `{} -m venv` failed (Debian: apt install python3-venv)",
        python.display()
    );
    let pip = Command::new(folder.join("bin").join("pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(root.join(REQUIREMENTS))
        .status();
    anyhow::ensure!(
        pip.is_ok_and(|status| status.success()),
        "pip cannot install what {REQUIREMENTS} lists (see above): it needs a package index, named as pip is told by its \
         own settings"
    );
    fs::write(&whole, requirements).with_context(|| format!("cannot write {}", whole.display()))?;
    Ok(program)
}

/// Where this project keeps what it installs, outside the clone.
fn cache() -> anyhow::Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("holdfast"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_address_is_read_from_the_ready_file() {
        assert_eq!(
            public_address(r#"{"public":"127.0.0.1:34821","admin":"127.0.0.1:39625"}"#),
            Some("127.0.0.1:34821")
        );
        assert_eq!(public_address("{}"), None);
    }
}
