//! The parts of `cargo xtask overload`: each starts a server of its own, measures, and holds the figures to what is asked for
//! where a machine has nothing else to do. A comparison is made in turns over several rounds and its median counts, because a
//! shared machine drifts.

use std::{fmt, time::Duration};

use clap::ValueEnum;
use holdfast_api::load::report::median;
use serde::Serialize;
use tokio::task::JoinSet;

use super::{
    bystanders::Bystanders,
    harm,
    load::{Load, Outcome, put_on},
    resident::{forget_peak, grown_mib, peaked_mib, resident_bytes},
    unread,
};
use crate::House;

/// A product that does not sell out.
const PLENTY: u64 = 1_000_000_000;

/// One part of the campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Twice and ten times the orders it can take.
    Overload,
    /// Thousands of idle and slow connections.
    Bystanders,
    /// Clients and streams that never read.
    Unread,
    /// Requests that mean harm.
    Harm,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Overload, Self::Bystanders, Self::Unread, Self::Harm];

    /// What it strains the server with.
    const fn fault(self) -> &'static str {
        match self {
            Self::Overload => "too many orders",
            Self::Bystanders => "idle and slow connections",
            Self::Unread => "answers nobody reads",
            Self::Harm => "requests that mean harm",
        }
    }
}

/// How large a campaign is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// How long each measurement lasts.
    pub duration: Duration,
    /// How often each comparison is repeated.
    pub rounds: u32,
    /// Idle and slow connections that are asked for.
    pub bystanders: usize,
    /// How many the system has room for.
    pub allowed: usize,
}

/// One figure and the limit it is held to.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What the server was strained with, in words.
    pub fault: &'static str,
    /// What was measured, with its unit.
    pub what: String,
    /// The figure.
    pub figure: f64,
    /// What it is held to.
    pub limit: String,
    /// Whether it is within the limit.
    pub passed: bool,
    /// What else was seen.
    pub notes: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, what, figure, limit, passed, notes } = self;
        let verdict = if *passed { "within" } else { "MISSES" };
        write!(f, "{fault}: {what}: {figure:.2}, {verdict} {limit} ({notes})")
    }
}

impl Finding {
    fn at_most(part: Part, what: impl Into<String>, figure: f64, most: f64, notes: String) -> Self {
        Self {
            fault: part.fault(),
            what: what.into(),
            figure,
            limit: format!("at most {most}"),
            passed: figure <= most,
            notes,
        }
    }

    fn shown(part: Part, what: impl Into<String>, figure: f64, notes: String) -> Self {
        Self { fault: part.fault(), what: what.into(), figure, limit: "no limit".to_owned(), passed: true, notes }
    }

    fn at_least(part: Part, what: impl Into<String>, figure: f64, least: f64, notes: String) -> Self {
        Self {
            fault: part.fault(),
            what: what.into(),
            figure,
            limit: format!("at least {least}"),
            passed: figure >= least,
            notes,
        }
    }
}

/// Runs one part.
///
/// # Errors
/// When a server does not start or does not answer at all.
pub async fn run(part: Part, size: Size) -> anyhow::Result<Vec<Finding>> {
    match part {
        Part::Overload => overload(size).await,
        Part::Bystanders => bystanders(size).await,
        Part::Unread => unread(size).await,
        Part::Harm => harm().await,
    }
}

/// What a shop does with the orders it cannot take at once.
struct Stance {
    /// In words.
    name: &'static str,
    /// Permits of a shard, if not as many as by default.
    permits: Option<usize>,
    /// The least goodput, as a part of the peak; none where the figure is only shown.
    least: Option<f64>,
}

/// With the default permits more clients wait than come here, so nobody is refused. With few, nearly everybody is: every
/// refusal is sent, read and answered on the very cores that sell, so that figure says what a refusal costs, and no
/// setting can hold it near the peak.
const STANCES: [Stance; 2] = [
    Stance { name: "the default permits", permits: None, least: Some(0.9) },
    Stance { name: "128 permits a shard", permits: Some(128), least: None },
];

async fn overload(size: Size) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for stance in STANCES {
        findings.extend(overload_with(&stance, size).await?);
    }
    Ok(findings)
}

