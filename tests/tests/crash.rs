//! `kill -9` of the real server under HTTP load, again and again, at random moments and at every named step: every
//! acknowledged order is found again, none is sold twice, and the books add up.

use std::{sync::Arc, time::Duration};

use holdfast_api::{
    demo::{
        audit,
        buyer::{Buyer, Receipts},
    },
    load::{
        crowd::{self, Patience, Plan},
        order::{OrderTemplate, fresh_run},
        pace::Until,
        tally::Ledger,
    },
};
use holdfast_tests::{
    House,
    campaign::{Campaign, Point},
};

/// How often the server is killed, unless the variable `HOLDFAST_CRASH_CYCLES` says otherwise.
const CYCLES: usize = 5;
/// Buyers per cycle.
const BUYERS: u64 = 1_500;
/// Units per cycle: fewer than buyers, so that refusals are in flight too.
const UNITS: u64 = 1_000;
/// Connections of the crowd.
const CONNECTIONS: usize = 32;

fn cycles() -> anyhow::Result<usize> {
    match std::env::var_os("HOLDFAST_CRASH_CYCLES") {
        Some(text) => Ok(text.to_string_lossy().parse()?),
        None => Ok(CYCLES),
    }
}

#[tokio::test]
async fn every_acknowledged_order_survives_kill_9_under_load() -> anyhow::Result<()> {
    let mut house = House::open()?;
    let mut all_receipts = Vec::new();
    let mut slowest = Duration::ZERO;
    let cycles = cycles()?;
    for cycle in 0..cycles {
        let sku = format!("CRASH-{cycle}");
        house.put_up(&sku, UNITS).await?;
        // Another moment of the sale in every cycle.
        let kill_at = 100 + cycle * 175 % 800;
        let (receipts, ledger) = (Receipts::new(kill_at), Arc::new(Ledger::default()));
        let plan = Plan {
            address: house.shop().target().address(),
            connections: CONNECTIONS,
            until: Until::Requests(BUYERS),
            rate: None,
            patience: Patience::Retries,
            grace: Duration::ZERO,
        };
        let orders = OrderTemplate::new(house.shop().target(), &sku, &fresh_run()?);
        let buyer = |_| Buyer { orders: orders.clone(), receipts: Arc::clone(&receipts) };
        let crowd = crowd::run(plan, buyer, Arc::clone(&ledger));
        let crash = async {
            receipts.bell().await;
            house.restart().await
        };
        let (_, restarted) = tokio::time::timeout(Duration::from_mins(2), async { tokio::join!(crowd, crash) }).await?;
        slowest = slowest.max(restarted?);

        let tally = ledger.tally();
        assert_eq!(tally.first_failure, None, "cycle {cycle}");
        assert_eq!((tally.sold, tally.refused), (UNITS, BUYERS - UNITS), "cycle {cycle}");
        let units = house.settled_units(&sku).await?;
        assert!(units.balance(), "cycle {cycle}: {units:?}");
        assert_eq!((units.taken(), units.available), (UNITS, 0), "cycle {cycle}: {units:?}");
        all_receipts.extend(receipts.all());
    }
    house.restart().await?;
    let mut distinct: Vec<_> = all_receipts.iter().map(|receipt| &receipt.id).collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), all_receipts.len(), "an order was acknowledged to two buyers");
    let acknowledged = all_receipts.len() as u64;
    let audit = audit::look_up(house.shop().target(), all_receipts, CONNECTIONS).await;
    println!(
        "{cycles} kills under load and one at rest: {acknowledged} orders acknowledged, {} found again, {} lost; slowest \
         restart {slowest:?}",
        audit.found, audit.lost
    );
    assert_eq!((audit.lost, audit.first_loss), (0, None));
    Ok(())
}

/// One kill at each point of the campaign; `cargo xtask crash --cycles 100` is the long run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_named_step_loses_nothing_and_sells_nothing_twice() -> anyhow::Result<()> {
    let parts = Point::ALL.chunks(Point::ALL.len().div_ceil(4));
    let campaigns = parts.map(|points| async move {
        let campaign = Campaign { points: points.to_vec(), cycles: 1, seed: 1 };
        Ok::<_, anyhow::Error>((points, campaign.run(|_| {}).await?))
    });
    let (mut acknowledged, mut snapshots) = (0, 0);
    for ended in futures_util::future::join_all(campaigns).await {
        let (points, report) = ended?;
        println!("{}", report.summary());
        for point in points {
            assert_eq!(report.kills(point.name()), 1, "{} was not reached", point.name());
        }
        assert_eq!(report.sums().found, report.sums().acknowledged);
        acknowledged += report.sums().acknowledged;
        snapshots += report.snapshots();
    }
    assert!(acknowledged > 0, "nothing was acknowledged");
    assert!(snapshots > 0, "no snapshot was compared with the journal");
    Ok(())
}
