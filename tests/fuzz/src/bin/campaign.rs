//! Runs fuzz targets with seeded mutations: for so many seconds, or on one input. `cargo xtask fuzz` calls it where libFuzzer
//! cannot be built, and for a single input.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "what a campaign says is its product")]

use std::{
    ops::ControlFlow,
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Parser;
use holdfast_fuzz::{Target, campaign};

/// Runs fuzz targets with seeded mutations.
#[derive(Debug, Parser)]
struct Arguments {
    /// Which targets. Default: all.
    targets: Vec<Target>,
    /// How long, over all targets, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where chance begins. The same seed makes the same inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One input instead, from this file; needs one target.
    #[arg(long)]
    input: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let Arguments { targets, seconds, seed, input } = Arguments::parse();
    if let Some(path) = input {
        let [target] = targets[..] else { anyhow::bail!("name the one target that the input is for") };
        campaign::run_file(target, &path)?;
        println!("{}: {} holds", target.name(), path.display());
        return Ok(());
    }
    let targets = if targets.is_empty() { Target::ALL.to_vec() } else { targets };
    let share = Duration::from_secs(seconds) / u32::try_from(targets.len())?;
    for target in targets {
        let begun = now();
        let mut go_on = |_| if begun.elapsed() < share { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
        let tried = campaign::run(target, seed, &mut go_on)?;
        let took = begun.elapsed().as_secs_f64();
        println!("{:>8}: {tried} inputs in {took:.1} s, all hold (seed {seed})", target.name());
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a campaign runs for as long as it is told; no target sees the time")]
fn now() -> Instant {
    Instant::now()
}
