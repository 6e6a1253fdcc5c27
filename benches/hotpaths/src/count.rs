//! Counts what a path costs: instructions by callgrind, allocations by a counting allocator.
//!
//! Both count [`measured`] only, not what led up to it: callgrind is told its name.

use std::{env, fs, process::Command};

use anyhow::{Context as _, ensure};

use crate::path::{Path, Work};

/// What one path costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cost {
    /// Instructions, in user space.
    pub(crate) instructions: f64,
    /// Allocations.
    pub(crate) allocations: f64,
}

/// Runs one path, without counting: callgrind does.
pub(crate) fn run(path: Path) -> anyhow::Result<()> {
    let mut work = path.prepare()?;
    warm_up(&mut work);
    measured(&mut work);
    Ok(())
}

/// Counts one path.
pub(crate) fn count(path: Path) -> anyhow::Result<Cost> {
    let mut work = path.prepare()?;
    warm_up(&mut work);
    let allocations = allocation_counter::measure(|| measured(&mut work)).count_total;
    let units = work.calls * work.per_call;
    Ok(Cost { instructions: per(instructions(path)?, units), allocations: per(allocations, units) })
}

/// The part that is counted. Its name is given to callgrind, so it must stay a function of its own.
#[inline(never)]
fn measured(work: &mut Work) {
    for _ in 0..work.calls {
        (work.call)();
    }
}

/// The first calls make what later ones find made: buffers, tables, thread locals.
fn warm_up(work: &mut Work) {
    for _ in 0..8 {
        (work.call)();
    }
}

/// Instructions of the measured part of `path`, by this program under callgrind.
fn instructions(path: Path) -> anyhow::Result<u64> {
    let folder = tempfile::tempdir().context("a folder for callgrind")?;
    let file = folder.path().join("callgrind.out");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet", "--collect-atstart=no", "--toggle-collect=*count::measured*"]);
    valgrind.arg(format!("--callgrind-out-file={}", file.display()));
    valgrind.arg(env::current_exe().context("cannot find this program's own file")?).arg("run").arg(path.name());
    // Nothing of the caller's surroundings is to be counted.
    valgrind.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
    let output = valgrind.output().context("cannot run valgrind (Debian: apt-get install valgrind)")?;
    ensure!(output.status.success(), "{} failed: {}", path.name(), String::from_utf8_lossy(&output.stderr));
    let profile = fs::read_to_string(&file).context("callgrind left no profile")?;
    let total = total(&profile).context("callgrind's profile has no total")?;
    ensure!(total > 0, "callgrind did not find the measured function: was it inlined?");
    Ok(total)
}

/// The number after `totals:`.
fn total(profile: &str) -> Option<u64> {
    profile.lines().find_map(|line| line.strip_prefix("totals:"))?.trim().parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn per(count: u64, units: u64) -> f64 {
    count as f64 / units.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_a_profile_is_found() {
        assert_eq!(total("version: 1\nevents: Ir\nfn=x\n1 2\ntotals: 4217\n"), Some(4_217));
        assert_eq!(total("version: 1\n"), None);
    }

    #[test]
    fn every_path_runs_and_allocates_the_same_every_time() {
        use clap::ValueEnum as _;
        for path in Path::value_variants() {
            let allocations = || {
                let mut work = path.prepare().unwrap();
                warm_up(&mut work);
                allocation_counter::measure(|| measured(&mut work)).count_total
            };
            let (once, twice) = (allocations(), allocations());
            let tolerated = once / 50;
            assert!(once.abs_diff(twice) <= tolerated, "{}: {once}, then {twice} allocations", path.name());
        }
    }
}
