//! `demo`: the whole promise in half a minute.

use std::{env, net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use clap::Args;
use holdfast_api::demo::{self, DemoOptions, Narrator, Staged};

use super::{console, span};

/// Flags of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Units on sale.
    #[arg(long, default_value = "5000", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    units: u64,
    /// Buyers, each wanting one unit.
    #[arg(long, default_value = "20000", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    buyers: u64,
    /// Connections they come over.
    #[arg(long, default_value = "64")]
    connections: NonZeroUsize,
    /// How far ahead the sale opens.
    #[arg(long, default_value = "3s", value_parser = span::parse)]
    countdown: Duration,
    /// The server's public address; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Keep the data in this folder, which must be new. Default: a temporary one, removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Sell from another catalog.
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// Stop at the end instead of leaving the server up to explore.
    #[arg(long)]
    exit: bool,
    /// Print the result as one JSON object and nothing else; implies --exit.
    #[arg(long)]
    json: bool,
}

/// Runs the demo. Ctrl-C at any time stops the server and removes the temporary folder.
pub(crate) fn run(arguments: &DemoArguments) -> anyhow::Result<()> {
    let options = DemoOptions {
        program: env::current_exe().context("cannot find this program's own file")?,
        units: arguments.units,
        buyers: arguments.buyers,
        connections: arguments.connections.get(),
        countdown: arguments.countdown,
        listen: arguments.listen,
        data: arguments.data.clone(),
        catalog: arguments.catalog.clone(),
    };
    let narrator = Narrator { quiet: arguments.json };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the operating system gave no threads")?.block_on(async {
        let staged = tokio::select! {
            staged = demo::stage(&options, &narrator) => staged.context("the demo failed")?,
            interrupt = tokio::signal::ctrl_c() => return interrupt.context("cannot listen for Ctrl-C"),
        };
        show(arguments, &staged)?;
        ensure!(staged.result.is_clean(), "a promise was not kept: see the figures above");
        if arguments.exit || arguments.json { Ok(()) } else { explore(&staged).await }
    })
}

fn show(arguments: &DemoArguments, staged: &Staged) -> anyhow::Result<()> {
    if arguments.json { console::say_json(&staged.result.figures) } else { console::say(staged.result.table()) }
}

/// Leaves the server up until Ctrl-C.
async fn explore(staged: &Staged) -> anyhow::Result<()> {
    let (url, sku, token) = (staged.shop.target(), &staged.sku, &staged.admin_token);
    console::say(format!("\nexplore: {url}/docs"))?;
    console::say(format!("  curl {url}/api/v1/products/{sku}"))?;
    console::say(format!("  curl -H 'Authorization: Bearer {token}' {url}/api/v1/products/{sku}"))?;
    console::say("Ctrl-C stops the server.")?;
    tokio::signal::ctrl_c().await.context("cannot listen for Ctrl-C")
}
