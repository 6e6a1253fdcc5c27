//! The contest: every contender in turns, over several rounds, so that a machine that slows down slows all of them.

use std::{num::NonZeroUsize, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Args;
use holdfast_api::load::{flash_sale::Load, report::Report};
use holdfast_servers::processor;
use tokio::runtime::{Builder, Runtime};

use crate::{
    contender::{Contender, Field, Kind},
    goods::{Goods, Sale, closed},
    machine::Machine,
    promises::{self, Broken},
    rest,
    standing::{Standing, Standings},
};

/// Who takes part unless told otherwise: the ceiling and ours first.
pub(crate) const ALL: [Kind; 11] = [
    Kind::Echo,
    Kind::Holdfast,
    Kind::RedisEverysec,
    Kind::RedisAlways,
    Kind::Postgres2,
    Kind::Postgres32,
    Kind::HoldfastPostgres,
    Kind::Echo1,
    Kind::RedisAlways1,
    Kind::HoldfastCluster1,
    Kind::HoldfastCluster3,
];

/// Who is in the plots: everybody that is one server.
pub(crate) const PLOTTED: &[Kind] = ALL.split_at(7).0;

/// How the contest is held.
#[derive(Debug, Args)]
pub(crate) struct ContestArguments {
    /// One short round: does it all run, and keep its promises?
    #[arg(long)]
    quick: bool,
    /// Rounds; medians over them are told.
    #[arg(long, default_value = "5")]
    rounds: NonZeroUsize,
    /// Seconds of each measurement.
    #[arg(long, default_value = "5")]
    seconds: u64,
    /// Connections, each with one request at a time.
    #[arg(long, default_value = "64")]
    connections: NonZeroUsize,
    /// Who takes part beside ours. Default: all.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<Kind>,
    /// The result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// One measurement.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    pub(crate) report: Report,
    /// Processor time of the contender's processes, until they are at rest again, over the orders it took.
    pub(crate) cpu_us_per_order: f64,
    /// What of it the servers behind its HTTP servers used: a database, the NATS servers.
    pub(crate) behind_us_per_order: f64,
}

/// Holds the contest and prints the standings. Fails when a promise was broken.
pub(crate) fn run(arguments: &ContestArguments) -> anyhow::Result<ExitCode> {
    let kinds: Vec<Kind> = match &arguments.peers[..] {
        [] => ALL.to_vec(),
        peers => ALL.into_iter().filter(|kind| *kind == Kind::Holdfast || peers.contains(kind)).collect(),
    };
    let field = Field::start(&kinds)?;
    rest::settle_disk();
    let machine = Machine::of(field.folder())?;
    eprintln!("{}", machine.line());
    let runtime = generator()?;
    let mut standings = Vec::new();
    for contender in &field.contenders {
        let broken = if contender.kind.sells() {
            runtime.block_on(promises::check(&contender.shops)).with_context(|| contender.kind.name())?
        } else {
            Broken::default()
        };
        let goods = if contender.kind.sells() { &[Goods::One, Goods::Thousand][..] } else { &[Goods::One] };
        standings.extend(goods.iter().map(|goods| Standing::new(contender.kind, *goods, broken)));
    }
    let (rounds, seconds) = if arguments.quick { (1, 2) } else { (arguments.rounds.get(), arguments.seconds) };
    let load = closed(arguments.connections.get(), Duration::from_secs(seconds));
    if !arguments.quick {
        warm_up(&runtime, &field, load.connections)?;
    }
    for round in 0..rounds {
        // Every other round the other way round: a machine that drifts within a round favors nobody.
        let mut turns: Vec<&mut Standing> = standings.iter_mut().collect();
        if round % 2 == 1 {
            turns.reverse();
        }
        for standing in turns {
            let contender = field.get(standing.kind).context("a contender is gone")?;
            if arguments.json {
                eprintln!("round {} of {rounds}: {}, {}", round + 1, standing.kind.name(), standing.goods.name());
            }
            standing.turns.push(measure(&runtime, contender, standing.goods, load)?);
        }
    }
    let standings = Standings::new(standings, load, machine);
    standings.print(arguments.json)?;
    Ok(if standings.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A short sale at each contender that nobody looks at: the first one meets cold code and empty tables.
pub(crate) fn warm_up(runtime: &Runtime, field: &Field, connections: usize) -> anyhow::Result<()> {
    let short = closed(connections, Duration::from_secs(1));
    field.contenders.iter().try_for_each(|one| measure(runtime, one, Goods::One, short).map(drop))
}

/// One measurement of one contender.
pub(crate) fn measure(runtime: &Runtime, contender: &Contender, goods: Goods, load: Load) -> anyhow::Result<Turn> {
    let failed = || format!("{} did not sell {}", contender.kind.name(), goods.name());
    let sale = runtime.block_on(Sale::put_up(contender, goods)).with_context(failed)?;
    let (all, behind) = (contender.processes.all(), &contender.processes.behind);
    runtime.block_on(rest::wait_for(contender)).with_context(failed)?;
    rest::settle_disk();
    let before = (processor::used(&all), processor::used(behind));
    let mut report = runtime.block_on(sale.run(load));
    // What is put off until the sale is over is part of what its orders cost.
    runtime.block_on(rest::wait_for(contender)).with_context(failed)?;
    let used = (processor::used(&all).saturating_sub(before.0), processor::used(behind).saturating_sub(before.1));
    report.oversold = runtime.block_on(sale.oversold(report.sold)).with_context(failed)?;
    #[expect(clippy::cast_precision_loss, reason = "a run has fewer orders than 2^52")]
    let orders = report.sold.max(1) as f64;
    let per_order = |used: Duration| used.as_secs_f64() * 1e6 / orders;
    Ok(Turn { report, cpu_us_per_order: per_order(used.0), behind_us_per_order: per_order(used.1) })
}

/// The generator's runtime: one thread, as in `holdfast bench`.
pub(crate) fn generator() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("the operating system gave no thread")
}
