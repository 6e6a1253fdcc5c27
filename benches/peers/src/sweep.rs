//! The plots of docs/performance.md: each sweeps one thing and draws what becomes of the others.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use holdfast_api::load::flash_sale::Load;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::{
    chart::{Chart, Series},
    contender::{Contender, Field},
    contest::{ALL, generator, measure},
    goods::{Goods, closed},
};

/// Connections of the sweep over connections.
const CONNECTIONS: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/// Hundredths of the peak offered in the open loop.
const OFFERED: [u32; 7] = [10, 25, 40, 50, 65, 80, 90];

/// What is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sweep {
    /// Throughput and p99 over connections, closed loop.
    Connections,
    /// Latency over offered load, open loop: waiting is counted.
    Load,
    /// Cost of a checkout as SKUs, carts and holds grow, from the figures of `cargo bench --bench growth`.
    Growth,
}

/// Flags of `plot`.
#[derive(Debug, Args)]
pub(crate) struct PlotArguments {
    /// What is swept.
    sweep: Sweep,
    /// Where the SVG files go.
    #[arg(long, default_value = "docs/plots")]
    folder: PathBuf,
    /// Seconds of each measurement.
    #[arg(long, default_value = "3")]
    seconds: u64,
    /// Where criterion has left its figures, for `growth`.
    #[arg(long, default_value = "target/criterion")]
    criterion: PathBuf,
}

/// Sweeps and draws.
pub(crate) fn run(arguments: &PlotArguments) -> anyhow::Result<ExitCode> {
    fs::create_dir_all(&arguments.folder).with_context(|| format!("cannot create {}", arguments.folder.display()))?;
    let each = Duration::from_secs(arguments.seconds);
    match arguments.sweep {
        Sweep::Connections => over_connections(&arguments.folder, each)?,
        Sweep::Load => over_load(&arguments.folder, each)?,
        Sweep::Growth => over_growth(&arguments.folder, &arguments.criterion)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn over_connections(folder: &Path, each: Duration) -> anyhow::Result<()> {
    let (field, runtime) = (Field::start(&ALL)?, generator()?);
    let mut rates: Vec<Series> = ALL.map(|kind| Series::new(kind.name())).into();
    let mut tails = rates.clone();
    for connections in CONNECTIONS {
        for (index, contender) in field.contenders.iter().enumerate() {
            let report = measure(&runtime, contender, Goods::One, closed(connections, each))?.report;
            let at = number(connections);
            rates[index].points.push((at, report.rps));
            tails[index].points.push((at, report.latency.p99_ms));
            tell(contender, &format!("{connections} connections"), report.rps, report.latency.p99_ms);
        }
    }
    let chart = |title, y| Chart { title, x: "connections, closed loop", y, log_y: true };
    chart("One hot SKU: throughput over connections", "requests per second")
        .draw(&folder.join("throughput-over-connections.svg"), &rates)?;
    chart("One hot SKU: p99 over connections", "p99, milliseconds")
        .draw(&folder.join("p99-over-connections.svg"), &tails)
}

fn over_load(folder: &Path, each: Duration) -> anyhow::Result<()> {
    let (field, runtime) = (Field::start(&ALL)?, generator()?);
    let mut medians: Vec<Series> = ALL.map(|kind| Series::new(kind.name())).into();
    let mut tails = medians.clone();
    for (index, contender) in field.contenders.iter().enumerate() {
        let peak = measure(&runtime, contender, Goods::One, closed(64, each))?.report.rps;
        tell(contender, "peak", peak, 0.0);
        for hundredths in OFFERED {
            let (rate, p50, p99) = offered(&runtime, contender, peak * f64::from(hundredths) / 100.0, each)?;
            medians[index].points.push((rate, p50));
            tails[index].points.push((rate, p99));
            tell(contender, &format!("{hundredths} % of the peak"), rate, p99);
        }
    }
    let chart = |title, y| Chart { title, x: "orders offered per second, open loop", y, log_y: true };
    chart("One hot SKU: p50 over offered load", "p50, milliseconds")
        .draw(&folder.join("p50-over-load.svg"), &medians)?;
    chart("One hot SKU: p99 over offered load", "p99, milliseconds").draw(&folder.join("p99-over-load.svg"), &tails)
}

/// Orders at a rate of their own, over connections enough that none waits for a free one.
fn offered(runtime: &Runtime, contender: &Contender, rate: f64, each: Duration) -> anyhow::Result<(f64, f64, f64)> {
    let load = Load { rate: Some(rate), ..closed(256, each) };
    let latency = measure(runtime, contender, Goods::One, load)?.report.latency;
    Ok((rate, latency.p50_ms, latency.p99_ms))
}

/// Reads `<criterion>/growth/<series>/<size>/new/estimates.json`.
fn over_growth(folder: &Path, criterion: &Path) -> anyhow::Result<()> {
    let from = criterion.join("growth");
    let entries = fs::read_dir(&from).with_context(|| {
        format!("no figures in {}: run `cargo bench -p holdfast-benches --bench growth`", from.display())
    })?;
    let mut all = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let mut series = Series::new(&name);
        for size in (2..=6).map(|power| 10_u64.pow(power)) {
            let file = from.join(&name).join(size.to_string()).join("new").join("estimates.json");
            let Ok(text) = fs::read_to_string(&file) else { continue };
            let estimates: Value = serde_json::from_str(&text)?;
            let nanoseconds = estimates["median"]["point_estimate"].as_f64().context("criterion left no median")?;
            series.points.push((number(size), nanoseconds / 1_000.0));
        }
        if !series.points.is_empty() {
            all.push(series);
        }
    }
    all.sort_by(|left, right| left.name.cmp(&right.name));
    let chart = Chart {
        title: "One-line checkout in process while the shop grows",
        x: "live SKUs, carts or outstanding holds",
        y: "microseconds per durable order",
        log_y: false,
    };
    chart.draw(&folder.join("cost-over-growth.svg"), &all)
}

fn tell(contender: &Contender, what: &str, rate: f64, p99_ms: f64) {
    eprintln!("{:>16} {what:>20}: {rate:>9.0}/s, p99 {p99_ms:.2} ms", contender.kind.name());
}

fn number<T: TryInto<u32>>(count: T) -> f64 {
    f64::from(count.try_into().unwrap_or(u32::MAX))
}
