//! The command line. One file per command; each turns flags into a call and the result into text or JSON.
//!
//! Exit codes: 0 done; 1 it failed, or what was checked is damaged; 2 the command line or a setting is wrong; 3 no server answered (`admin`, `top`). An error is
//! one line on standard error: what was being done, then each cause after a colon.

mod admin;
mod bench;
mod config;
mod console;
mod demo;
mod gateway;
mod journal;
mod migrate;
mod parent;
mod projection;
mod serve;
mod settings;
mod span;
mod top;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use holdfast_api::settings::SettingsError;

use self::admin::client::AdminError;

/// An actor-based, in-memory commerce core for flash sales: never a unit oversold, never an acknowledged order lost.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::ServeArguments),
    /// Run the sandbox payment gateway as a service of its own, which several nodes ask.
    Gateway(gateway::GatewayArguments),
    /// Ask a running cluster, or have it move shards: over the admin listener of any node.
    Admin(admin::AdminArguments),
    /// Watch a running server or cluster: rates, latencies, mailboxes, shards, holds and nodes, live on the terminal.
    Top(top::TopArguments),
    /// See it all at once: a flash sale over real HTTP, a kill -9 in the middle of it, and every order found again.
    Demo(demo::DemoArguments),
    /// Put load on a server and measure it.
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Look into a data folder's journal.
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    /// Bring the schema in PostgreSQL up to date, or look at it.
    #[command(subcommand)]
    Migrate(migrate::MigrateCommand),
    /// See how far the tables in PostgreSQL are, or build them anew.
    #[command(subcommand)]
    Projection(projection::ProjectionCommand),
    /// Show or check the settings.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print the description of the HTTP interface: openapi.json, version 3.1.
    Openapi,
    /// Print a completion script for a shell.
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

/// Runs the command line.
pub(crate) fn run() -> ExitCode {
    match dispatch(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", one_line(&error));
            ExitCode::from(code(&error))
        }
    }
}

/// 2 for a wrong command line or setting, 3 when no server was reached, 1 for everything else.
fn code(error: &anyhow::Error) -> u8 {
    let asked = error.chain().find_map(|cause| cause.downcast_ref::<AdminError>());
    match asked {
        Some(asked) if asked.is_unreachable() => 3,
        Some(asked) if asked.is_usage() => 2,
        _ if is_about_settings(error) => 2,
        _ => 1,
    }
}

/// Whether a setting is to blame.
fn is_about_settings(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<SettingsError>().is_some())
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(arguments) => serve::run(arguments)?,
        Command::Admin(arguments) => return admin::run(&arguments),
        Command::Top(arguments) => return top::run(&arguments),
        Command::Gateway(arguments) => gateway::run(arguments)?,
        Command::Demo(arguments) => demo::run(&arguments)?,
        Command::Bench(command) => return bench::run(&command),
        Command::Journal(command) => return journal::run(&command),
        Command::Migrate(command) => return migrate::run(&command),
        Command::Projection(command) => return projection::run(&command),
        Command::Config(command) => config::run(command)?,
        Command::Openapi => console::say(holdfast_api::edge::openapi_json().context("cannot write the description")?)?,
        Command::Completions { shell } => {
            // Not to standard output itself: the generator panics when a reader such as `head` closes the pipe.
            console::say(completions(shell)?.trim_end())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn completions(shell: Shell) -> anyhow::Result<String> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "holdfast", &mut script);
    String::from_utf8(script).context("cannot write the completions")
}

/// The error and its causes on one line. Some libraries repeat their cause in their own words; it is not said twice.
fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::from("holdfast");
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn there_are_completions_for_every_shell() {
        for shell in <Shell as clap::ValueEnum>::value_variants() {
            assert!(completions(*shell).expect("a script").contains("holdfast"), "{shell}");
        }
    }

    #[test]
    fn an_error_is_one_line_and_says_nothing_twice() {
        let inner = anyhow::anyhow!("the port is taken\nby somebody");
        let error = inner.context("cannot listen: the port is taken\nby somebody").context("cannot start");
        assert_eq!(one_line(&error), "holdfast: cannot start: cannot listen: the port is taken by somebody");
    }
}
