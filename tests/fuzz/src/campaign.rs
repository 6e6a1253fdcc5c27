//! Running a target over its corpus and over mutations of it, and saying how to run a failure again.

use std::{
    fmt::Write as _,
    fs,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
};

use anyhow::Context as _;

use crate::{
    Target, corpus,
    mutation::{Chance, mutate},
};

/// How an input came about, for whoever has to find out what is wrong with it.
#[derive(Debug, Clone, Copy)]
enum Origin<'a> {
    File(&'a str),
    Mutation { seed: u64, round: u64 },
}

/// Runs `target` on every file of its corpus, then on mutations until `go_on` breaks; it is given their number so far.
/// Returns how many inputs were tried.
///
/// # Errors
/// When the corpus cannot be read.
///
/// # Panics
/// As the target does, after the input was kept and shown.
pub fn run(target: Target, seed: u64, go_on: &mut dyn FnMut(u64) -> ControlFlow<()>) -> anyhow::Result<u64> {
    let mut inputs = Vec::new();
    for (name, bytes) in corpus::read(target)? {
        attempt(target, &bytes, Origin::File(&name));
        inputs.push(bytes);
    }
    let mut chance = Chance::new(seed);
    let mut round = 0;
    while go_on(round).is_continue() {
        let (input, other) = (&inputs[chance.below(inputs.len())], &inputs[chance.below(inputs.len())]);
        let made = mutate(&mut chance, input, other, target.words());
        attempt(target, &made, Origin::Mutation { seed, round });
        round += 1;
    }
    Ok(round + inputs.len() as u64)
}

/// Runs `target` on one file.
///
/// # Errors
/// When it cannot be read.
pub fn run_file(target: Target, path: &std::path::Path) -> anyhow::Result<()> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    attempt(target, &bytes, Origin::File(&path.display().to_string()));
    Ok(())
}

fn attempt(target: Target, bytes: &[u8], origin: Origin<'_>) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target.run(bytes))) {
        eprintln!("{}", report(target, bytes, origin));
        resume_unwind(panic);
    }
}

/// What failed, and the command that runs it again.
fn report(target: Target, bytes: &[u8], origin: Origin<'_>) -> String {
    let name = target.name();
    let mut text = match origin {
        Origin::File(file) => format!("{name} fails on {file}"),
        Origin::Mutation { seed, round } => format!("{name} fails in round {round} of seed {seed}"),
    };
    let shown = String::from_utf8_lossy(bytes);
    let shown: String = shown.escape_debug().take(2_000).collect();
    // Writing to a String cannot fail.
    let _ = write!(text, ", {} bytes: \"{shown}\"", bytes.len());
    match keep(target, bytes) {
        Ok(path) => {
            let path = path.display();
            let _ = write!(text, "\nrun it again: cargo xtask fuzz {name} --input {path}");
            let _ = write!(text, "\nonce it is mended, keep it: cp {path} {}/", corpus::folder(target).display());
        }
        Err(error) => {
            let _ = write!(text, "\nit could not be kept: {error:#}");
        }
    }
    text
}

/// Writes a failing input where it can be found.
fn keep(target: Target, bytes: &[u8]) -> anyhow::Result<PathBuf> {
    let digest = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let path = std::env::temp_dir().join(format!("holdfast-fuzz-{}-{digest:016x}", target.name()));
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_failed_and_how_to_run_it_again() {
        let text = report(Target::Body, b"\x01{\"a\":\xff", Origin::Mutation { seed: 7, round: 12 });
        let kept = text.split("--input ").nth(1).and_then(|rest| rest.lines().next()).expect("a file");
        assert!(text.starts_with("body fails in round 12 of seed 7, 7 bytes"), "{text}");
        assert_eq!(fs::read(kept).expect("the input was kept"), b"\x01{\"a\":\xff");
        fs::remove_file(kept).expect("removed");
    }
}
