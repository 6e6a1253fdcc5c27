//! What 10, 100 and 1,000 nodes would do, from the very code that nodes run: where shards go, how many move, how long the
//! plan and the beats are as they are sent, what it costs a node to hear and to conclude. Counts follow from the settings;
//! sizes are those of serialized values, times are of this machine. What an order costs its followers is measured on a real
//! cluster and given here: docs/scaling.md says how.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "tables are its product")]
#![expect(clippy::disallowed_methods, reason = "measures; nothing is decided by it")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod case;
mod cost;

use clap::Parser;
use holdfast_cluster::ClusterSettings;
use holdfast_core::ShardCount;

use case::Case;
use cost::Cost;

/// Nodes and shards that are looked at.
const CASES: [(usize, u16); 4] = [(3, 16), (10, 64), (100, 1_024), (1_000, 1_024)];
const KIB: f64 = 1_024.0;

/// What many nodes would do.
#[derive(Debug, Parser)]
struct Arguments {
    /// Orders that the whole cluster takes in, per second.
    #[arg(long, default_value_t = 10_000.0)]
    orders_per_s: f64,
    /// What one order adds to the streams with everything that follows from it, in bytes.
    #[arg(long, default_value_t = 521.0)]
    order_bytes: f64,
    /// Processor time that a follower spends on one order, in microseconds.
    #[arg(long, default_value_t = 7.0)]
    follow_us: f64,
    /// Orders that are kept, in millions.
    #[arg(long, default_value_t = 10.0)]
    kept_millions: f64,
    /// What one kept order takes in every node's memory, in bytes.
    #[arg(long, default_value_t = 1_050.0)]
    kept_bytes: f64,
}

/// One row, measured.
struct Row {
    nodes: usize,
    shards: f64,
    joined: usize,
    died: usize,
    plan_bytes: [usize; 2],
    beat_bytes: f64,
    cost: Cost,
}

fn main() -> anyhow::Result<()> {
    let (arguments, settings) = (Arguments::parse(), ClusterSettings::default());
    let rows: Vec<Row> = CASES.into_iter().map(|(nodes, shards)| measure(nodes, shards)).collect::<Result<_, _>>()?;
    show_plan(&rows);
    show_beats(&rows, &settings);
    show_streams(&rows, &settings);
    show_orders(&rows, &arguments);
    Ok(())
}

fn measure(nodes: usize, shards: u16) -> anyhow::Result<Row> {
    let case = Case::new(nodes, ShardCount::new(shards)?)?;
    let (joined, died) = (case.joined()?, case.died()?);
    Ok(Row {
        nodes,
        shards: f64::from(shards),
        joined: joined.moves.len(),
        died: died.moves.len(),
        plan_bytes: [case.plan.write()?.len(), joined.write()?.len()],
        beat_bytes: case.beat_bytes()?,
        cost: cost::measure(&case)?,
    })
}

fn show_plan(rows: &[Row]) {
    println!("the plan: moves when one node more or less; its size after everybody began, and after a join");
    println!("{:>6} {:>7} {:>7} {:>7} {:>12} {:>12}", "nodes", "shards", "join", "death", "began KiB", "joined KiB");
    for row in rows {
        let [began, joined] = row.plan_bytes.map(|bytes| bytes as f64 / KIB);
        let (nodes, shards) = (row.nodes, row.shards);
        println!("{nodes:>6} {shards:>7} {:>7} {:>7} {began:>12.1} {joined:>12.1}", row.joined, row.died);
    }
}

fn show_beats(rows: &[Row], settings: &ClusterSettings) {
    println!("\nbeats: what every node hears and what that costs it, in percent of one core; out: of all NATS servers");
    println!(
        "{:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "nodes", "beat KiB", "beats/s", "MiB/s in", "out MiB/s", "hear us", "hear %", "turn us", "turns %"
    );
    let per_s = 1_000.0 / settings.beat_interval_ms as f64;
    for row in rows {
        let (nodes, Cost { hear_s, turn_s }) = (row.nodes as f64, row.cost);
        let mib = row.beat_bytes * nodes * per_s / KIB / KIB;
        println!(
            "{nodes:>6} {:>9.1} {:>9.0} {mib:>9.2} {:>9.1} {:>9.0} {:>9.1} {:>9.0} {:>9.1}",
            row.beat_bytes / KIB,
            nodes * per_s,
            mib * nodes,
            hear_s * 1e6,
            hear_s * nodes * per_s * 100.0,
            turn_s * 1e6,
            turn_s * cost::TURNS_PER_S * 100.0,
        );
    }
}

fn show_streams(rows: &[Row], settings: &ClusterSettings) {
    println!("\nstreams: with three replicas on three servers, every server has a part in each; polls: of idle shards");
    println!("{:>6} {:>9} {:>9} {:>14} {:>14}", "nodes", "streams", "tails", "polls/s a node", "polls/s in all");
    for row in rows {
        let nodes = row.nodes as f64;
        let tails = row.shards * (nodes - 1.0);
        let polls = tails * 1_000.0 / settings.tail_poll_ms as f64;
        println!(
            "{nodes:>6} {:>9} {tails:>9.0} {:>14.0} {polls:>14.0}",
            row.shards + case::OTHER_STREAMS,
            polls / nodes
        );
    }
}

fn show_orders(rows: &[Row], arguments: &Arguments) {
    let Arguments { orders_per_s, order_bytes, follow_us, kept_millions, kept_bytes } = arguments;
    println!(
        "\norders: {orders_per_s} a second in the whole, {order_bytes} bytes and {follow_us} us of following each; \
         {kept_millions} million kept, {kept_bytes} bytes each"
    );
    println!(
        "{:>6} {:>13} {:>13} {:>13} {:>10} {:>10}",
        "nodes", "owned/s", "followed/s", "following %", "out MiB/s", "GiB each"
    );
    for row in rows {
        let nodes = row.nodes as f64;
        let owned = orders_per_s / nodes;
        let followed = orders_per_s - owned;
        println!(
            "{nodes:>6} {owned:>13.0} {followed:>13.0} {:>13.1} {:>10.1} {:>10.1}",
            followed * follow_us / 1e6 * 100.0,
            followed * nodes * order_bytes / KIB / KIB,
            kept_millions * kept_bytes * 1e6 / KIB / KIB / KIB,
        );
    }
}
