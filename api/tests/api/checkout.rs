//! Placing an order: what is sold, what is refused, and what a retry gets.

use insta::assert_json_snapshot;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::shop::{ADMIN, Shop, key, order_of, text};

#[tokio::test]
async fn an_order_is_placed_and_a_retry_gets_the_same_answer() {
    let shop = Shop::open().await;
    shop.stock("A", 10).await;
    let placed = shop.order("A", 2, &key("placed")).await;
    let body = placed.expect(201);
    assert_json_snapshot!("order_placed", body, {
        ".id" => "[order]", ".placed_at" => "[instant]", ".expires_at" => "[instant]", ".buyer_token" => "[token]"
    });
    assert_eq!(placed.header("location"), format!("/api/v1/orders/{}", text(&body["id"])));
    assert!(!placed.headers.contains_key("idempotency-replayed"));
    shop.wait_for(text(&body["id"]), "confirmed").await;

    let quoted = shop.post("/orders").key(&format!("\"{}\"", key("placed"))).json(&order_of("A", 2)).send().await;
    assert_eq!((quoted.status, &quoted.body), (201, &placed.body), "byte for byte, though the order has moved on");
    assert_eq!(quoted.header("idempotency-replayed"), "true");
    let other = shop.order("A", 3, &key("placed")).await;
    assert_json_snapshot!("problem_key_reused", other.problem("idempotency-key-reused"));
    assert_eq!(shop.level("A").await["available"], 8);
    shop.close().await;
}

#[tokio::test]
async fn a_key_is_required_and_has_to_be_one() {
    let shop = Shop::open().await;
    shop.stock("A", 10).await;
    let order = || shop.post("/orders").json(&order_of("A", 1));
    order().send().await.problem("idempotency-key-missing");
    order().key("short").send().await.problem("idempotency-key-malformed");
    order().key("with a space in it").send().await.problem("idempotency-key-malformed");
    order().key(&key("a")).key(&key("b")).send().await.problem("idempotency-key-malformed");
    order().key(&key("c")).header("if-match", "no tag").send().await.problem("invalid-header");
    assert_eq!(shop.level("A").await["available"], 10);
    shop.close().await;
}

/// A client that retries before it was answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_fifty_times_in_parallel_makes_one_order() {
    let shop = Shop::open().await;
    shop.stock("A", 100).await;
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        calls.spawn(shop.post("/orders").key(&key("fifty")).json(&order_of("A", 1)).send());
    }
    let replies = calls.join_all().await;
    let (placed, in_flight): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 201);
    assert!(!placed.is_empty());
    assert!(placed.iter().all(|reply| reply.body == placed[0].body), "one order, one answer");
    assert_eq!(placed.iter().filter(|reply| !reply.headers.contains_key("idempotency-replayed")).count(), 1);
    for reply in in_flight {
        reply.problem("idempotency-key-in-flight");
    }
    assert_eq!(shop.order("A", 1, &key("fifty")).await.body, placed[0].body);
    shop.order("A", 2, &key("fifty")).await.problem("idempotency-key-reused");
    let level = shop.level("A").await;
    assert_eq!(level["available"], 99);
    println!("one key: 50 calls, {} answered 201, 1 order", placed.len());
    shop.close().await;
}

#[tokio::test]
async fn a_sold_out_product_is_refused_and_nothing_is_held() {
    let shop = Shop::open().await;
    shop.stock("A", 3).await;
    let more = shop.order("A", 4, &key("more")).await;
    assert_json_snapshot!("problem_insufficient_stock", more.problem("insufficient-stock"));
    shop.order("A", 3, &key("all")).await.expect(201);
    let none = shop.order("A", 1, &key("none")).await;
    assert_json_snapshot!("problem_sold_out", none.problem("insufficient-stock"));
    assert_eq!(shop.level("A").await["on_hand"], 3);
    shop.close().await;
}

#[tokio::test]
async fn an_order_is_all_or_nothing_over_several_products() {
    let shop = Shop::open().await;
    for sku in ["A", "B", "C", "D", "E"] {
        shop.stock(sku, 5).await;
    }
    let lines = |last: u64| {
        json!({"payment": {"token": "tok_approve"}, "lines": [
            {"sku": "A", "quantity": 1}, {"sku": "B", "quantity": 2}, {"sku": "C", "quantity": 1},
            {"sku": "D", "quantity": 1}, {"sku": "E", "quantity": last}]})
    };
    let refused = shop.post("/orders").key(&key("several")).json(&lines(6)).send().await.problem("insufficient-stock");
    assert_eq!(refused["sku"], "E");
    let placed = shop.post("/orders").key(&key("several-good")).json(&lines(5)).send().await.expect(201);
    assert_eq!(placed["total"]["amount_minor"], 1999 * 10);
    shop.wait_for(text(&placed["id"]), "confirmed").await;
    for (sku, available) in [("A", 4), ("B", 3), ("C", 4), ("D", 4), ("E", 0)] {
        assert_eq!(shop.level(sku).await["available"], available, "{sku}");
    }
    shop.close().await;
}

