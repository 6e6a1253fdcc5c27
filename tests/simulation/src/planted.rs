//! `holdfast-simulate --planted`: hunts every planted bug and says which was seen, after how many seeds, by which promise.

use std::process::ExitCode;

use holdfast_simulation::{
    Options,
    hunt::{Hunt, Hunted},
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::Arguments;

/// Hunts as the arguments say. Fails when a bug was not found.
pub(crate) fn hunt(arguments: &Arguments) -> ExitCode {
    let hunt = Hunt {
        from: arguments.from,
        seeds: arguments.seeds,
        threads: arguments.threads(),
        only: arguments.bug.clone(),
    };
    let count = hunt.bugs().len();
    if count == 0 {
        eprintln!("there is no planted bug of that name");
        return ExitCode::FAILURE;
    }
    let bar = if arguments.json { ProgressBar::hidden() } else { ProgressBar::new(count as u64) };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} bugs, {elapsed}") {
        bar.set_style(style);
    }
    let done = |hunted: &Hunted| {
        if !arguments.json {
            bar.suspend(|| println!("{}", line(hunted)));
        }
        bar.inc(1);
    };
    let hunted = hunt.run(&Options::default(), &done);
    bar.finish_and_clear();
    let found = hunted.iter().filter(|hunted| hunted.found).count();
    if arguments.json {
        match serde_json::to_string_pretty(&hunted) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("{error}"),
        }
    } else {
        println!("{found} of {count} planted bugs were found, each within {} seeds", hunt.seeds);
    }
    if found == count { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn line(hunted: &Hunted) -> String {
    let Hunted { bug, found, seeds, seed, promise, violation, .. } = hunted;
    match (found, seed) {
        (true, Some(seed)) => {
            let what: String = violation.iter().flat_map(|what| what.chars()).take(110).collect();
            format!(
                "found      {bug:<28} after {seeds:>3} seeds (seed {seed}), {}: {what}",
                promise.unwrap_or_default()
            )
        }
        (false, Some(seed)) => format!("NOT FOUND  {bug:<28} seed {seed} breaks a promise without it as well"),
        (_, None) => format!("NOT FOUND  {bug:<28} in {seeds} seeds"),
    }
}
