//! A disk that fails, is full or is slow under the real server: nothing is acknowledged
//! that is not on disk, and the next start finds everything that was.
#![expect(clippy::print_stdout, reason = "a test prints its figures")]

use std::{sync::Arc, time::Duration};

use holdfast_api::{
    demo::{
        audit,
        buyer::{Buyer, Receipt, Receipts},
    },
    load::{
        crowd::{self, Patience, Plan},
        order::{OrderTemplate, fresh_run},
        pace::Until,
        tally::{Ledger, Tally},
    },
};
use holdfast_tests::{
    House,
    fault::{Layer, Rule, RuleCall},
    purchase::{buy, order_body, post_order},
};
use hyper::StatusCode;

/// Every segment that has its name.
const SEGMENTS: &str = "journal/segment-*.journal";
/// How long a server that has failed may take to leave.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server with a layer around it and these rules, not armed yet.
fn house_with(settings: &[(&str, &str)], rules: &[Rule]) -> anyhow::Result<(House, Layer)> {
    let mut layer = None;
    let house = House::launched(settings, |folder, launch| {
        let made = Layer::new(&folder.join("data"), folder)?;
        made.surround(launch, rules);
        layer = Some(made);
        Ok(())
    })?;
    let layer = layer.ok_or_else(|| anyhow::anyhow!("no layer"))?;
    layer.assert_active()?;
    Ok((house, layer))
}

/// A crowd's orders of one unit of `sku`, its receipts and what else it was answered.
async fn sell(house: &House, sku: &str, plan: Plan) -> anyhow::Result<(Vec<Receipt>, Tally)> {
    let (receipts, ledger) = (Receipts::new(usize::MAX), Arc::new(Ledger::default()));
    let orders = OrderTemplate::new(house.shop().target(), sku, &fresh_run()?);
    let buyer = |_| Buyer { orders: orders.clone(), receipts: Arc::clone(&receipts) };
    crowd::run(plan, buyer, Arc::clone(&ledger)).await;
    Ok((receipts.all(), ledger.tally()))
}

fn plan(house: &House, until: Until, rate: Option<f64>, connections: usize) -> Plan {
    let (address, grace) = (house.shop().target().address(), Duration::from_secs(15));
    Plan { address, connections, until, rate, patience: Patience::None, grace }
}

/// Lets the journal fail under load: nothing more is acknowledged, the process leaves, and the next one has everything.
async fn fails_and_comes_back(rule: Rule, said: &str) -> anyhow::Result<()> {
    let (mut house, layer) = house_with(&[], &[rule])?;
    house.put_up("FAIL", 100_000).await?;
    let (mut receipts, before) = sell(&house, "FAIL", plan(&house, Until::Requests(200), None, 16)).await?;
    assert_eq!((before.sold, before.failed), (200, 0), "{:?}", before.first_failure);

    layer.panel().arm()?;
    let (late, during) = sell(&house, "FAIL", plan(&house, Until::Requests(64), None, 16)).await?;
    assert!(layer.panel().fired(0)? > 0, "the journal did not fail");
    assert_eq!(during.sold, 0, "{} orders were acknowledged by a journal that had failed", late.len());
    let status = house.left(PATIENCE).await?.ok_or_else(|| anyhow::anyhow!("the server did not leave"))?;
    assert_eq!(status.code(), Some(1), "{status}");
    let log = std::fs::read_to_string(house.folder().join("server.log"))?;
    assert!(log.contains(said), "nothing in the log says {said:?}: {log}");

    Layer::take_off(house.launch_mut());
    let restarted = house.restart().await?;
    let again = buy(house.shop(), &[("FAIL", 1)], "tok_approve").await?;
    receipts.push(Receipt { id: again.id, buyer_token: again.token });
    let acknowledged = receipts.len() as u64;
    let units = house.settled_units("FAIL").await?;
    // What was written and never acknowledged may be there too: at most what was asked for.
    assert!(units.balance() && (acknowledged..=acknowledged + 64).contains(&units.taken()), "{units:?}");
    let audit = audit::look_up(house.shop().target(), receipts, 16).await;
    println!("{said}: {acknowledged} acknowledged, {} found, restart {restarted:?}", audit.found);
    assert_eq!((audit.lost, audit.first_loss), (0, None));
    Ok(())
}

