//! SIGTERM under load (fault matrix, row 35): the server drains within ten seconds, leaves with code 0, and keeps every
//! promise it made.

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
        stopwatch::Stopwatch,
        tally::Ledger,
    },
};
use holdfast_tests::House;

/// The promise.
const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn sigterm_under_load_drains_within_ten_seconds_and_loses_nothing() -> anyhow::Result<()> {
    let mut house = House::open()?;
    house.put_up("DRAIN", 1_000_000).await?;
    let (receipts, ledger) = (Receipts::new(500), Arc::new(Ledger::default()));
    let plan = Plan {
        address: house.shop().target().address(),
        connections: 32,
        until: Until::Elapsed(Duration::from_secs(3)),
        rate: None,
        patience: Patience::None,
        grace: Duration::from_secs(2),
    };
    let orders = OrderTemplate::new(house.shop().target(), "DRAIN", &fresh_run()?);
    let buyer = |_| Buyer { orders: orders.clone(), receipts: Arc::clone(&receipts) };
    let crowd = crowd::run(plan, buyer, Arc::clone(&ledger));
    let stop = async {
        receipts.bell().await;
        let watch = Stopwatch::start();
        let left = house.terminate(LIMIT).await;
        left.map(|status| (status, watch.elapsed()))
    };
    let (_, stopped) = tokio::join!(crowd, stop);
    let (status, took) = stopped?;
    let status = status.ok_or_else(|| anyhow::anyhow!("the server did not leave within {LIMIT:?}"))?;
    assert!(status.success(), "the server left with {status}");

    house.restart().await?;
    let acknowledged = receipts.len() as u64;
    let units = house.settled_units("DRAIN").await?;
    let audit = audit::look_up(house.shop().target(), receipts.all(), 32).await;
    println!("drained in {took:?} under load; {acknowledged} orders acknowledged, {} found again", audit.found);
    assert_eq!((audit.lost, audit.first_loss), (0, None));
    assert!(units.balance() && units.taken() >= acknowledged, "{units:?}");
    Ok(())
}
