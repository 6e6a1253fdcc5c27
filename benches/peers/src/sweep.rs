//! The plots of docs/performance.md: each sweeps one thing and draws what becomes of the others.

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use holdfast_api::load::{
    flash_sale::Load,
    report::{Report, median},
};
use serde_json::Value;

use crate::{
    chart::{Chart, Legend, Series},
    contender::Field,
    contest::{PLOTTED, generator, measure, warm_up},
    goods::{Goods, closed},
};

/// Connections of the sweep over connections.
const CONNECTIONS: [u32; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
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
    /// How often everything is measured; medians are drawn.
    #[arg(long, default_value = "3")]
    passes: NonZeroUsize,
    /// Where criterion has left its figures, for `growth`.
    #[arg(long, default_value = "target/criterion")]
    criterion: PathBuf,
}

impl PlotArguments {
    fn each(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

/// Sweeps and draws.
pub(crate) fn run(arguments: &PlotArguments) -> anyhow::Result<ExitCode> {
    fs::create_dir_all(&arguments.folder).with_context(|| format!("cannot create {}", arguments.folder.display()))?;
    match arguments.sweep {
        Sweep::Connections => over_connections(arguments)?,
        Sweep::Load => over_load(arguments)?,
        Sweep::Growth => over_growth(&arguments.folder, &arguments.criterion)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What a sweep measured at one place of one contender, once per pass.
struct Spot {
    contender: usize,
    at: f64,
    passes: Vec<Latencies>,
}

/// Requests per second, and p50 and p99 in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Latencies {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Measures every spot once per pass, so that a hiccup of the machine hits one pass of a spot and not the spot.
fn sweep(
    spots: &mut [Spot],
    field: &Field,
    arguments: &PlotArguments,
    load: impl Fn(f64) -> Load,
) -> anyhow::Result<()> {
    let runtime = generator()?;
    warm_up(&runtime, field, 64)?;
    for pass in 1..=arguments.passes.get() {
        for spot in &mut *spots {
            let contender = &field.contenders[spot.contender];
            let report = measure(&runtime, contender, Goods::One, load(spot.at))?.report;
            let (name, at) = (contender.kind.name(), spot.at);
            ensure!(report.is_all_sold(), "{name} at {at:.0} did not sell to everybody: {report:?}");
            let Report { rps: rate, latency, .. } = report;
            let measured = Latencies { rate, p50_ms: latency.p50_ms, p99_ms: latency.p99_ms };
            eprintln!("pass {pass}: {name:>16} at {at:>7.0}: {rate:>7.0}/s, p99 {:.2} ms", latency.p99_ms);
            spot.passes.push(measured);
        }
    }
    Ok(())
}

/// One line a contender, of the median over the passes of what is to be shown.
fn lines(spots: &[Spot], field: &Field, of: fn(&Latencies) -> f64) -> Vec<Series> {
    let mut all: Vec<Series> = field.contenders.iter().map(|contender| Series::new(contender.kind.name())).collect();
    for spot in spots {
        all[spot.contender].points.push((spot.at, median(spot.passes.iter().map(of))));
    }
    all
}

fn over_connections(arguments: &PlotArguments) -> anyhow::Result<()> {
    let field = Field::start(PLOTTED)?;
    let everyone = 0..field.contenders.len();
    let spots = CONNECTIONS.iter().flat_map(|connections| everyone.clone().map(|contender| (contender, *connections)));
    let spot = |(contender, connections)| Spot { contender, at: f64::from(connections), passes: Vec::new() };
    let mut spots: Vec<Spot> = spots.map(spot).collect();
    sweep(&mut spots, &field, arguments, |connections| closed(whole(connections), arguments.each()))?;
    let chart = |title, y, legend| Chart { title, x: "connections, closed loop", y, log_y: true, legend };
    chart("One hot SKU: throughput over connections", "requests per second", Legend::LowerRight)
        .draw(&arguments.folder.join("throughput-over-connections.svg"), &lines(&spots, &field, |spot| spot.rate))?;
    chart("One hot SKU: p99 over connections", "p99, milliseconds", Legend::UpperLeft)
        .draw(&arguments.folder.join("p99-over-connections.svg"), &lines(&spots, &field, |spot| spot.p99_ms))
}

fn over_load(arguments: &PlotArguments) -> anyhow::Result<()> {
    let field = Field::start(PLOTTED)?;
    let spot = |contender, at| Spot { contender, at, passes: Vec::new() };
    let mut peaks: Vec<Spot> = (0..field.contenders.len()).map(|contender| spot(contender, 64.0)).collect();
    sweep(&mut peaks, &field, arguments, |connections| closed(whole(connections), arguments.each()))?;
    let mut spots = Vec::new();
    for peak in &peaks {
        let rate = median(peak.passes.iter().map(|pass| pass.rate));
        spots.extend(OFFERED.iter().map(|hundredths| spot(peak.contender, rate * f64::from(*hundredths) / 100.0)));
    }
    // Connections enough that no order waits for a free one.
    let open = |rate| Load { rate: Some(rate), ..closed(256, arguments.each()) };
    sweep(&mut spots, &field, arguments, open)?;
    let x = "orders offered per second, open loop";
    let chart = |title, y| Chart { title, x, y, log_y: true, legend: Legend::UpperLeft };
    chart("One hot SKU: p50 over offered load", "p50, milliseconds")
        .draw(&arguments.folder.join("p50-over-load.svg"), &lines(&spots, &field, |spot| spot.p50_ms))?;
    chart("One hot SKU: p99 over offered load", "p99, milliseconds")
        .draw(&arguments.folder.join("p99-over-load.svg"), &lines(&spots, &field, |spot| spot.p99_ms))
}

/// Reads `<criterion>/growth/<series>/<size>/new/estimates.json`.
fn over_growth(folder: &Path, criterion: &Path) -> anyhow::Result<()> {
    let from = criterion.join("growth");
    let entries = fs::read_dir(&from)
        .with_context(|| format!("no figures in {}: run `cargo bench --workspace --bench growth`", from.display()))?;
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
        legend: Legend::UpperLeft,
    };
    chart.draw(&folder.join("cost-over-growth.svg"), &all)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a small whole number, kept as a coordinate"
)]
fn whole(connections: f64) -> usize {
    connections as usize
}

fn number<T: TryInto<u32>>(count: T) -> f64 {
    f64::from(count.try_into().unwrap_or(u32::MAX))
}
