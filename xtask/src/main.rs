//! `cargo xtask`: the chores of this repository, in Rust, so that they run wherever the code does.
//!
//! `test` is what the README names and what CI calls, so that nobody finds out from CI what one command could have told.
//! The others are the long campaigns behind what `test` runs for seconds.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "what a chore says is its product")]

mod campaign;
mod crash;
mod debian;
mod dist;
mod fuzz;
mod group;
mod hotpaths;
mod mutants;
mod peers;
mod plan_worlds;
mod postgres;
mod run;
mod schemathesis;
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
    /// Run the nodes of a cluster through worlds that go wrong, one per seed: who owns a shard, who takes it, who answers.
    PlanWorlds(plan_worlds::PlanWorlds),
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
    /// Take PostgreSQL away for ten minutes in the middle of a sale, and print figures; --help says more.
    #[command(disable_help_flag = true)]
    Outage {
        /// `--seconds N`, `--json`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Kill, pause, cut off and move the nodes of a cluster and its NATS servers, drawn from a seed; or measure it; --help says more.
    #[command(disable_help_flag = true)]
    Cluster {
        /// `--rounds N`, `--seed S`, `--away SECONDS`, `--figures`, `--detour ORDERS`, `--json`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Sell the same flash sale on Redis, on PostgreSQL and on an echo beside ours, and print the ratios; --help says more.
    #[command(disable_help_flag = true)]
    Peers {
        /// With builds as they are shipped (`dist`), ours and everybody's fronts.
        #[arg(long)]
        shipped: bool,
        /// `--quick`, `--rounds N`, `--peers LIST`, `--json`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Draw a plot of docs/performance.md: `connections`, `load` or `growth`; --help says more.
    #[command(disable_help_flag = true)]
    Plot {
        /// With builds as they are shipped (`dist`), ours and everybody's fronts.
        #[arg(long)]
        shipped: bool,
        /// What is swept, and `--folder DIR`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Count the instructions and allocations of the hot paths, and compare with the figures that are checked in.
    Hotpaths(hotpaths::Arguments),
    /// Build the binary that is shipped: optimized over all crates, and by the profile of a sale.
    Dist(dist::Arguments),
    /// Fuzz the decoders and everything a request brings, guided by coverage.
    Fuzz(fuzz::Arguments),
    /// Break core on purpose, one place at a time, and see whether its tests notice.
    Mutants(mutants::Arguments),
    /// Hold the running server to its `OpenAPI` document.
    Schemathesis(schemathesis::Arguments),
}

fn main() -> ExitCode {
    match carry_out(Arguments::parse().chore) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Carries a chore out. Whether nothing failed.
fn carry_out(chore: Chore) -> anyhow::Result<bool> {
    let root = run::root()?;
    match chore {
        Chore::Test { groups, keep_going } => run::run(&groups, keep_going),
        Chore::Crash(arguments) => crash::run(&arguments),
        Chore::Simulate(arguments) => simulate::run(&arguments, &root),
        Chore::PlanWorlds(arguments) => plan_worlds::run(&arguments, &root),
        Chore::Linearize { arguments } => campaign::run("linearize", &arguments),
        Chore::Overload { arguments } => campaign::run("overload", &arguments),
        Chore::Outage { arguments } => campaign::run("outage", &arguments),
        Chore::Cluster { arguments } => campaign::run("cluster-campaign", &arguments),
        Chore::Peers { shipped, arguments } => peers::run(shipped, &arguments),
        Chore::Plot { shipped, arguments } => peers::plot(shipped, &arguments),
        Chore::Hotpaths(arguments) => hotpaths::run(&arguments, &root),
        Chore::Dist(arguments) => dist::run(&arguments, &root),
        Chore::Fuzz(arguments) => fuzz::run(&arguments, &root),
        Chore::Mutants(arguments) => mutants::run(&arguments, &root),
        Chore::Schemathesis(arguments) => schemathesis::run(&arguments, &root),
    }
}
