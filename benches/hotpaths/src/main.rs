//! What the hot paths cost in instructions and in allocations: figures that do not depend on how busy the machine is, so
//! that a change of a few percent is seen, and CI can refuse it.
//!
//! Read in this order: [`path`] is the list of hot paths; [`entities`], [`records`], [`checkout`] and [`edge`] are what each
//! does; [`count`] counts; [`baseline`] compares with the figures that are checked in.
//!
//! Invariant: a path does the same work in every run. It has one thread, no disk, no clock and no randomness of its own;
//! what is left (the seeds of hash maps) moves a figure by far less than the tolerance.
#![forbid(unsafe_code)]

mod baseline;
mod checkout;
mod count;
mod edge;
mod entities;
mod memory_disk;
mod path;
mod records;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use path::Path;

/// What the hot paths cost.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask hotpaths", bin_name = "cargo xtask hotpaths")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Count every path and compare with the baseline. Fails when one costs more than the tolerance allows.
    Guard {
        /// The figures that are checked in.
        #[arg(long, default_value = "benches/hotpaths/baseline.json")]
        baseline: PathBuf,
        /// Put today's figures in their place.
        #[arg(long)]
        accept: bool,
    },
    /// Run one path; what valgrind is started with.
    #[command(hide = true)]
    Run {
        /// Which.
        path: Path,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Guard { baseline, accept } => baseline::guard(&baseline, accept),
        Command::Run { path } => {
            count::run(path)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
