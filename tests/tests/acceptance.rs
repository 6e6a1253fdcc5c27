//! Acceptance tests named after what buyers of other systems met, over HTTP.

use std::time::Duration;

use anyhow::Context as _;
use holdfast_api::load::{
    order::{ORDERS, fresh_run},
    shop::Answer,
    stopwatch::Stopwatch,
};
use holdfast_tests::{
    House, gateway_book,
    purchase::{Purchase, buy, order_body, post_order},
};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// A cart with these lines, as its token.
async fn cart_with(house: &House, lines: &[(&str, u32)]) -> anyhow::Result<String> {
    let cart = house.shop().call(Method::POST, "/api/v1/cart", None, &[], None).await?;
    let cart = cart.expect("a cart", &[StatusCode::CREATED])?;
    let token = cart.body["token"].as_str().unwrap_or_default().to_owned();
    for (sku, quantity) in lines {
        let item = json!({ "sku": sku, "quantity": quantity });
        let headers = [("x-cart-token", token.as_str())];
        let added = house.shop().call(Method::POST, "/api/v1/cart/items", None, &headers, Some(&item)).await?;
        added.expect("an item", &[StatusCode::OK, StatusCode::CREATED])?;
    }
    Ok(token)
}

async fn order_cart(house: &House, cart: &str) -> anyhow::Result<Answer> {
    let body = json!({ "cart": cart, "payment": { "token": "tok_approve" } });
    post_order(house.shop(), &fresh_run()?, &body).await
}

async fn orders_of(house: &House, sku: &str) -> anyhow::Result<usize> {
    let answer = house.shop().admin_call(Method::GET, &format!("{ORDERS}?sku={sku}"), None).await?;
    let answer = answer.expect("the orders", &[StatusCode::OK])?;
    Ok(answer.body["items"].as_array().map_or(0, Vec::len))
}

fn problem(answer: &Answer) -> &str {
    answer.body["type"].as_str().and_then(|kind| kind.rsplit('/').next()).unwrap_or_default()
}

/// medusa #16502: two lines of one SKU were checked against the stock one by one.
#[tokio::test]
async fn two_cart_lines_of_one_sku_count_together() -> anyhow::Result<()> {
    let house = House::open()?;
    house.put_up("TWICE", 3).await?;
    let too_many = cart_with(&house, &[("TWICE", 2), ("TWICE", 2)]).await?;
    let refused = order_cart(&house, &too_many).await?;
    assert_eq!((refused.status, problem(&refused)), (StatusCode::CONFLICT, "insufficient-stock"), "{}", refused.body);
    assert_eq!(house.shop().units("TWICE").await?.taken(), 0, "a refused order left a trace");

    let just_right = cart_with(&house, &[("TWICE", 2), ("TWICE", 1)]).await?;
    let placed = order_cart(&house, &just_right).await?;
    assert_eq!(placed.status, StatusCode::CREATED, "{}", placed.body);
    let quantities: u64 =
        placed.body["lines"].as_array().into_iter().flatten().filter_map(|l| l["quantity"].as_u64()).sum();
    assert_eq!(quantities, 3, "{}", placed.body);
    assert_eq!(house.settled_units("TWICE").await?.allocated, 3);
    Ok(())
}

/// medusa #16825: two orders took the last unit, and one of them was an orphan.
#[tokio::test]
async fn of_two_orders_for_the_last_unit_one_is_placed_and_the_other_leaves_nothing() -> anyhow::Result<()> {
    let house = House::open()?;
    for round in 0..20 {
        let sku = format!("LAST-{round}");
        house.put_up(&sku, 1).await?;
        let body = order_body(&[(&sku, 1)], "tok_approve");
        let (one, other) = (fresh_run()?, fresh_run()?);
        let (one, other) = tokio::join!(post_order(house.shop(), &one, &body), post_order(house.shop(), &other, &body));
        let mut statuses = [one?.status, other?.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [StatusCode::CREATED, StatusCode::CONFLICT], "round {round}");
        assert_eq!(orders_of(&house, &sku).await?, 1, "round {round}");
        let units = house.settled_units(&sku).await?;
        assert_eq!((units.available, units.allocated), (0, 1), "round {round}");
    }
    Ok(())
}

/// medusa #16466: a retried capture went out under another key, and the buyer paid twice.
#[tokio::test]
async fn a_capture_that_timed_out_after_the_fact_is_captured_once() -> anyhow::Result<()> {
    let settings = [
        ("PAYMENTS__ATTEMPT_TIMEOUT_MS", "200"),
        ("PAYMENTS__RETRY_INITIAL_MS", "20"),
        ("PAYMENTS__SANDBOX__BOOK", "sandbox.book"),
    ];
    let house = House::with_settings(&settings)?;
    house.put_up("CAPTURE", 1).await?;
    let purchase = buy(house.shop(), &[("CAPTURE", 1)], "tok_capture_timeout_after").await?;
    purchase.settled(house.shop(), &["confirmed"]).await?;
    let path = format!("{ORDERS}/{}/status", purchase.id);
    let shipped = house.shop().admin_call(Method::PUT, &path, Some(&json!({ "status": "shipped" }))).await?;
    shipped.expect("shipping", &[StatusCode::OK])?;
    let watch = Stopwatch::start();
    let mut order = purchase.read(house.shop()).await?;
    while order["payment"]["status"] != "captured" && watch.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        order = purchase.read(house.shop()).await?;
    }
    assert_eq!(order["payment"]["status"], "captured", "{order}");
    assert_eq!(order["payment"]["captured"], order["total"], "{order}");
    assert_eq!(order["payment"]["refunded"]["amount_minor"], 0, "{order}");
    // The order says what it was told; only the gateway knows how often it took the money.
    let gateway = gateway_book::read(&house.folder().join("sandbox.book"))?;
    let wrong = gateway.ledger().violations();
    assert!(wrong.is_empty(), "money went wrong at the gateway: {wrong:?}");
    let account = gateway.ledger().order(purchase.id.parse()?).context("the gateway never heard of the order")?;
    assert_eq!((account.authorizations, account.captures), (1, 1), "{account:?}");
    assert_eq!(order["payment"]["captured"]["amount_minor"], account.captured, "{account:?}");
    assert!(account.calls > 2, "nothing timed out, and the capture was asked for once only: {account:?}");
    Ok(())
}

