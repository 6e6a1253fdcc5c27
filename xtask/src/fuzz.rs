//! `cargo xtask fuzz`: the long run of the fuzz targets, guided by coverage.
//!
//! libFuzzer is built from the crate that carries its sources, with flags that stable Rust takes; no other tool is needed
//! than a C++ compiler. Where there is none, the seeded mutations of `cargo test` run for longer instead.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;
use clap::ValueEnum;

use crate::campaign;

/// What libFuzzer is guided by: counters in every edge, and the operands of every comparison.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";
/// The targets, as `tests/fuzz` names them.
const TARGETS: [&str; 7] = ["frame", "record", "segment", "snapshot", "body", "request", "settings"];

/// How inputs are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// libFuzzer: keeps what reaches new code. Needs a C++ compiler.
    Coverage,
    /// Seeded mutations of the corpus.
    Mutations,
}

/// What to fuzz, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which targets. Default: all.
    #[arg(value_parser = TARGETS)]
    targets: Vec<String>,
    /// How long, over all targets, in seconds.
    #[arg(long, default_value_t = 420)]
    seconds: u64,
    /// Where chance begins.
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// How inputs are made. Default: by coverage, where there is a C++ compiler.
    #[arg(long)]
    engine: Option<Engine>,
    /// One input instead, from this file; needs one target.
    #[arg(long)]
    input: Option<PathBuf>,
}

/// Runs the targets. Whether nothing failed.
pub(crate) fn run(arguments: &Arguments, root: &Path) -> anyhow::Result<bool> {
    let engine = match arguments.engine {
        _ if arguments.input.is_some() => Engine::Mutations,
        Some(engine) => engine,
        None if has_cxx() => Engine::Coverage,
        None => {
            println!("fuzz: there is no C++ compiler (`c++`), so libFuzzer cannot be built: seeded mutations instead");
            Engine::Mutations
        }
    };
    match engine {
        Engine::Coverage => by_coverage(arguments, root),
        Engine::Mutations => by_mutations(arguments, root),
    }
}

fn by_mutations(arguments: &Arguments, root: &Path) -> anyhow::Result<bool> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "run",
        "--quiet",
        "--release",
        "--locked",
        "--package",
        "holdfast-fuzz",
        "--bin",
        "fuzz-campaign",
        "--",
    ]);
    cargo.args(&arguments.targets).current_dir(root);
    cargo.args(["--seconds", &arguments.seconds.to_string(), "--seed", &arguments.seed.to_string()]);
    if let Some(input) = &arguments.input {
        cargo.arg("--input").arg(input.canonicalize().with_context(|| format!("cannot find {}", input.display()))?);
    }
    Ok(cargo.status().context("cannot run cargo")?.success())
}

fn by_coverage(arguments: &Arguments, root: &Path) -> anyhow::Result<bool> {
    let folder = campaign::target_folder()?.join("fuzz");
    let program = build(root, &folder)?;
    let all = TARGETS.map(str::to_owned);
    let targets = if arguments.targets.is_empty() { &all[..] } else { &arguments.targets };
    let seconds = (arguments.seconds / targets.len() as u64).max(1);
    let mut failed = Vec::new();
    for target in targets {
        println!("== fuzz {target}: {seconds} s");
        if !fuzz(&program, root, &folder, target, seconds, arguments.seed)? {
            failed.push(target.as_str());
        }
    }
    if failed.is_empty() {
        println!("fuzz: {} targets held", targets.len());
    } else {
        println!("fuzz: FAILED: {}; the inputs are in {}", failed.join(", "), folder.join("artifacts").display());
    }
    Ok(failed.is_empty())
}

/// Builds the targets with libFuzzer, in a folder of their own: the flags would rebuild everything else.
fn build(root: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let host = host()?;
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--locked", "--package", "holdfast-fuzz", "--bin", "fuzz-coverage"])
        // With a target named, the flags do not reach build scripts and macros.
        .args(["--features", "libfuzzer", "--target", &host, "--target-dir"])
        .arg(folder)
        .env("RUSTFLAGS", COVERAGE)
        .current_dir(root)
        .status()
        .context("cannot run cargo")?;
    anyhow::ensure!(status.success(), "the fuzz targets do not build with libFuzzer; try --engine mutations");
    Ok(folder.join(host).join("release").join("fuzz-coverage"))
}

/// Runs one target. What reaches new code is kept in the target folder and goes on from there the next time.
fn fuzz(program: &Path, root: &Path, folder: &Path, target: &str, seconds: u64, seed: u32) -> anyhow::Result<bool> {
    let (found, artifacts) = (folder.join("corpus").join(target), folder.join("artifacts"));
    for needed in [&found, &artifacts] {
        fs::create_dir_all(needed).with_context(|| format!("cannot create {}", needed.display()))?;
    }
    let prefix = artifacts.join(format!("{target}-"));
    let status = Command::new(program)
        .env("HOLDFAST_FUZZ_TARGET", target)
        .arg(&found)
        .arg(root.join("tests/fuzz/corpus").join(target))
        .args([
            format!("-max_total_time={seconds}"),
            format!("-seed={seed}"),
            format!("-artifact_prefix={}", prefix.display()),
        ])
        .args(["-max_len=8192", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0"])
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    Ok(status.success())
}

fn has_cxx() -> bool {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let mut command = Command::new(compiler);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The machine this runs on, as the compiler names it.
fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot run rustc")?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_corpus_and_every_corpus_a_target() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut folders: Vec<String> = fs::read_dir(root.join("tests/fuzz/corpus"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut targets = TARGETS.map(str::to_owned).to_vec();
        folders.sort();
        targets.sort();
        assert_eq!(folders, targets);
    }

    #[test]
    fn the_compiler_says_what_machine_this_is() {
        assert!(host().unwrap().contains('-'));
    }
}
