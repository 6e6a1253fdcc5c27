//! `cargo xtask peers` and `cargo xtask plot`: ours beside other stacks, in one run on one machine.

use anyhow::Context as _;

use crate::{campaign, debian, dist, postgres, run::root};

/// The program behind both.
const PROGRAM: &str = "holdfast-peers";

/// Measures every contender in turns and prints the ratios. Whether every promise was kept. `shipped`: with builds as they are
/// shipped, which take many minutes to make, the peers' fronts and the echo included.
pub(crate) fn run(shipped: bool, arguments: &[String]) -> anyhow::Result<bool> {
    // Whoever only asks what there is to be said needs no server for it.
    if !arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        ensure_servers()?;
    }
    measure(shipped, &with_command("run", arguments))
}

/// Draws plots of docs/performance.md.
pub(crate) fn plot(shipped: bool, arguments: &[String]) -> anyhow::Result<bool> {
    if arguments.first().is_some_and(|sweep| sweep == "growth") {
        let mut bench = std::process::Command::new(env!("CARGO"));
        bench.args(["bench", "--workspace", "--locked", "--bench", "growth"]).current_dir(root()?);
        bench.arg("--target-dir").arg(campaign::target_folder()?);
        anyhow::ensure!(bench.status().context("cannot run cargo")?.success(), "the growth suite failed");
        let figures = campaign::target_folder()?.join("criterion");
        let from = ["--criterion".to_owned(), figures.display().to_string()];
        return campaign::run(PROGRAM, &with_command("plot", &[arguments, &from[..]].concat()));
    }
    ensure_servers()?;
    measure(shipped, &with_command("plot", arguments))
}

fn measure(shipped: bool, arguments: &[String]) -> anyhow::Result<bool> {
    if shipped {
        return campaign::carry_out(&dist::beside(PROGRAM, &root()?)?, PROGRAM, arguments);
    }
    campaign::run(PROGRAM, arguments)
}

fn ensure_servers() -> anyhow::Result<()> {
    postgres::ensure_installed()?;
    debian::ensure_installed("redis-server", "redis-server")
}

fn with_command(command: &str, arguments: &[String]) -> Vec<String> {
    [command.to_owned()].into_iter().chain(arguments.iter().cloned()).collect()
}
