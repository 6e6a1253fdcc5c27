//! What an order costs that is sent to another node than the owner's of its SKU, against one that is sent to the owner: the
//! processor time of everything that serves it, over HTTP, with the journal in NATS, as customers of a cluster get it.
//!
//! Invariant: every order that is counted was acknowledged, and what follows it (payment, allocation, followers) is counted
//! with it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use holdfast_api::load::{
    crowd::{self, Patience, Plan},
    order::{OrderTemplate, PassingShopper, fresh_run},
    pace::Until,
    tally::Ledger,
};
use holdfast_core::ShardId;
use holdfast_servers::processor;
use serde::Serialize;
use tokio::time::sleep;

use crate::{house::HousePlan, stage::Stage};

/// Rounds, each of both kinds.
const ROUNDS: usize = 3;
/// Customers at once.
const CUSTOMERS: usize = 64;
/// How long what follows the last order may take: counted to it.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// Processor time of one order, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OrderCost {
    /// Over all nodes: the one that was asked, the owner, and whoever follows.
    pub nodes_us: f64,
    /// Over all NATS servers.
    pub servers_us: f64,
}

/// Orders sent to the owner of their SKU and orders sent elsewhere, in turns.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Detour {
    /// To the owner, round by round.
    pub here: Vec<OrderCost>,
    /// To another node.
    pub there: Vec<OrderCost>,
    /// How many times as much the nodes spend on an order that makes the detour, median of the rounds.
    pub nodes_ratio: f64,
    /// The same with the NATS servers counted in.
    pub with_servers_ratio: f64,
}

/// Measures, with so many orders of each kind a round.
///
/// # Errors
/// When an order is not acknowledged.
pub async fn measure(orders: u64) -> anyhow::Result<Detour> {
    let stage = Stage::empty(HousePlan::default(), 1).await?;
    let shard = ShardId(0);
    let owner = *stage.house.settled(&[]).await?.get(&shard).context("the first shard's owner")?;
    let other = *stage.others(owner).first().context("another node")?;
    let mut detour = Detour::default();
    for _ in 0..ROUNDS {
        detour.here.push(cost(&stage, owner, shard, orders).await?);
        detour.there.push(cost(&stage, other, shard, orders).await?);
    }
    let ratio = |of: fn(&OrderCost) -> f64| {
        let mut ratios: Vec<_> =
            detour.here.iter().zip(&detour.there).map(|(here, there)| of(there) / of(here)).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let nodes_ratio = ratio(|cost| cost.nodes_us);
    let with_servers_ratio = ratio(|cost| cost.nodes_us + cost.servers_us);
    Ok(Detour { nodes_ratio, with_servers_ratio, ..detour })
}

/// Sells `orders` of a SKU of `shard` at node `at`.
async fn cost(stage: &Stage, at: usize, shard: ShardId, orders: u64) -> anyhow::Result<OrderCost> {
    let (house, shop) = (&stage.house, stage.house.shop(at));
    let running = house.running().into_iter();
    let nodes: Vec<u32> = running.map(|index| house.pid(index)).collect::<anyhow::Result<_>>()?;
    let servers: Vec<u32> =
        (0..house.nats.count()).map(|index| house.nats.process(index)).collect::<anyhow::Result<_>>()?;
    let template = OrderTemplate::new(shop.target(), stage.crowd.sku(shard)?, &fresh_run()?);
    let plan = Plan {
        address: shop.target().address(),
        connections: CUSTOMERS,
        until: Until::Requests(orders),
        rate: None,
        patience: Patience::None,
        grace: Duration::ZERO,
    };
    let ledger = Arc::new(Ledger::default());
    let before = [processor::used(&nodes), processor::used(&servers)];
    crowd::run(plan, |_| PassingShopper { orders: template.clone().into() }, Arc::clone(&ledger)).await;
    sleep(AFTERWARDS).await;
    let after = [processor::used(&nodes), processor::used(&servers)];
    let tally = ledger.tally();
    ensure!(tally.sold == orders, "{} of {orders} orders were acknowledged: {:?}", tally.sold, tally.first_failure);
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let micros = |place: usize| after[place].saturating_sub(before[place]).as_secs_f64() * 1e6 / orders as f64;
    Ok(OrderCost { nodes_us: micros(0), servers_us: micros(1) })
}
