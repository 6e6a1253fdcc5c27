//! What an order costs in processor time when another node answers it, against one that its own node does: over both nodes
//! and the NATS server together. Both nodes are in this process and have segment files of their own, so the journal is the
//! cheapest there is, and the ratio the worst.
//!
//! `cargo run --release -p holdfast-cluster --example remote_cost -- 20000 64`: so many orders of each kind in turn, so many
//! buyers at once; three rounds.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "figures are its product")]
#![expect(clippy::expect_used, reason = "a measurement that fails says so and ends")]

#[path = "../tests/link/house.rs"]
#[expect(dead_code, reason = "tests use all of it")]
mod house;

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use holdfast_core::SkuId;
use tokio::task::JoinSet;

use house::{Member, deal, nats, request, sku_in};

/// Rounds, each of both kinds.
const ROUNDS: usize = 3;
/// What Linux counts processor time in, in milliseconds.
const TICK_MS: u64 = 10;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|number| number.parse::<u32>().expect("a number"));
    let orders = arguments.next().unwrap_or(20_000);
    let buyers = arguments.next().unwrap_or(64);
    let server = nats();
    let processes = [std::process::id(), server.process(0).expect("it runs")];
    let (first, second) = (Member::open(&server.url(), 1).await, Member::open(&server.url(), 2).await);
    deal(&[&first, &second]);
    let (here, there) = (sku_in(2, 0, 0), sku_in(2, 1, 0));
    first.stock(&here, 1_000_000_000).await;
    first.stock(&there, 1_000_000_000).await;
    let (first, keys) = (Arc::new(first), Arc::new(AtomicU32::new(1)));
    println!("{orders} orders by {buyers} buyers: microseconds of processor time an order, both nodes and NATS");
    for _ in 0..ROUNDS {
        let local = measure(&processes, &first, &here, orders, buyers, &keys).await;
        let remote = measure(&processes, &first, &there, orders, buyers, &keys).await;
        let ratio = remote.as_secs_f64() / local.as_secs_f64();
        let micros = |used: Duration| used.as_micros() / u128::from(orders);
        println!("here {} us, there {} us: {ratio:.2} times", micros(local), micros(remote));
    }
}

/// Processor time of so many orders of one SKU.
async fn measure(
    processes: &[u32],
    asked: &Arc<Member>,
    sku: &SkuId,
    orders: u32,
    buyers: u32,
    keys: &Arc<AtomicU32>,
) -> Duration {
    let before = used(processes);
    let mut crowd = JoinSet::new();
    for _ in 0..buyers {
        let (asked, sku, keys) = (Arc::clone(asked), sku.clone(), Arc::clone(keys));
        crowd.spawn(async move {
            for _ in 0..orders / buyers {
                let key = keys.fetch_add(1, Ordering::Relaxed);
                asked.commerce().checkout(request(key, &[(&sku, 1)])).await.expect("there is enough");
            }
        });
    }
    while let Some(bought) = crowd.join_next().await {
        bought.expect("no buyer panics");
    }
    // What follows an order (its payment, its allocation) belongs to it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    used(processes).saturating_sub(before)
}

/// Processor time that processes have used so far.
fn used(processes: &[u32]) -> Duration {
    let ticks = |process: &u32| -> u64 {
        let line = fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
        let fields = line.rsplit_once(')').expect("its name is in parentheses").1;
        fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum()
    };
    Duration::from_millis(processes.iter().map(ticks).sum::<u64>() * TICK_MS)
}
