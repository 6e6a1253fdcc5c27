//! What CI asks of the simulation: seeds that keep every promise, those that once did not, and that a seed is a seed.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]
#![expect(clippy::print_stdout, reason = "figures are printed, and a failing seed's story")]

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use holdfast_simulation::{Options, Promise, Report, Summary, Violation, simulate};

/// Seeds of every CI run: about 30 s on two cores, unoptimized and with debug assertions. Enough that the rarest fault, a gateway
/// that has forgotten a key it is asked under again, does not depend on how a turn happens to go.
const SEEDS: u64 = 120;

/// Runs these seeds on every core.
fn run(seeds: &[u64]) -> Summary {
    let next = AtomicU64::new(0);
    let work = || {
        let mut summary = Summary::default();
        while let Some(seed) = seeds.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap()) {
            let report = simulate(*seed, &Options::default());
            if report.violation.is_some() {
                println!("{report}");
            }
            summary.add(&report);
        }
        summary
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut summary = Summary::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            summary.merge(worker.join().unwrap());
        }
    });
    summary
}

/// The seeds of the regressions file with their reasons.
fn regressions() -> BTreeMap<u64, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let entry = |line: &str| {
        let (seed, why) = line.trim().split_once(char::is_whitespace).unwrap_or_else(|| panic!("no reason: {line}"));
        (seed.parse().unwrap_or_else(|_| panic!("no seed: {line}")), why.trim().to_owned())
    };
    lines.map(entry).collect()
}

#[test]
fn every_seed_of_the_bounded_run_keeps_every_promise_and_every_fault_happens() {
    let seeds: Vec<u64> = (1..=SEEDS).collect();
    let summary = run(&seeds);
    println!("{summary:#?}");
    assert!(summary.violations.is_empty(), "{:?}", summary.violations);
    for kind in [
        "kills",
        "power cuts",
        "deaths in recovery",
        "write or sync errors",
        "slow syncs",
        "disk full",
        "bit flips refused",
        "old journals refused",
        "snapshot errors",
        "snapshots lost",
        "snapshots put back",
        "shard deaths",
        "panics",
        "messages dropped",
        "messages duplicated",
        "messages delayed",
        "calls lost before",
        "calls lost after",
        "calls late",
        "webhooks",
        "keys forgotten",
    ] {
        assert!(summary.faults.get(kind).is_some_and(|count| *count > 0), "no {kind} in {SEEDS} seeds");
    }
    assert!(summary.orders_acknowledged > 50 * SEEDS, "a run does real work");
}

#[test]
fn every_seed_that_once_found_a_bug_keeps_every_promise() {
    let regressions = regressions();
    let seeds: Vec<u64> = regressions.keys().copied().collect();
    let summary = run(&seeds);
    let again = summary.violations.iter().map(|found| format!("{} ({})", found.violation, regressions[&found.seed]));
    assert_eq!(again.collect::<Vec<_>>(), Vec::<String>::new());
    assert_eq!(summary.seeds, regressions.len() as u64);
}

#[test]
fn the_same_seed_gives_the_same_trace_twice_in_one_process() {
    let hash = |seed| simulate(seed, &Options::default()).trace_hash;
    let first: Vec<u64> = (1..=4).map(hash).collect();
    assert_eq!(first, (1..=4).map(hash).collect::<Vec<_>>());
    assert!(first.windows(2).all(|pair| pair[0] != pair[1]), "another seed is another world");
}

#[test]
fn the_same_seed_gives_the_same_trace_in_another_process() {
    let here: Vec<String> =
        (5..=8).map(|seed| format!("{seed} {:016x}", simulate(seed, &Options::default()).trace_hash)).collect();
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast-simulate"))
        .args(["--from", "5", "--seeds", "4", "--threads", "1", "--hashes"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let there = String::from_utf8(output.stdout).unwrap();
    assert_eq!(there.lines().collect::<Vec<_>>(), here);
}

#[test]
fn a_failing_seed_names_itself_how_to_rerun_it_and_its_last_steps() {
    let report = Report {
        violation: Some(Violation { promise: Promise::Units, what: String::from("a unit too many") }),
        last_steps: vec![String::from("the last thing")],
        ..simulate(1, &Options { buyers: 3, ..Options::default() })
    };
    let text = report.to_string();
    for part in ["I1 units: a unit too many", "cargo xtask simulate --from 1 --seeds 1", "the last thing"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn a_run_that_does_not_come_to_rest_is_a_violation() {
    let report = simulate(1, &Options { max_steps: 500, ..Options::default() });
    assert_eq!(report.violation.map(|violation| violation.promise), Some(Promise::Progress));
}
