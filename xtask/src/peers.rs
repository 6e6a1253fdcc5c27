//! `cargo xtask peers` and `cargo xtask plot`: ours beside other stacks, in one run on one machine.

use anyhow::Context as _;

use crate::{campaign, debian, dist, postgres, run::root};

/// The program behind both.
const PROGRAM: &str = "holdfast-peers";

/// Measures every contender in turns and prints the ratios. Whether every promise was kept. `shipped`: with builds as they are
/// shipped, which take many minutes to make, the peers' fronts and the echo included.
pub(crate) fn run(shipped: bool, arguments: &[String]) -> anyhow::Result<bool> {
    if !is_question(arguments) {
        ensure_servers()?;
    }
    measure(shipped, &with_command("run", arguments))
}

/// Draws plots of docs/performance.md.
pub(crate) fn plot(shipped: bool, arguments: &[String]) -> anyhow::Result<bool> {
    let arguments = with_command("plot", arguments);
    if is_question(&arguments) {
        return measure(shipped, &arguments);
    }
    if !arguments.iter().any(|argument| argument == "growth") {
        ensure_servers()?;
        return measure(shipped, &arguments);
    }
    anyhow::ensure!(!shipped, "growth is drawn from the figures of a suite, which is not shipped");
    let target = campaign::target_folder()?;
    let mut bench = std::process::Command::new(env!("CARGO"));
    bench.args(["bench", "--workspace", "--locked", "--bench", "growth"]).current_dir(root()?);
    bench.arg("--target-dir").arg(&target);
    anyhow::ensure!(bench.status().context("cannot run cargo")?.success(), "the growth suite failed");
    let from = ["--criterion".to_owned(), target.join("criterion").display().to_string()];
    campaign::run(PROGRAM, &[arguments, from.to_vec()].concat())
}

/// Whoever only asks what there is to be said needs no server for it.
fn is_question(arguments: &[String]) -> bool {
    arguments.iter().any(|argument| argument == "--help" || argument == "-h")
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