/// medusa #13301: the payment went through while the units went to somebody else.
#[tokio::test]
async fn a_payment_that_comes_after_the_hold_is_let_go_and_the_units_are_for_sale() -> anyhow::Result<()> {
    let house = House::with_settings(&[("RUNTIME__HOLD_TTL_MS", "500"), ("PAYMENTS__SANDBOX__LATE_MS", "1500")])?;
    house.put_up("LATE", 1).await?;
    let late = buy(house.shop(), &[("LATE", 1)], "tok_late").await?;
    let order = late.settled(house.shop(), &["expired", "canceled"]).await?;
    assert_eq!(house.shop().units("LATE").await?.available, 1, "{order}");
    let second = buy(house.shop(), &[("LATE", 1)], "tok_approve").await?;
    second.settled(house.shop(), &["confirmed"]).await?;
    let watch = Stopwatch::start();
    let mut order = late.read(house.shop()).await?;
    while order["payment"]["status"] != "voided" && watch.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        order = late.read(house.shop()).await?;
    }
    assert_eq!(order["payment"]["status"], "voided", "neither kept nor charged: {order}");
    assert_eq!(order["payment"]["captured"]["amount_minor"], 0, "{order}");
    let units = house.settled_units("LATE").await?;
    assert_eq!((units.allocated, units.available), (1, 0));
    Ok(())
}

/// saleor #10877: the in-stock filter showed what others already held.
#[tokio::test]
async fn a_product_whose_last_unit_is_held_is_not_in_stock() -> anyhow::Result<()> {
    let house = House::open()?;
    house.put_up("HELD", 1).await?;
    house.put_up("FREE", 1).await?;
    buy(house.shop(), &[("HELD", 1)], "tok_never").await?;
    let skus = async |filter: &str| {
        let path = format!("/api/v1/products?in_stock={filter}");
        let page = house.shop().admin_call(Method::GET, &path, None).await?.expect(&path, &[StatusCode::OK])?;
        let items = page.body["items"].as_array().cloned().unwrap_or_default();
        anyhow::Ok(items.into_iter().map(|item| item["sku"].clone()).collect::<Vec<Value>>())
    };
    assert_eq!(skus("true").await?, ["FREE"]);
    assert_eq!(skus("false").await?, ["HELD"]);
    Ok(())
}

/// saleor #14885: checkout and payment took two locks in opposite order and waited for each other for good.
#[tokio::test]
async fn orders_over_the_same_skus_in_opposite_order_never_wait_for_each_other() -> anyhow::Result<()> {
    let house = House::open()?;
    let skus = ["LOCK-A", "LOCK-B", "LOCK-C"];
    for sku in skus {
        house.put_up(sku, 1_000).await?;
    }
    let mut orders = JoinSet::new();
    for number in 0..300_usize {
        let shop = house.shop().clone();
        let [one, other] = [number % 3, (number + 1 + number / 3 % 2) % 3].map(|place| skus[place]);
        orders.spawn(async move {
            let watch = Stopwatch::start();
            let purchase = buy(&shop, &[(one, 1), (other, 1)], "tok_approve").await?;
            anyhow::Ok((purchase, watch.elapsed()))
        });
    }
    let (mut purchases, mut slowest): (Vec<Purchase>, _) = (Vec::new(), Duration::ZERO);
    for order in orders.join_all().await {
        let (purchase, took) = order?;
        purchases.push(purchase);
        slowest = slowest.max(took);
    }
    for purchase in &purchases {
        purchase.settled(house.shop(), &["confirmed"]).await?;
    }
    let mut allocated = 0;
    for sku in skus {
        let units = house.settled_units(sku).await?;
        assert!(units.balance(), "{sku}: {units:?}");
        allocated += units.allocated;
    }
    println!("{} crossing orders, slowest {slowest:?}", purchases.len());
    assert_eq!(allocated, 600);
    assert!(slowest < Duration::from_secs(10), "an order waited {slowest:?}");
    Ok(())
}

/// vendure #3509: units of an order that was never paid stayed held for good.
#[tokio::test]
async fn a_hold_that_is_never_paid_for_lapses_within_a_second_of_its_deadline() -> anyhow::Result<()> {
    let house = House::with_settings(&[("RUNTIME__HOLD_TTL_MS", "1000")])?;
    house.put_up("NEVER", 1).await?;
    let watch = Stopwatch::start();
    let purchase = buy(house.shop(), &[("NEVER", 1)], "tok_never").await?;
    assert_eq!(house.shop().units("NEVER").await?.held, 1);
    while house.shop().units("NEVER").await?.available == 0 && watch.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = watch.elapsed();
    println!("a hold of 1 s lapsed after {took:?}");
    assert!(took >= Duration::from_secs(1) && took < Duration::from_millis(2_200), "lapsed after {took:?}");
    purchase.settled(house.shop(), &["expired"]).await?;
    Ok(())
}
