//! `cargo xtask`: the chores of this repository, in Rust, so that they run wherever the code does.
//!
//! One chore so far: `test`. It is what the README names and what CI calls, so that nobody finds out from CI what one
//! command could have told.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "what a chore says is its product")]

mod group;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use group::Group;

/// Holdfast's chores.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Run the tests: all that CI runs, or the groups named.
    Test {
        /// Which groups, in this order. Default: all.
        groups: Vec<Group>,
        /// Go on with the next group when one fails.
        #[arg(long)]
        keep_going: bool,
    },
}

fn main() -> ExitCode {
    let Chore::Test { groups, keep_going } = Arguments::parse().chore;
    match run::run(&groups, keep_going) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