/// After a failed sync nobody knows what is on disk, and a second one says nothing.
#[tokio::test]
async fn a_sync_that_fails_acknowledges_nothing_ends_the_process_and_the_next_start_is_clean() -> anyhow::Result<()> {
    fails_and_comes_back(Rule::io_error(RuleCall::Sync, SEGMENTS).nth(1), "cannot sync").await
}

#[tokio::test]
async fn a_write_that_fails_acknowledges_nothing_ends_the_process_and_the_next_start_is_clean() -> anyhow::Result<()> {
    fails_and_comes_back(Rule::io_error(RuleCall::Write, SEGMENTS), "cannot write").await
}

/// The room that was reserved is not there after all, as on a disk that copies on write.
#[tokio::test]
async fn a_reserved_write_without_room_is_a_fault_like_any_other() -> anyhow::Result<()> {
    fails_and_comes_back(Rule::no_space(RuleCall::Write, SEGMENTS), "cannot write").await
}

/// Snapshots only shorten a recovery: a disk that has no room for them costs nothing else.
#[tokio::test]
async fn snapshots_without_room_stop_no_sale_and_lose_nothing() -> anyhow::Result<()> {
    let settings = [("RUNTIME__CHECKPOINT_RECORDS", "50"), ("STORE__SHARDS", "1")];
    let (mut house, layer) = house_with(&settings, &[Rule::no_space(RuleCall::Write, "snapshots/*")])?;
    house.put_up("NOSNAP", 100_000).await?;
    layer.panel().arm()?;
    let (receipts, tally) = sell(&house, "NOSNAP", plan(&house, Until::Requests(400), None, 16)).await?;
    assert_eq!((tally.sold, tally.failed), (400, 0), "{:?}", tally.first_failure);
    assert!(layer.panel().fired(0)? > 0, "no snapshot was written");
    Layer::take_off(house.launch_mut());
    house.restart().await?;
    let units = house.settled_units("NOSNAP").await?;
    assert!(units.balance() && units.taken() == 400, "{units:?}");
    let audit = audit::look_up(house.shop().target(), receipts, 16).await;
    assert_eq!((audit.lost, audit.first_loss), (0, None));
    Ok(())
}

/// A disk that is slow is no fault: it makes the queue long.
#[tokio::test]
async fn with_syncs_of_half_a_second_it_sheds_and_answers_what_it_took_in_within_the_deadline() -> anyhow::Result<()> {
    let slow = Rule::delay(RuleCall::Sync, SEGMENTS, Duration::from_millis(500));
    let (house, layer) = house_with(&[("RUNTIME__MAILBOX_PERMITS", "32")], &[slow])?;
    house.put_up("SLOW", 100_000).await?;
    layer.panel().arm()?;
    let plan = plan(&house, Until::Elapsed(Duration::from_secs(4)), Some(300.0), 256);
    let (receipts, tally) = sell(&house, "SLOW", plan).await?;
    let times = tally.percentiles();
    println!(
        "syncs of 500 ms: {} sold, {} shed, p50 {} ms, max {} ms, {} slow syncs",
        tally.sold,
        tally.shed,
        times.p50_ms,
        times.max_ms,
        layer.panel().fired(0)?
    );
    assert!(layer.panel().fired(0)? > 1, "no sync was slow");
    assert!(tally.sold > 0 && tally.shed > 0, "{} sold, {} shed", tally.sold, tally.shed);
    assert_eq!(tally.failed, 0, "{:?}", tally.first_failure);
    assert!(times.max_ms < 10_000.0, "an answer took {} ms, the deadline is 10 s", times.max_ms);
    layer.panel().disarm()?;
    let units = house.settled_units("SLOW").await?;
    assert!(units.balance() && units.taken() == tally.sold && receipts.len() as u64 == tally.sold, "{units:?}");
    let late = post_order(house.shop(), &fresh_run()?, &order_body(&[("SLOW", 1)], "tok_approve")).await?;
    assert_eq!(late.status, StatusCode::CREATED, "{}", late.body);
    Ok(())
}
