//! Runs groups one after the other, and says at the end what each took and how it ended.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{group::Group, hotpaths, postgres, schemathesis};

/// How a group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    /// What it needs is not installed; it said so.
    Skipped,
    /// An earlier group failed.
    NotRun,
}

/// Runs `groups`, or all. Whether nothing failed.
pub(crate) fn run(groups: &[Group], keep_going: bool) -> anyhow::Result<bool> {
    let groups = if groups.is_empty() { &Group::ALL[..] } else { groups };
    let root = root()?;
    let mut results = Vec::with_capacity(groups.len());
    for group in groups {
        let stop = !keep_going && results.iter().any(|(_, outcome, _)| *outcome == Outcome::Failed);
        let (outcome, took) = if stop { (Outcome::NotRun, Duration::ZERO) } else { run_group(*group, &root)? };
        results.push((group.name(), outcome, took));
    }
    summarize(&results);
    Ok(results.iter().all(|(_, outcome, _)| *outcome != Outcome::Failed))
}

fn run_group(group: Group, root: &Path) -> anyhow::Result<(Outcome, Duration)> {
    if group == Group::Deny && !has_cargo_deny() {
        println!("== deny: skipped, cargo-deny is not installed (cargo install cargo-deny --locked)");
        println!("   the bans on sled and bincode are also checked by tidy");
        return Ok((Outcome::Skipped, Duration::ZERO));
    }
    let Some(step) = group.step(root)? else { return Ok(run_chore(group, root)) };
    println!("== {}: cargo {}", group.name(), step.arguments.join(" "));
    // One of the suites fills a PostgreSQL.
    if matches!(group, Group::Postgres | Group::Benches)
        && let Err(error) = postgres::ensure_installed()
    {
        println!("postgres: {error:#}");
        return Ok((Outcome::Failed, Duration::ZERO));
    }
    #[expect(clippy::disallowed_methods, reason = "tells how long a group took; nothing is decided by it")]
    let begun = Instant::now();
    let status = Command::new(env!("CARGO"))
        .args(&step.arguments)
        .envs(step.environment)
        .current_dir(root)
        .status()
        .with_context(|| format!("cannot run cargo for {}", group.name()))?;
    let outcome = if status.success() { Outcome::Passed } else { Outcome::Failed };
    Ok((outcome, begun.elapsed()))
}

/// A group that is a chore of its own and not a cargo command.
fn run_chore(group: Group, root: &Path) -> (Outcome, Duration) {
    println!(
        "== {}: cargo xtask {}",
        group.name(),
        if group == Group::Instructions { "hotpaths" } else { group.name() }
    );
    #[expect(clippy::disallowed_methods, reason = "tells how long a group took; nothing is decided by it")]
    let begun = Instant::now();
    let carried_out = match group {
        Group::Instructions => hotpaths::run(&hotpaths::Arguments::default(), root),
        _ => schemathesis::run(&schemathesis::Arguments::default(), root),
    };
    let outcome = match carried_out {
        Ok(true) => Outcome::Passed,
        Ok(false) => Outcome::Failed,
        Err(error) => {
            println!("{}: {error:#}", group.name());
            Outcome::Failed
        }
    };
    (outcome, begun.elapsed())
}

fn has_cargo_deny() -> bool {
    let mut command = Command::new(env!("CARGO"));
    command.args(["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn summarize(results: &[(&str, Outcome, Duration)]) {
    println!();
    for (name, outcome, took) in results {
        let word = match outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "FAILED",
            Outcome::Skipped => "skipped",
            Outcome::NotRun => "not run",
        };
        println!("{name:>12}  {word:<8}{:>7.1} s", took.as_secs_f64());
    }
    let count = |wanted| results.iter().filter(|(_, outcome, _)| *outcome == wanted).count();
    let skipped = count(Outcome::Skipped) + count(Outcome::NotRun);
    println!("\ngroups: {} passed, {} failed, {skipped} skipped", count(Outcome::Passed), count(Outcome::Failed));
}

/// The repository's root: the folder above this package's.
pub(crate) fn root() -> anyhow::Result<PathBuf> {
    // Where cargo runs it, and not where it was built: clones that share a target folder may share the program.
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Ok(Path::new(&package).parent().context("xtask has no folder above it")?.to_path_buf())
}
