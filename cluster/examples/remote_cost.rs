//! What an order costs in processor time when another node answers it, against one that its own node does. Both nodes are in
//! this process, which counts, and have segment files of their own; there is no HTTP in front of them, so what is local is as
//! cheap as can be, and the ratio the worst. What the NATS server between them used is told apart. What customers of a cluster
//! get instead: `cargo xtask cluster --detour`.
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
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use holdfast_core::SkuId;
use holdfast_servers::processor::used;
use tokio::task::JoinSet;

use house::{Member, deal, nats, request, sku_in};

// The allocator of the server.
use mimalloc as _;

/// Rounds, each of both kinds.
const ROUNDS: usize = 3;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|number| number.parse::<u32>().expect("a number"));
    let orders = arguments.next().unwrap_or(20_000);
    let buyers = arguments.next().unwrap_or(64);
    let server = nats();
    let processes = [std::process::id(), server.process(0).expect("it runs")];
    let orders = orders / buyers * buyers;
    let (first, second) = (Member::open(&server.url(), 1).await, Member::open(&server.url(), 2).await);
    deal(&[&first, &second]);
    let (here, there) = (sku_in(2, 0, 0), sku_in(2, 1, 0));
    first.stock(&here, 1_000_000_000).await;
    first.stock(&there, 1_000_000_000).await;
    let (first, keys) = (Arc::new(first), Arc::new(AtomicU32::new(1)));
    println!("{orders} orders by {buyers} buyers: microseconds of processor time an order");
    for _ in 0..ROUNDS {
        let local = measure(processes, &first, &here, orders, buyers, &keys).await;
        let remote = measure(processes, &first, &there, orders, buyers, &keys).await;
        let micros = |used: Duration| used.as_secs_f64() * 1e6 / f64::from(orders);
        let ([local, _], [remote, nats]) = (local.map(micros), remote.map(micros));
        println!(
            "here {local:.1}, there {remote:.1} and {nats:.1} of the NATS server: {:.2} times, with it {:.2}",
            remote / local,
            (remote + nats) / local
        );
    }
}

/// Processor time of so many orders of one SKU, by process.
async fn measure(
    processes: [u32; 2],
    asked: &Arc<Member>,
    sku: &SkuId,
    orders: u32,
    buyers: u32,
    keys: &Arc<AtomicU32>,
) -> [Duration; 2] {
    let before = processes.map(|process| used(&[process]));
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
    let after = processes.map(|process| used(&[process]));
    [after[0].saturating_sub(before[0]), after[1].saturating_sub(before[1])]
}
