//! Many against one, over HTTP: thousands of buyers of a hundred units, one key fifty times at once, a mailbox that is full.

use std::{sync::Arc, time::Duration};

use anyhow::bail;
use holdfast_api::load::{
    crowd::{self, Patience, Plan, Shopper},
    order::{ORDERS, OrderTemplate, PassingShopper, fresh_run, verdict},
    pace::Until,
    stopwatch::Stopwatch,
    tally::{Ledger, Verdict},
};
use holdfast_core::{ShardCount, SkuId};
use holdfast_tests::{
    House,
    purchase::{order_body, post_order},
    wire::Call,
};
use http_body_util::Full;
use hyper::{Request, StatusCode, body::Bytes};
use serde_json::Value;
use tokio::task::JoinSet;

#[tokio::test]
async fn ten_thousand_buyers_of_a_hundred_units_get_a_hundred_orders_and_clean_refusals() -> anyhow::Result<()> {
    let house = House::open()?;
    house.put_up("RUSH", 100).await?;
    let ledger = Arc::new(Ledger::default());
    let plan = Plan {
        address: house.shop().target().address(),
        connections: 200,
        until: Until::Requests(10_000),
        rate: None,
        patience: Patience::None,
        grace: Duration::ZERO,
    };
    let orders = OrderTemplate::new(house.shop().target(), "RUSH", &fresh_run()?);
    crowd::run(plan, |_| PassingShopper { orders: orders.clone().into() }, Arc::clone(&ledger)).await;
    let tally = ledger.tally();
    let units = house.settled_units("RUSH").await?;
    println!("10,000 buyers, 100 units: {} sold, {} refused, {units:?}", tally.sold, tally.refused);
    assert_eq!((tally.sold, tally.refused, tally.shed, tally.failed), (100, 9_900, 0, 0), "{:?}", tally.first_failure);
    assert_eq!((units.on_hand, units.available, units.allocated), (100, 0, 100));
    Ok(())
}

#[tokio::test]
async fn one_key_fifty_times_in_parallel_is_one_order() -> anyhow::Result<()> {
    let house = House::open()?;
    house.put_up("ONCE", 100).await?;
    let key = fresh_run()?;
    let mut posts = JoinSet::new();
    for _ in 0..50 {
        let (shop, key) = (house.shop().clone(), key.clone());
        posts.spawn(async move { post_order(&shop, &key, &order_body(&[("ONCE", 1)], "tok_approve")).await });
    }
    let (mut ids, mut in_flight) = (Vec::new(), 0);
    for answer in posts.join_all().await {
        let answer = answer?;
        let kind = answer.body.get("type").and_then(Value::as_str).unwrap_or_default();
        match answer.status {
            StatusCode::CREATED | StatusCode::OK => ids.push(answer.body.get("id").cloned()),
            StatusCode::CONFLICT if kind.ends_with("/idempotency-key-in-flight") => in_flight += 1,
            status => panic!("{status}: {}", answer.body),
        }
    }
    let acknowledged = ids.len();
    ids.dedup();
    println!("one key, 50 requests: {acknowledged} answered with the order, {in_flight} told that it is under way");
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(house.settled_units("ONCE").await?.taken(), 1);

    let other = post_order(house.shop(), &key, &order_body(&[("ONCE", 2)], "tok_approve")).await?;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", other.body);
    assert_eq!(house.settled_units("ONCE").await?.taken(), 1, "a refused request left a trace");
    Ok(())
}

/// Books how long each refusal for overload took, from the moment it was sent.
struct Stormer {
    orders: OrderTemplate,
    sent: Stopwatch,
    sheds: Arc<Ledger>,
}

impl Shopper for Stormer {
    fn request(&mut self, number: u64) -> Request<Full<Bytes>> {
        self.sent = Stopwatch::start();
        self.orders.request(number)
    }

    fn judge(&mut self, _number: u64, status: StatusCode, body: &[u8]) -> Verdict {
        let verdict = verdict(status, body);
        if verdict == Verdict::Shed {
            self.sheds.answered(verdict, self.sent.micros_since(Duration::ZERO));
        }
        verdict
    }
}

