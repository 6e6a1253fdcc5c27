//! `cargo xtask mutants`: breaks core on purpose, one place at a time, and sees whether its tests notice (cargo-mutants).
//!
//! Invariant: a mutant that survives is in `core/mutants-survivors.md`, with the reason; any other fails the chore. Line numbers
//! are left out of the list, so that it does not change with every line added above.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context as _;

use crate::campaign;

/// The survivors that are explained.
const LIST: &str = "core/mutants-survivors.md";
/// The cases each property is tried with: fewer than usual, because there are hundreds of runs.
const CASES: &str = "64";
/// What cargo-mutants exits with when it ran to its end: nothing survived, something did, something hung.
const RAN: [i32; 3] = [0, 2, 3];

/// Which mutants to try.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only this part of them, as in `0/8`: eight such runs try all.
    #[arg(long)]
    shard: Option<String>,
    /// Only those in files whose path matches, as in `**/card.rs`.
    #[arg(long)]
    file: Vec<String>,
    /// How many at once.
    #[arg(long, default_value_t = 1)]
    jobs: u32,
}

/// Tries the mutants. Whether every survivor is explained.
pub(crate) fn run(arguments: &Arguments, root: &Path) -> anyhow::Result<bool> {
    anyhow::ensure!(is_installed(), "cargo-mutants is not installed: cargo install cargo-mutants --locked");
    let out = campaign::target_folder()?.join("mutants");
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let status = command(arguments, root, &out).status().context("cannot run cargo mutants")?;
    let ran = status.code().is_some_and(|code| RAN.contains(&code));
    anyhow::ensure!(ran, "cargo mutants did not run to its end ({status}): see above");
    let survivors = survivors(&out.join("mutants.out"))?;
    let explained = explained(root)?;
    let unexplained: Vec<_> = survivors.difference(&explained).collect();
    for mutant in &unexplained {
        println!("survived, and is not in {LIST}: {mutant}");
    }
    if arguments.shard.is_none() && arguments.file.is_empty() {
        for mutant in explained.difference(&survivors) {
            println!("killed by now, take it out of {LIST}: {mutant}");
        }
    }
    println!("mutants: {} survived, {} of them unexplained", survivors.len(), unexplained.len());
    Ok(unexplained.is_empty())
}

fn is_installed() -> bool {
    let mut command = Command::new(env!("CARGO"));
    command.args(["mutants", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn command(arguments: &Arguments, root: &Path, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(["mutants", "--package", "holdfast-core", "--no-shuffle", "--output"]).arg(out);
    command.args(["--jobs", &arguments.jobs.to_string()]).current_dir(root);
    // Each mutant is built in a copy of the tree, with a target folder of its own.
    command.env_remove("CARGO_TARGET_DIR").env("PROPTEST_CASES", CASES).env("CARGO_PROFILE_DEV_DEBUG", "0");
    if let Some(shard) = &arguments.shard {
        command.args(["--shard", shard]);
    }
    for file in &arguments.file {
        command.args(["--file", file]);
    }
    command
}

/// The mutants that no test noticed, or that hung.
fn survivors(out: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for name in ["missed.txt", "timeout.txt"] {
        let path = out.join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        all.extend(text.lines().map(without_place));
    }
    Ok(all)
}

/// `core/src/id.rs:48:9: replace ...` without the line and the column.
fn without_place(mutant: &str) -> String {
    let mut parts = mutant.splitn(4, ':');
    match (parts.next(), parts.nth(2)) {
        (Some(file), Some(change)) => format!("{file}:{change}"),
        _ => mutant.to_owned(),
    }
}

/// The survivors of the list: each on a line of its own, in backticks, before its reason.
fn explained(root: &Path) -> anyhow::Result<BTreeSet<String>> {
    let text = fs::read_to_string(root.join(LIST)).with_context(|| format!("cannot read {LIST}"))?;
    text.lines().filter_map(|line| line.strip_prefix("- `")).map(entry).collect()
}

fn entry(line: &str) -> anyhow::Result<String> {
    let (mutant, reason) = line.split_once("`: ").with_context(|| format!("{LIST}: no reason: {line}"))?;
    anyhow::ensure!(reason.len() > 10, "{LIST}: no reason: {line}");
    Ok(mutant.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_is_known_without_its_line() {
        let mutant = "core/src/id.rs:48:9: replace ShardCount::get -> u16 with 0";
        assert_eq!(without_place(mutant), "core/src/id.rs: replace ShardCount::get -> u16 with 0");
        assert_eq!(without_place("nonsense"), "nonsense");
    }

    #[test]
    fn every_survivor_of_the_list_has_a_reason_and_a_file_that_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for mutant in explained(root).unwrap() {
            let file = mutant.split(": ").next().unwrap();
            assert!(root.join(file).is_file(), "{mutant}: there is no such file");
        }
        assert!(entry("core/src/id.rs: replace x").is_err());
        assert!(entry("core/src/id.rs: replace x`: why").is_err(), "that is no reason");
    }
}
