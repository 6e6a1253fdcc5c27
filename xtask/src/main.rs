//! `cargo xtask`: the chores of this repository, in Rust, so that they run wherever the code does.
//!
//! `test` is what the README names and what CI calls, so that nobody finds out from CI what one command could have told.
//! The others are the long campaigns behind what `test` runs for seconds.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "what a chore says is its product")]

mod campaign;
mod crash;
mod group;
mod run;
mod simulate;

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
    /// Kill the real server at every step of its work, again and again, and look whether anything is lost.
    Crash(crash::CrashArguments),
    /// Run the real node through simulated worlds that go wrong, one per seed; or hunt the planted bugs.
    Simulate(simulate::Simulate),
    /// Record histories of concurrent clients and check that an order of their operations explains each; --help says more.
    #[command(disable_help_flag = true)]
    Linearize {
        /// `--histories N`, `--seed S`, `--json`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Overload and starve the server, send it what means harm, and print figures; --help says more.
    #[command(disable_help_flag = true)]
    Overload {
        /// Which parts, `--json`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Test { groups, keep_going } => run::run(&groups, keep_going),
        Chore::Crash(arguments) => crash::run(&arguments),
        Chore::Simulate(arguments) => run::root().and_then(|root| simulate::run(&arguments, &root)),
        Chore::Linearize { arguments } => campaign::run("linearize", &arguments),
        Chore::Overload { arguments } => campaign::run("overload", &arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
