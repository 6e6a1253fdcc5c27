//! The figures that are checked in, and what a change may cost beyond them.

use std::{collections::BTreeMap, fs, path::Path as FilePath, process::ExitCode};

use anyhow::Context as _;
use clap::ValueEnum as _;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use serde::{Deserialize, Serialize};

use crate::{
    count::{Cost, count},
    path::Path,
};

/// How many percent more a path may cost before it is refused. Above what a compiler of another day or the seeds of hash
/// maps make of the same source (measured: below 2 %), below what anybody would want to lose unseen.
const TOLERANCE_PERCENT: f64 = 5.0;

/// How a baseline is renewed.
const ACCEPT: &str = "cargo xtask hotpaths --accept";

/// The figures of one path.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Figures {
    /// Instructions per operation.
    instructions: u64,
    /// Allocations per hundred operations: whole, so that the file has no fractions.
    allocations_per_100: u64,
}

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Baseline {
    /// What compiled the program that was counted; another one makes other code of the same source.
    rustc: String,
    paths: BTreeMap<Path, Figures>,
}

/// How a path stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Same,
    Dearer,
    Cheaper,
    New,
}

impl From<Cost> for Figures {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "costs are positive and far below 2^52"
    )]
    fn from(cost: Cost) -> Self {
        Self {
            instructions: cost.instructions.round() as u64,
            allocations_per_100: (cost.allocations * 100.0).round() as u64,
        }
    }
}

impl Figures {
    fn against(self, before: Option<Self>) -> Verdict {
        let Some(before) = before else { return Verdict::New };
        let pairs = [(self.instructions, before.instructions), (self.allocations_per_100, before.allocations_per_100)];
        let changes = pairs.map(|(now, before)| percent(now, before));
        if changes.iter().any(|change| *change > TOLERANCE_PERCENT) {
            Verdict::Dearer
        } else if changes.iter().any(|change| *change < -TOLERANCE_PERCENT) {
            Verdict::Cheaper
        } else {
            Verdict::Same
        }
    }
}

/// By how many percent `now` is more than `before`.
#[expect(clippy::cast_precision_loss, reason = "costs are far below 2^52")]
fn percent(now: u64, before: u64) -> f64 {
    match (now, before) {
        (0, 0) => 0.0,
        (_, 0) => f64::INFINITY,
        (now, before) => (now as f64 / before as f64 - 1.0) * 100.0,
    }
}

/// Counts every path and compares. With `accept`, today's figures become the baseline.
#[expect(clippy::print_stdout, reason = "the comparison is what this program is for")]
pub(crate) fn guard(file: &FilePath, accept: bool) -> anyhow::Result<ExitCode> {
    let before: Baseline = match fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} is no baseline", file.display()))?,
        Err(_) => Baseline::default(),
    };
    let mut now = Baseline { rustc: env!("HOLDFAST_RUSTC").to_owned(), ..Baseline::default() };
    for path in Path::value_variants() {
        now.paths.insert(*path, count(*path)?.into());
    }
    println!("{}", table(&before, &now));
    if before.rustc != now.rustc {
        println!("the baseline is by {:?}, this is {:?}", before.rustc, now.rustc);
    }
    if accept {
        fs::write(file, serde_json::to_string_pretty(&now)? + "\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("these are the baseline from now on: commit {}, and say in the message why", file.display());
        return Ok(ExitCode::SUCCESS);
    }
    let all =
        |wanted| now.paths.iter().any(|(path, figures)| figures.against(before.paths.get(path).copied()) == wanted);
    if all(Verdict::Cheaper) {
        println!("cheaper than the baseline: keep it with `{ACCEPT}`, so that it cannot be lost unseen");
    }
    if all(Verdict::Dearer) || all(Verdict::New) {
        println!(
            "a path costs more than {TOLERANCE_PERCENT} % above its baseline, or has none. If the change is worth it, \
             accept it: `{ACCEPT}`, and commit the file"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn table(before: &Baseline, now: &Baseline) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    table.set_header(["hot path", "instructions", "baseline", "", "allocations", "baseline", ""]);
    for (path, figures) in &now.paths {
        let known = before.paths.get(path);
        let change = |now, before: Option<u64>| {
            before.map_or("new".to_owned(), |before| format!("{:+.1} %", percent(now, before)))
        };
        let hundredths = |per_100: u64| format!("{}.{:02}", per_100 / 100, per_100 % 100);
        let verdict = match figures.against(known.copied()) {
            Verdict::Dearer => " DEARER",
            Verdict::Same | Verdict::Cheaper | Verdict::New => "",
        };
        let shown = |value: Option<u64>| value.map_or(String::new(), |value| value.to_string());
        table.add_row([
            format!("{}{verdict}", path.name()),
            figures.instructions.to_string(),
            shown(known.map(|known| known.instructions)),
            change(figures.instructions, known.map(|known| known.instructions)),
            hundredths(figures.allocations_per_100),
            known.map_or(String::new(), |known| hundredths(known.allocations_per_100)),
            change(figures.allocations_per_100, known.map(|known| known.allocations_per_100)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Figures = Figures { instructions: 1_000, allocations_per_100: 300 };

    #[test]
    fn six_percent_more_is_refused_and_four_are_not() {
        let with = |instructions| Figures { instructions, ..BEFORE }.against(Some(BEFORE));
        assert_eq!([with(1_040), with(1_060), with(930)], [Verdict::Same, Verdict::Dearer, Verdict::Cheaper]);
    }

    #[test]
    fn one_more_allocation_is_refused_even_where_instructions_are_saved() {
        let figures = Figures { instructions: 900, allocations_per_100: 400 };
        assert_eq!(figures.against(Some(BEFORE)), Verdict::Dearer);
    }

    #[test]
    fn a_path_without_a_baseline_is_not_let_through() {
        assert_eq!(BEFORE.against(None), Verdict::New);
    }

    #[test]
    fn every_path_has_a_baseline() {
        let file = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("baseline.json");
        let baseline: Baseline = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        for path in Path::value_variants() {
            assert!(baseline.paths.contains_key(path), "{} has none: `{ACCEPT}`", path.name());
        }
    }
}