#[tokio::test]
async fn an_order_in_two_currencies_and_one_beyond_counting_are_told_apart() {
    let shop = Shop::open().await;
    let most = json!({"amount_minor": i64::MAX, "currency": "EUR"});
    shop.sell(json!({"sku": "DEAR", "units": 5, "price": most})).await;
    shop.sell(json!({"sku": "ALSO-DEAR", "units": 5, "price": most})).await;
    shop.sell(json!({"sku": "DOLLARS", "units": 5, "price": {"amount_minor": 1, "currency": "USD"}})).await;
    let refused = async |lines: Value, name: &str| {
        let body = json!({"payment": {"token": "tok_approve"}, "lines": lines});
        let problem = shop.post("/orders").key(&key(name)).json(&body).send().await.problem("invalid-request");
        assert_eq!(problem["errors"][0]["field"], "/lines");
        text(&problem["errors"][0]["detail"]).to_owned()
    };
    let mixed = refused(json!([{"sku": "DEAR", "quantity": 1}, {"sku": "DOLLARS", "quantity": 1}]), "mixed").await;
    assert!(mixed.contains("in one currency"), "{mixed}");
    let line = refused(json!([{"sku": "DEAR", "quantity": 2}]), "a-line").await;
    let sum = refused(json!([{"sku": "DEAR", "quantity": 1}, {"sku": "ALSO-DEAR", "quantity": 1}]), "the-sum").await;
    assert!(line.contains("more than can be counted") && sum == line, "{line}; {sum}");
    shop.close().await;
}

#[tokio::test]
async fn two_lines_of_one_product_are_one_line() {
    let shop = Shop::open().await;
    shop.stock("A", 3).await;
    let lines = |first: u64, second: u64| {
        json!({"payment": {"token": "tok_approve"},
            "lines": [{"sku": "A", "quantity": first}, {"sku": "A", "quantity": second}]})
    };
    let refused = shop.post("/orders").key(&key("two-a")).json(&lines(2, 2)).send().await.problem("insufficient-stock");
    assert_eq!((&refused["requested"], &refused["available"]), (&json!(4), &json!(3)));
    let placed = shop.post("/orders").key(&key("two-b")).json(&lines(1, 2)).send().await.expect(201);
    assert_eq!(placed["lines"].as_array().map(Vec::len), Some(1));
    assert_eq!(placed["lines"][0]["quantity"], 3);
    let many = shop.post("/orders").key(&key("two-c")).json(&lines(1_000_000, 1)).send().await;
    assert_eq!(many.problem("invalid-request")["errors"][0]["field"], "/lines");
    shop.close().await;
}

#[tokio::test]
async fn the_sale_policy_is_kept_and_named() {
    let shop = Shop::open().await;
    shop.sell(json!({"sku": "SOON", "units": 5, "sale": {"opens_at": "2126-01-01T00:00:00Z"}})).await;
    shop.sell(json!({"sku": "OVER", "units": 5, "sale": {"closes_at": "2020-01-01T00:00:00Z"}})).await;
    shop.sell(json!({"sku": "FEW", "units": 9, "sale": {"per_order_limit": 2, "per_customer_limit": 3}})).await;
    let soon = shop.order("SOON", 1, &key("soon")).await.problem("sale-not-open");
    assert_eq!(soon["opens_at"], "2126-01-01T00:00:00.000Z");
    shop.order("OVER", 1, &key("over")).await.problem("sale-closed");
    let order = async |quantity: u64, customer: Value, name: &str| {
        let mut body = order_of("FEW", quantity);
        body["customer"] = customer;
        shop.post("/orders").key(&key(name)).json(&body).send().await
    };
    assert_eq!(order(3, json!("c-1"), "few-a").await.problem("order-limit")["limit"], 2);
    let nobody = order(1, Value::Null, "few-b").await.problem("invalid-request");
    assert_eq!(nobody["errors"][0]["field"], "/customer");
    order(2, json!("c-1"), "few-c").await.expect(201);
    let over = order(2, json!("c-1"), "few-d").await;
    assert_json_snapshot!("problem_customer_limit", over.problem("customer-limit"));
    order(2, json!("c-2"), "few-e").await.expect(201);
    assert_eq!(shop.level("FEW").await["available"], 5);
    shop.close().await;
}

