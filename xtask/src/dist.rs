//! `cargo xtask dist`: the binary that is shipped: optimized over all crates, and by the profile of a sale.
//!
//! Three steps: a build that counts which way every branch goes; a sale on it, with refusals and the echo; a build that lays
//! the code out by those counts. The counts change nothing of what the program does, only where its instructions are.
//!
//! Why a chore and not a cargo profile: cargo cannot do it, and it takes several times as long as `--release`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

use crate::campaign::target_folder;

/// The cargo profile under both builds.
const PROFILE: &str = "dist";

/// The sale that is counted: orders that sell, orders that are refused, and echoes, in turns.
const SALE: [&str; 6] = ["bench", "compare", "--rounds", "2", "--duration", "4s"];

/// What to build.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    /// Use the counts of the last run again instead of counting anew.
    #[arg(long)]
    keep_profile: bool,
    /// Build further programs of the workspace with the same counts, as those of the benchmarks.
    #[arg(long, value_name = "PROGRAM")]
    bin: Vec<String>,
}

/// Builds. Always true: what fails is an error.
pub(crate) fn run(arguments: &Arguments, root: &Path) -> anyhow::Result<bool> {
    println!("{}", build_all(arguments, root)?.join("holdfast").display());
    Ok(true)
}

/// The folder of the server that is shipped and of `program`, built alike.
pub(crate) fn beside(program: &str, root: &Path) -> anyhow::Result<PathBuf> {
    build_all(&Arguments { keep_profile: true, bin: vec![program.to_owned()] }, root)
}

fn build_all(arguments: &Arguments, root: &Path) -> anyhow::Result<PathBuf> {
    let target = target_folder()?;
    let (folder, host) = (target.join("profiled"), host()?);
    let counts = folder.join("sale.profdata");
    if !arguments.keep_profile || !counts.is_file() {
        count(root, &folder, &host, &counts)?;
    }
    let programs = ["holdfast"].into_iter().chain(arguments.bin.iter().map(String::as_str));
    let flags = format!("-Cprofile-use={}", counts.display());
    build(root, &target, &host, &flags, programs)?;
    Ok(target.join(&host).join(PROFILE))
}

/// Runs a sale on a build that counts, and puts its counts into `counts`.
fn count(root: &Path, folder: &Path, host: &str, counts: &Path) -> anyhow::Result<()> {
    let merge = profdata(host)?;
    let raw = folder.join("raw");
    if raw.exists() {
        fs::remove_dir_all(&raw).with_context(|| format!("cannot remove {}", raw.display()))?;
    }
    build(root, folder, host, &format!("-Cprofile-generate={}", raw.display()), ["holdfast"])?;
    let counting = folder.join(host).join(PROFILE).join("holdfast");
    let status = Command::new(&counting).args(SALE).current_dir(root).status();
    ensure!(status.context("cannot run what counts")?.success(), "the counted sale failed: {}", SALE.join(" "));
    let merged = Command::new(&merge).args(["merge", "--output"]).arg(counts).arg(&raw).status();
    ensure!(merged.with_context(|| format!("cannot run {}", merge.display()))?.success(), "the counts do not add up");
    Ok(())
}

fn build<'a>(
    root: &Path,
    target: &Path,
    host: &str,
    flags: &str,
    programs: impl IntoIterator<Item = &'a str>,
) -> anyhow::Result<()> {
    let mut cargo = Command::new(env!("CARGO"));
    // With the host named as the target, the flags are not those of build scripts and macros.
    cargo.args(["build", "--profile", PROFILE, "--workspace", "--locked", "--target", host]);
    cargo.args(programs.into_iter().flat_map(|program| ["--bin", program]));
    cargo.arg("--target-dir").arg(target).env("RUSTFLAGS", flags).current_dir(root);
    ensure!(cargo.status().context("cannot run cargo")?.success(), "the {PROFILE} build failed ({flags})");
    Ok(())
}

/// The tool that adds counts up: the toolchain's own, because the format is its compiler's.
fn profdata(host: &str) -> anyhow::Result<PathBuf> {
    let sysroot = rustc(&["--print", "sysroot"])?;
    let tool = Path::new(&sysroot).join("lib/rustlib").join(host).join("bin/llvm-profdata");
    if !tool.is_file() {
        bail!("{} is missing: rustup component add llvm-tools", tool.display());
    }
    Ok(tool)
}

fn host() -> anyhow::Result<String> {
    let version = rustc(&["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say what it runs on")
}

fn rustc(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("rustc").args(arguments).output().context("cannot run rustc")?;
    ensure!(output.status.success(), "rustc {} failed", arguments.join(" "));
    Ok(String::from_utf8(output.stdout).context("rustc does not write UTF-8")?.trim().to_owned())
}