async fn overload_with(stance: &Stance, size: Size) -> anyhow::Result<Vec<Finding>> {
    /// The crowd that finds the peak.
    const ENOUGH: usize = 128;
    /// The crowd of an overload.
    const TOO_MANY: usize = 2_048;
    let permits = stance.permits.map(|permits| permits.to_string());
    let settings: Vec<_> = permits.iter().map(|permits| ("RUNTIME__MAILBOX_PERMITS", permits.as_str())).collect();
    let house = House::with_settings(&settings)?;
    house.put_up("OVER", PLENTY).await?;
    let pid = house.server()?.pid();
    let closed = Load { connections: ENOUGH, duration: size.duration, rate: None };
    put_on(house.shop(), "OVER", closed).await?;
    let (before, mut sold, mut unclean) = (resident_bytes(pid)?, 0, 0);
    let mut loads = [2.0, 10.0].map(|times| (times, Vec::new(), String::new()));
    for _ in 0..size.rounds {
        let peak = put_on(house.shop(), "OVER", closed).await?;
        sold += peak.sold;
        for (times, ratios, notes) in &mut loads {
            let rate = Some(peak.goodput_per_s * *times);
            let outcome = put_on(house.shop(), "OVER", Load { connections: TOO_MANY, rate, ..closed }).await?;
            ratios.push(outcome.goodput_per_s / peak.goodput_per_s.max(1.0));
            *notes = describe(&peak, &outcome);
            sold += outcome.sold;
            unclean += outcome.unclean.values().sum::<u64>();
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a campaign has far fewer than 2^52 orders")]
    let (bytes, unclean) = (resident_bytes(pid)?.saturating_sub(before) as f64 / sold.max(1) as f64, unclean as f64);
    let mut findings = Vec::new();
    for (times, ratios, notes) in loads {
        let what = format!("goodput at {times}x load with {}, of the peak", stance.name);
        findings.push(match stance.least {
            Some(least) => Finding::at_least(Part::Overload, what, median(ratios), least, notes),
            None => Finding::shown(Part::Overload, what, median(ratios), notes),
        });
    }
    findings.push(Finding::at_most(
        Part::Overload,
        "answers that were neither an order nor a clean refusal",
        unclean,
        0.0,
        String::new(),
    ));
    findings.push(Finding::at_most(
        Part::Overload,
        "resident bytes per order sold",
        bytes,
        4_096.0,
        format!("{sold} orders"),
    ));
    Ok(findings)
}

fn describe(peak: &Outcome, outcome: &Outcome) -> String {
    format!(
        "the last round: peak {:.0}/s; offered {:.0}/s, {:.0}/s sold, {} shed, {} due but unsent by the generator",
        peak.goodput_per_s, outcome.offered_per_s, outcome.goodput_per_s, outcome.shed, outcome.unsent
    )
}

async fn bystanders(size: Size) -> anyhow::Result<Vec<Finding>> {
    /// Buyers' orders a second: far from what the server can take, so that latency shows who is in the way.
    const RATE: f64 = 500.0;
    let house = House::open()?;
    house.put_up("STAND", PLENTY).await?;
    let (pid, address) = (house.server()?.pid(), house.shop().target().address());
    let load = Load { connections: 64, duration: size.duration, rate: Some(RATE) };
    put_on(house.shop(), "STAND", load).await?;
    let (mut ratios, mut alone_ms, mut beside_ms) = (Vec::new(), Vec::new(), Vec::new());
    let (mut connected, mut mib, mut unclean) = (usize::MAX, 0, 0);
    for _ in 0..size.rounds {
        let alone = put_on(house.shop(), "STAND", load).await?;
        let before = resident_bytes(pid)?;
        let crowd = Bystanders::gather(address, size.bystanders.min(size.allowed)).await;
        connected = connected.min(crowd.connected());
        let beside = put_on(house.shop(), "STAND", load).await?;
        connected = connected.min(crowd.connected());
        mib = mib.max(grown_mib(pid, before)?);
        crowd.dismiss().await;
        unclean += beside.unclean.len() as u64 + beside.shed;
        ratios.push(beside.latency.p99_ms / alone.latency.p99_ms.max(0.001));
        alone_ms.push(alone.latency.p99_ms);
        beside_ms.push(beside.latency.p99_ms);
    }
    let notes = format!(
        "{connected} connections, half of them slow; p99 {:.2} ms alone, {:.2} ms beside them; {RATE} orders/s",
        median(alone_ms),
        median(beside_ms)
    );
    let allowed = format!("the system has room for {}", size.allowed);
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let (mib, unclean, there, asked) = (mib as f64, unclean as f64, connected as f64, size.bystanders as f64);
    Ok(vec![
        Finding::at_least(Part::Bystanders, "bystanders connected before and after each load", there, asked, allowed),
        Finding::at_most(Part::Bystanders, "buyers' p99 beside bystanders, of that alone", median(ratios), 1.2, notes),
        Finding::at_most(Part::Bystanders, "buyers refused or not answered cleanly", unclean, 0.0, String::new()),
        Finding::at_most(
            Part::Bystanders,
            "resident MiB for the bystanders",
            mib,
            512.0,
            format!("{connected} connections"),
        ),
    ])
}

async fn unread(size: Size) -> anyhow::Result<Vec<Finding>> {
    const CLIENTS: usize = 200;
    const STREAMS: usize = 1_000;
    const WRITE_MS: f64 = 2_000.0;
    let settings = [("DEADLINES__WRITE_MS", "2000"), ("LIMITS__STREAM_INTERVAL_MS", "0")];
    let house = House::with_settings(&settings)?;
    house.put_up("UNREAD", PLENTY).await?;
    let (pid, address) = (house.server()?.pid(), house.shop().target().address());
    let load = Load { connections: 32, duration: size.duration, rate: Some(500.0) };
    put_on(house.shop(), "UNREAD", load).await?;
    let before = resident_bytes(pid)?;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(unread::follow(address, "UNREAD").await?);
    }
    let sale = put_on(house.shop(), "UNREAD", load).await?;
    let streams_mib = grown_mib(pid, before)?;
    drop(streams);
    let before = resident_bytes(pid)?;
    let mut crowd = JoinSet::new();
    for _ in 0..CLIENTS {
        crowd.spawn(unread::ask_without_end(address, Duration::from_mins(1)));
    }
    let (mut slowest_ms, mut uncut, mut mib) = (0.0_f64, 0_u32, 0);
    while let Some(client) = crowd.join_next().await {
        mib = mib.max(grown_mib(pid, before)?);
        match client??.cut_after {
            Some(after) => slowest_ms = slowest_ms.max(after.as_secs_f64() * 1_000.0),
            None => uncut += 1,
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let (mib, streams_mib) = (mib as f64, streams_mib as f64);
    let notes = format!("{CLIENTS} clients, a write deadline of {WRITE_MS} ms, the last cut after {slowest_ms:.0} ms");
    let beside = format!("{STREAMS} streams, {} sold meanwhile, p99 {:.2} ms", sale.sold, sale.latency.p99_ms);
    Ok(vec![
        Finding::at_most(Part::Unread, "clients that never read and were not cut", f64::from(uncut), 0.0, notes),
        Finding::at_most(Part::Unread, "resident MiB for clients that never read", mib, 64.0, String::new()),
        Finding::at_most(Part::Unread, "resident MiB for streams that nobody reads", streams_mib, 128.0, beside),
    ])
}

async fn harm() -> anyhow::Result<Vec<Finding>> {
    /// A part of the 100 MB that one request has: who buffers a body before refusing it is found out.
    const PEAK_MIB: f64 = 32.0;
    let house = House::open()?;
    house.put_up("A", PLENTY).await?;
    let (pid, address) = (house.server()?.pid(), house.shop().target().address());
    let (mut slowest, mut served, mut least_mib, mut peak_mib) = ((Duration::ZERO, ""), 0_u32, u64::MAX, 0);
    let mut refusals = 0;
    for round in 0..4 {
        let before = forget_peak(pid)?;
        for harm in harm::everything(house.shop().admin_token().unwrap_or_default())? {
            let refusal = harm.inflict(address).await?;
            served += u32::from(!refusal.status.is_some_and(|status| (400..500).contains(&status)));
            // The first round warms server and generator.
            if round > 0 {
                slowest = slowest.max((refusal.took, harm.name));
            }
            refusals += 1;
        }
        least_mib = least_mib.min(grown_mib(pid, before)?);
        peak_mib = peak_mib.max(peaked_mib(pid, before)?);
    }
    let log = std::fs::read_to_string(house.server()?.log())?;
    let panics = u32::try_from(log.matches("panicked").count())?;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let (least_mib, peak_mib) = (least_mib as f64, peak_mib as f64);
    let name = format!("{refusals} requests, the slowest: {}", slowest.1);
    Ok(vec![
        Finding::at_most(Part::Harm, "slowest refusal, ms", slowest.0.as_secs_f64() * 1_000.0, 50.0, name),
        Finding::at_most(Part::Harm, "harmful requests not answered 4xx", f64::from(served), 0.0, String::new()),
        Finding::at_most(Part::Harm, "panics", f64::from(panics), 0.0, String::new()),
        Finding::at_most(Part::Harm, "resident MiB left by every round", least_mib, 10.0, String::new()),
        Finding::at_most(Part::Harm, "resident MiB at the peak of any round", peak_mib, PEAK_MIB, String::new()),
    ])
}
