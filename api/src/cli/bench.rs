//! `bench`: the load generator on the command line.

use std::{
    env,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use holdfast_api::{
    load::{
        compare,
        echo::{self, EchoServer},
        flash_sale::{self, FlashSaleError, Load},
        order::fresh_run,
        report::Report,
        scratch::ScratchFolder,
        server_process::{Launch, ServerProcess},
        shop::Shop,
        target::Target,
    },
    workers,
};

use super::{console, parent::ParentArguments, span};

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// A crowd on one product, or spread over many. Exit code 1 if one was oversold or anything but sales and clean refusals was
    /// answered.
    FlashSale(FlashSaleArguments),
    /// The same crowd on the echo server: what this machine and this generator can do at all.
    Echo(EchoArguments),
    /// An HTTP server that sends the order back as it came.
    EchoServer(EchoServerArguments),
    /// Echo, sales and sold-out refusals in turns on servers of its own, as ratios.
    Compare(CompareArguments),
}

/// How much load.
#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    /// Connections, each with one request at a time.
    #[arg(long, default_value = "64")]
    connections: NonZeroUsize,
    /// For how long requests are issued: 500ms, 10s, 2m.
    #[arg(long, default_value = "10s", value_parser = span::parse)]
    duration: Duration,
    /// Requests per second, due whether or not a connection is free (open loop). Default: as fast as answers come.
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// How long answers are waited for after that.
    #[arg(long, default_value = "10s", value_parser = span::parse)]
    grace: Duration,
    /// Threads of the generator; more than one only helps on a machine with cores to spare.
    #[arg(long, default_value = "1")]
    threads: NonZeroUsize,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// Flags of `bench flash-sale`.
#[derive(Debug, Args)]
pub(crate) struct FlashSaleArguments {
    /// The server, as http://host:port.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: Target,
    /// The admin token: puts the product up and reads its stock.
    #[arg(long, env = "HOLDFAST__ADMIN__TOKEN", hide_env_values = true)]
    admin_token: String,
    /// An existing product; its available units are brought to --stock. Default: a new one.
    #[arg(long)]
    sku: Option<String>,
    /// So many new products, which share the crowd evenly.
    #[arg(long, default_value = "1", conflicts_with = "sku")]
    skus: NonZeroU32,
    /// Units on sale of each product.
    #[arg(long)]
    stock: u64,
    #[command(flatten)]
    load: LoadArguments,
}

/// Flags of `bench echo`.
#[derive(Debug, Args)]
pub(crate) struct EchoArguments {
    /// A running echo server. Default: one is started.
    #[arg(long)]
    url: Option<Target>,
    #[command(flatten)]
    load: LoadArguments,
}

/// Flags of `bench echo-server`.
#[derive(Debug, Args)]
pub(crate) struct EchoServerArguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Threads that answer: with 1 the main thread alone, as a shop on two processors does. Default: one for each processor.
    #[arg(long)]
    workers: Option<NonZeroUsize>,
    /// Write the address and the process id to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    #[command(flatten)]
    parent: ParentArguments,
}

/// Flags of `bench compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// Rounds; the medians over them are told.
    #[arg(long, default_value = "5")]
    rounds: NonZeroUsize,
    /// Where the temporary data folder is made: on the disk that is to be measured. Default: the system's.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    load: LoadArguments,
}

impl LoadArguments {
    fn load(&self) -> Load {
        let Self { connections, duration, rate, grace, .. } = *self;
        Load { connections: connections.get(), duration, rate, grace }
    }

    fn runtime(&self) -> anyhow::Result<tokio::runtime::Runtime> {
        workers::runtime(Some(self.threads)).context("the operating system gave no threads")
    }

    fn show(&self, report: &Report) -> anyhow::Result<ExitCode> {
        console::say_either(self.json, report, report.table())?;
        Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Runs the command.
pub(crate) fn run(command: &BenchCommand) -> anyhow::Result<ExitCode> {
    match command {
        BenchCommand::FlashSale(arguments) => flash_sale(arguments),
        BenchCommand::Echo(arguments) => echo(arguments),
        BenchCommand::EchoServer(arguments) => echo_server(arguments),
        BenchCommand::Compare(arguments) => compare(arguments),
    }
}

fn flash_sale(arguments: &FlashSaleArguments) -> anyhow::Result<ExitCode> {
    let shop = Shop::new(arguments.url.clone(), Some(arguments.admin_token.clone()));
    let load = arguments.load.load();
    let report = arguments.load.runtime()?.block_on(async {
        if let Some(sku) = &arguments.sku {
            return flash_sale::sell_restocked(&shop, sku.clone(), arguments.stock, load).await;
        }
        let run = fresh_run()?;
        let skus: Vec<String> = (0..arguments.skus.get()).map(|number| format!("b-{run}-{number}")).collect();
        flash_sale::sell_new(&shop, &skus, arguments.stock, load).await
    });
    arguments.load.show(&report.with_context(|| format!("no flash sale at {}", arguments.url))?)
}

fn echo(arguments: &EchoArguments) -> anyhow::Result<ExitCode> {
    let folder = ScratchFolder::new(None, "echo")?;
    let started = match arguments.url {
        Some(_) => None,
        None => Some(Launch::echo(env::current_exe()?, folder.path()).start()?),
    };
    let target = arguments.url.clone().or_else(|| started.as_ref().map(ServerProcess::target));
    let shop = Shop::new(target.context("there is no echo server")?, None);
    let report = arguments.load.runtime()?.block_on(echo::drive(&shop, arguments.load.load()))?;
    arguments.load.show(&report)
}

fn echo_server(arguments: &EchoServerArguments) -> anyhow::Result<ExitCode> {
    arguments.parent.watch();
    workers::runtime(arguments.workers)?.block_on(async {
        let server = EchoServer::bind(arguments.listen).await;
        let server = server.with_context(|| format!("cannot listen on {}", arguments.listen))?;
        let ready = server.ready();
        match &arguments.ready_file {
            Some(path) => ready.write(path).with_context(|| format!("cannot write {}", path.display()))?,
            None => console::say(format!("echoing at http://{}", ready.public))?,
        }
        server.run().await.context("the echo server failed")
    })?;
    Ok(ExitCode::SUCCESS)
}

fn compare(arguments: &CompareArguments) -> anyhow::Result<ExitCode> {
    let program = env::current_exe().context("cannot find this program's own file")?;
    let folder = ScratchFolder::new(arguments.data.as_deref(), "bench")?;
    let token = format!("{}{}", fresh_run()?, fresh_run()?);
    let echo_server = Launch::echo(program.clone(), &folder.path().join("echo")).start()?;
    let shop_server = Launch::shop(program, &folder.path().join("shop"), &token).start()?;
    let (echo, shop) = (Shop::new(echo_server.target(), None), Shop::new(shop_server.target(), Some(token)));
    let rounds = arguments.rounds.get();
    let compared: Result<_, FlashSaleError> =
        arguments.load.runtime()?.block_on(compare::run(&echo, &shop, rounds, arguments.load.load()));
    let compared = compared?;
    console::say_either(arguments.load.json, &compared, compared.table())?;
    Ok(if compared.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("expected requests per second, more than 0".to_owned()),
    }
}
