//! `holdfast-simulate`: runs seeds, on every core, and says what they did. `cargo xtask simulate` builds and calls it.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "what a run did is its product")]

#[cfg(feature = "planted")]
mod planted;

use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

use clap::Parser;
use holdfast_simulation::{Options, Summary, simulate};
use indicatif::{ProgressBar, ProgressStyle};

/// Runs the real node through simulated worlds that go wrong, one per seed.
#[derive(Debug, Parser)]
#[command(name = "holdfast-simulate")]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// The summary as JSON.
    #[arg(long)]
    json: bool,
    /// Threads, each with seeds of its own; 0 for one per processor.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Prints every seed's trace hash.
    #[arg(long)]
    hashes: bool,
    /// Hunts the planted bugs instead: each must be seen within `--seeds` seeds.
    #[cfg(feature = "planted")]
    #[arg(long)]
    planted: bool,
    /// Hunts this planted bug only.
    #[cfg(feature = "planted")]
    #[arg(long, requires = "planted")]
    bug: Option<String>,
}

impl Arguments {
    fn threads(&self) -> usize {
        if self.threads > 0 { self.threads } else { thread::available_parallelism().map_or(1, usize::from) }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[cfg(feature = "planted")]
    if arguments.planted {
        return planted::hunt(&arguments);
    }
    #[expect(clippy::disallowed_methods, reason = "measures the run; nothing is decided by it")]
    let begun = Instant::now();
    let bar =
        if arguments.json || arguments.hashes { ProgressBar::hidden() } else { ProgressBar::new(arguments.seeds) };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}, {msg}") {
        bar.set_style(style);
    }
    let summary = run(&arguments, &bar);
    bar.finish_and_clear();
    let seconds = begun.elapsed().as_secs_f64();
    if arguments.json {
        match serde_json::to_string_pretty(&summary) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("{error}"),
        }
    } else if !arguments.hashes {
        show(&summary, seconds);
    }
    if summary.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(arguments: &Arguments, bar: &ProgressBar) -> Summary {
    let next = AtomicU64::new(0);
    let found = AtomicU64::new(0);
    let options = Options::default();
    let work = || {
        let mut summary = Summary::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= arguments.seeds {
                return summary;
            }
            let report = simulate(arguments.from.wrapping_add(number), &options);
            if arguments.hashes {
                println!("{} {:016x}", report.seed, report.trace_hash);
            }
            if report.violation.is_some() {
                found.fetch_add(1, Ordering::Relaxed);
                bar.suspend(|| eprintln!("{report}"));
            }
            summary.add(&report);
            bar.set_message(format!("{} violations", found.load(Ordering::Relaxed)));
            bar.inc(1);
        }
    };
    let threads = arguments.threads();
    let mut summary = Summary::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            if let Ok(part) = worker.join() {
                summary.merge(part);
            }
        }
    });
    summary
}

#[expect(clippy::cast_precision_loss, reason = "figures to read")]
fn show(summary: &Summary, seconds: f64) {
    let Summary { seeds, steps, simulated_hours, crashes, orders_acknowledged, records, .. } = summary;
    println!("seeds                {seeds} in {seconds:.1} s ({:.1} a second)", *seeds as f64 / seconds);
    println!("steps                {steps}");
    println!("simulated hours      {simulated_hours:.0}");
    println!("crashes              {crashes}");
    println!("orders acknowledged  {orders_acknowledged}");
    println!("journal records      {records}");
    println!("faults");
    summary.faults.iter().for_each(|(kind, count)| println!("  {kind:<28} {count}"));
    println!("events");
    summary.events.iter().for_each(|(kind, count)| println!("  {kind:<28} {count}"));
    println!("violations           {}", summary.violations.len());
    for found in &summary.violations {
        println!("  seed {}: {}", found.seed, found.violation);
    }
}