#[tokio::test]
async fn what_an_order_cannot_be_made_of_is_refused_by_field() {
    let shop = Shop::open_with(|settings| settings.limits.order_lines = 2).await;
    shop.stock("A", 10).await;
    shop.sell(json!({"sku": "YEN", "units": 5, "price": {"amount_minor": 1, "currency": "JPY"}})).await;
    shop.sell(json!({"sku": "DEAR", "units": 5, "price": {"amount_minor": i64::MAX, "currency": "EUR"}})).await;
    let field = async |body: Value, slug: &str| {
        let reply = shop.post("/orders").key(&key("fields")).json(&body).send().await;
        text(&reply.problem(slug)["errors"][0]["field"]).to_owned()
    };
    let pay = json!({"token": "tok_approve"});
    let line = |sku: &str| json!({"sku": sku, "quantity": 1});
    let lines = |lines: Value| json!({"lines": lines, "payment": pay});
    let with_token = |token: &str| json!({"lines": [line("A")], "payment": {"token": token}});
    assert_eq!(field(lines(json!([])), "invalid-request").await, "/lines");
    assert_eq!(field(json!({"payment": pay}), "invalid-request").await, "/lines");
    assert_eq!(field(lines(json!([line("A"), line("NONE")])), "invalid-request").await, "/lines/1/sku");
    assert_eq!(field(lines(json!([line("A"), line("YEN")])), "invalid-request").await, "/lines");
    assert_eq!(field(lines(json!([line("A"), line("A"), line("A")])), "invalid-request").await, "/lines");
    assert_eq!(field(lines(json!([line("a b")])), "invalid-request").await, "/lines/0/sku");
    assert_eq!(field(json!({"lines": [line("A")]}), "invalid-request").await, "/payment");
    assert_eq!(field(with_token(""), "invalid-request").await, "/payment/token");
    assert_eq!(field(with_token("two words"), "invalid-request").await, "/payment/token");
    assert_eq!(field(with_token("4111111111111111"), "card-number").await, "/payment/token");
    assert_eq!(field(with_token("4111 1111 1111 1111"), "card-number").await, "/payment/token");
    assert_eq!(field(with_token("4111-1111-1111-1111"), "card-number").await, "/payment/token");
    let card = json!({"number": "4111111111111111"});
    assert_eq!(field(json!({"lines": [line("A")], "payment": card}), "invalid-request").await, "/payment/number");
    let customer = |customer: &str| json!({"lines": [line("A")], "payment": pay, "customer": customer});
    assert_eq!(field(customer("5500-0000-0000-0004"), "card-number").await, "/customer");
    assert_eq!(field(customer("c-5500000000000004"), "card-number").await, "/customer");
    assert_eq!(field(customer(""), "invalid-request").await, "/customer");
    let both = json!({"lines": [line("A")], "cart": "cart_x", "payment": pay});
    assert_eq!(field(both, "invalid-request").await, "/cart");
    let dear = json!({"lines": [{"sku": "DEAR", "quantity": 2}], "payment": pay});
    assert_eq!(field(dear, "invalid-request").await, "/lines", "the price of two cannot be counted");
    let unknown_cart = json!({"cart": format!("cart_{}", "0".repeat(64)), "payment": pay});
    shop.post("/orders").key(&key("no-cart")).json(&unknown_cart).send().await.problem("not-found");
    for sku in ["A", "YEN", "DEAR"] {
        let level = shop.level(sku).await;
        assert_eq!(level["available"], level["on_hand"], "a refused request leaves no trace in stock");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_buyers_own_token_collects_orders() {
    let shop = Shop::open().await;
    shop.stock("A", 10).await;
    let token = format!("buy_{}", "7".repeat(64));
    for name in ["own-1", "own-2"] {
        let placed =
            shop.post("/orders").bearer(&token).key(&key(name)).json(&order_of("A", 1)).send().await.expect(201);
        assert_eq!(placed["buyer_token"], token);
    }
    let page = shop.get("/orders").bearer(&token).send().await.expect(200);
    assert_eq!(page["items"].as_array().map(Vec::len), Some(2));
    let stranger = shop.post("/orders").bearer(&format!("buy_{}", "8".repeat(64)));
    stranger.key(&key("own-1")).json(&order_of("A", 1)).send().await.problem("idempotency-key-reused");
    shop.post("/orders")
        .bearer("nonsense")
        .key(&key("own-3"))
        .json(&order_of("A", 1))
        .send()
        .await
        .problem("unauthorized");
    shop.post("/orders").bearer(ADMIN).key(&key("own-4")).json(&order_of("A", 1)).send().await.expect(201);
    shop.close().await;
}