/// Whoever is refused learns from the header when to come back: it is what proxies and HTTP clients read, and none of them reads
/// our body. So many ask at once that a mailbox of two is full, and again until one was refused. How many orders that made.
async fn a_refusal_says_when_to_come_back(house: &House, sku: &str) -> anyhow::Result<u64> {
    const AT_ONCE: usize = 32;
    let (address, body) = (house.shop().target().address(), order_body(&[(sku, 1)], "tok_approve"));
    let (mut sold, watch) = (0, Stopwatch::start());
    while watch.elapsed() < Duration::from_mins(2) {
        let mut posts = JoinSet::new();
        for _ in 0..AT_ONCE {
            let call = Call::new("POST", ORDERS).header("idempotency-key", &fresh_run()?).json(&body);
            posts.spawn(async move { call.send(address).await });
        }
        let mut refused = Vec::new();
        for answer in posts.join_all().await {
            let answer = answer?;
            if answer.status == 201 { sold += 1 } else { refused.push(answer) }
        }
        for refusal in &refused {
            assert_eq!((refusal.status, refusal.problem()), (503, "overloaded"), "{refusal:?}");
            let seconds = refusal.header("retry-after").and_then(|value| value.parse::<u64>().ok());
            let millis = refusal.number("/retry_after_ms").filter(|millis| *millis > 0);
            assert!(seconds.is_some() && seconds == millis.map(|millis| millis.div_ceil(1_000)), "{refusal:?}");
        }
        if !refused.is_empty() {
            return Ok(sold);
        }
    }
    bail!("of {sold} orders, {AT_ONCE} at once, none was refused")
}

#[tokio::test]
async fn a_full_mailbox_sheds_at_once_and_leaves_other_shards_alone() -> anyhow::Result<()> {
    // Two permits per shard: the third request that waits is one too many.
    let house = House::with_settings(&[("RUNTIME__MAILBOX_PERMITS", "2"), ("STORE__SHARDS", "16")])?;
    let shards = ShardCount::new(16)?;
    let shard = |sku: &str| anyhow::Ok(shards.shard_of(SkuId::parse(sku)?.slot()));
    assert_ne!(shard("HOT")?, shard("QUIET-1")?, "the test needs two shards");
    for sku in ["HOT", "QUIET-1"] {
        house.put_up(sku, 1_000_000).await?;
    }
    let sheds = Arc::new(Ledger::default());
    let ledger = Arc::new(Ledger::default());
    let plan = Plan {
        address: house.shop().target().address(),
        // Few, so that what a refusal takes is not the time until this crowd's other requests have had the processor.
        connections: 8,
        until: Until::Elapsed(Duration::from_secs(2)),
        rate: None,
        patience: Patience::None,
        grace: Duration::from_secs(5),
    };
    let orders = OrderTemplate::new(house.shop().target(), "HOT", &fresh_run()?);
    let stormer = |_| Stormer { orders: orders.clone(), sent: Stopwatch::start(), sheds: Arc::clone(&sheds) };
    let storm = crowd::run(plan, stormer, Arc::clone(&ledger));
    let quiet = async {
        let (mut slowest, mut bought) = (Duration::ZERO, 0_u32);
        let body = order_body(&[("QUIET-1", 1)], "tok_approve");
        let storm = Stopwatch::start();
        while storm.elapsed() < Duration::from_millis(1_800) {
            let watch = Stopwatch::start();
            let answer = post_order(house.shop(), &fresh_run()?, &body).await?;
            assert_eq!(answer.status, StatusCode::CREATED, "the quiet shard refused: {}", answer.body);
            (slowest, bought) = (slowest.max(watch.elapsed()), bought + 1);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok((slowest, bought))
    };
    let (_, quiet) = tokio::join!(storm, quiet);
    let (slowest, bought) = quiet?;
    let (tally, shed) = (ledger.tally(), sheds.tally().percentiles());
    println!(
        "hot shard: {} sold, {} shed, a 503 took {:.2} ms at best, {:.2} ms in the median; quiet shard: {bought} orders, \
         slowest {slowest:?}",
        tally.sold, tally.shed, shed.min_ms, shed.p50_ms
    );
    // The crowd, the server and the test share the cores, so some answers wait for a core; none waits for the shard.
    assert!(shed.min_ms <= 5.0, "even the quickest refusal took {:.2} ms", shed.min_ms);
    assert_eq!(tally.failed, 0, "{:?}", tally.first_failure);
    assert!(tally.shed > 0 && tally.sold > 0, "sold {}, shed {}", tally.sold, tally.shed);
    let sold = tally.sold + a_refusal_says_when_to_come_back(&house, "HOT").await?;
    let units = house.settled_units("HOT").await?;
    assert_eq!(units.taken(), sold, "a shed request left a trace: {units:?}");
    Ok(())
}
