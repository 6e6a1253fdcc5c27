//! The same flash sale on other stacks, in the same run, by the same load generator: how much faster is Holdfast, and at
//! what CPU?
//!
//! Read in this order: [`sale`] is what every peer has to do, [`front`] the HTTP in front of it; [`redis_shop`] and
//! [`postgres_shop`] do it; [`contender`] says who takes part and how durable each is, [`cluster`] starts ours as several nodes; [`promises`] checks that nobody
//! oversells or breaks a limit; [`contest`] measures them in turns, [`machine`] says on what, and [`standing`] is the ratio table; [`sweep`] and
//! [`chart`] make the plots of docs/performance.md.
//!
//! Invariant: every contender gets the same requests from the same generator over HTTP, and is held to the same promises.
#![forbid(unsafe_code)]

mod chart;
mod cluster;
mod contender;
mod contest;
mod front;
mod goods;
mod machine;
#[cfg(test)]
mod memory_shop;
mod postgres_shop;
mod promises;
mod redis_shop;
mod rest;
mod sale;
mod standing;
mod sweep;

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use holdfast_api::workers;

// The allocator of the `holdfast` binary: no peer loses by another one.
use mimalloc as _;

/// The same flash sale on other stacks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask peers", bin_name = "cargo xtask peers")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure every contender in turns and print the ratios.
    Run(contest::ContestArguments),
    /// Draw a plot of docs/performance.md.
    Plot(sweep::PlotArguments),
    /// A peer: the flash sale on another stack, behind axum.
    #[command(hide = true)]
    Serve(ServeArguments),
}

#[derive(Debug, clap::Args)]
struct ServeArguments {
    #[command(subcommand)]
    stack: Stack,
}

#[derive(Debug, Subcommand)]
enum Stack {
    /// Redis and one Lua script.
    Redis {
        /// Where Redis listens.
        #[arg(long)]
        server: String,
        #[command(flatten)]
        listener: ListenerArguments,
    },
    /// PostgreSQL and one statement.
    Postgres {
        /// How to connect.
        #[arg(long)]
        server: String,
        /// The password.
        #[arg(long)]
        password: String,
        /// Connections in the pool.
        #[arg(long)]
        pool: usize,
        #[command(flatten)]
        listener: ListenerArguments,
    },
}

/// Where a peer listens, and whom it tells. The flags the generator starts every server with.
#[derive(Debug, clap::Args)]
struct ListenerArguments {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    ready_file: PathBuf,
    #[arg(long)]
    leave_with_parent: bool,
    /// Threads that answer. Default: one for each processor.
    #[arg(long)]
    workers: Option<NonZeroUsize>,
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Run(arguments) => contest::run(&arguments),
        Command::Plot(arguments) => sweep::run(&arguments),
        Command::Serve(ServeArguments { stack }) => serve(stack).map(|()| ExitCode::SUCCESS),
    }
}

fn serve(stack: Stack) -> anyhow::Result<()> {
    match stack {
        Stack::Redis { server, listener } => workers::runtime(listener.workers)?
            .block_on(async { front::serve(redis_shop::RedisShop::connect(&server).await?, &listener).await }),
        Stack::Postgres { server, password, pool, listener } => workers::runtime(listener.workers)?.block_on(async {
            front::serve(postgres_shop::PostgresShop::connect(&server, &password, pool).await?, &listener).await
        }),
    }
}
