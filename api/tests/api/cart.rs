//! Carts: reached by their token only, changed under their version, ordered once.

use insta::assert_json_snapshot;
use serde_json::{Value, json};

use crate::shop::{Shop, key, text};

async fn new_cart(shop: &Shop) -> String {
    let begun = shop.post("/cart").send().await.expect(201);
    text(&begun["token"]).to_owned()
}

fn item(sku: &str, quantity: u64) -> Value {
    json!({"sku": sku, "quantity": quantity})
}

#[tokio::test]
async fn a_cart_is_filled_changed_and_emptied() {
    let shop = Shop::open().await;
    shop.stock("A", 10).await;
    shop.stock("B", 1).await;
    let begun = shop.post("/cart").json(&json!({"currency": "EUR"})).send().await;
    let body = begun.expect(201);
    assert_json_snapshot!("cart_begun", body, { ".token" => "[token]", ".expires_at" => "[instant]" });
    assert_eq!(begun.header("location"), "/api/v1/cart");
    let token = text(&body["token"]);

    shop.post("/cart/items").cart(token).json(&item("A", 2)).send().await.expect(200);
    shop.post("/cart/items").cart(token).json(&item("B", 1)).send().await.expect(200);
    let filled = shop.post("/cart/items").cart(token).json(&item("A", 1)).send().await.expect(200);
    assert_json_snapshot!("cart_filled", filled, { ".expires_at" => "[instant]" });

    let first = filled["items"][0]["id"].as_u64().expect("an id");
    let path = format!("/cart/items/{first}");
    let changed = shop.call("PUT", &path).cart(token).json(&json!({"quantity": 7})).send().await.expect(200);
    assert_eq!(changed["items"][0]["quantity"], 7);
    let removed = shop.call("DELETE", &path).cart(token).send().await.expect(200);
    assert_eq!(removed["items"].as_array().map(Vec::len), Some(1));
    shop.call("DELETE", &path).cart(token).send().await.problem("not-found");
    shop.call("PUT", "/cart/items/x").cart(token).json(&json!({"quantity": 7})).send().await.problem("not-found");
    let read = shop.get("/cart").cart(token).send().await;
    assert_eq!(read.expect(200), removed);
    shop.close().await;
}

#[tokio::test]
async fn a_cart_is_reached_by_its_token_only() {
    let shop = Shop::open().await;
    let token = new_cart(&shop).await;
    let read = shop.get("/cart").cart(&token).send().await;
    assert!(!String::from_utf8_lossy(&read.body).contains("crt_"), "a cart's id is not shown");
    shop.get("/cart").send().await.problem("unauthorized");
    shop.get("/cart").cart("cart_1").send().await.problem("not-found");
    shop.get("/cart").cart(&format!("cart_{}", "0".repeat(64))).send().await.problem("not-found");
    shop.post("/cart/items").send().await.problem("unauthorized");
    shop.close().await;
}

#[tokio::test]
async fn a_change_under_a_stale_version_is_refused() {
    let shop = Shop::open().await;
    shop.stock("A", 10).await;
    let token = new_cart(&shop).await;
    let seen = shop.get("/cart").cart(&token).send().await;
    let add = || shop.post("/cart/items").cart(&token).json(&item("A", 1)).header("if-match", seen.header("etag"));
    add().send().await.expect(200);
    add().send().await.problem("precondition-failed");
    let odd = shop.post("/cart/items").cart(&token).json(&item("A", 1)).header("if-match", "c1");
    odd.send().await.problem("invalid-header");
    shop.close().await;
}

#[tokio::test]
async fn what_cannot_be_in_a_cart_is_refused_by_field() {
    let shop = Shop::open().await;
    shop.stock("A", 10).await;
    let token = new_cart(&shop).await;
    let field = async |body: Value| {
        let problem = shop.post("/cart/items").cart(&token).json(&body).send().await.problem("invalid-request");
        text(&problem["errors"][0]["field"]).to_owned()
    };
    assert_eq!(field(item("NONE", 1)).await, "/sku");
    assert_eq!(field(item("A", 0)).await, "/quantity");
    assert_eq!(field(json!({"sku": "A", "quantity": -1})).await, "/quantity");
    assert_eq!(field(json!({"sku": "A", "quantity": 1, "price": 1})).await, "/price");
    assert_eq!(field(json!({"sku": "A"})).await, "/quantity");
    shop.post("/cart/items").cart(&token).json(&item("A", 1_000_000)).send().await.expect(200);
    assert_eq!(field(item("A", 1)).await, "/quantity", "two additions add up");
    let currency = shop.post("/cart").json(&json!({"currency": "EURO"})).send().await.problem("invalid-request");
    assert_eq!(currency["errors"][0]["field"], "/currency");
    shop.close().await;
}

#[tokio::test]
async fn two_carts_merge_and_the_other_one_is_closed() {
    let shop = Shop::open().await;
    shop.stock("A", 10).await;
    let (guest, own) = (new_cart(&shop).await, new_cart(&shop).await);
    shop.post("/cart/items").cart(&guest).json(&item("A", 2)).send().await.expect(200);
    shop.post("/cart/items").cart(&own).json(&item("A", 1)).send().await.expect(200);
    let merge = |from: &str| shop.post("/cart/merge").cart(&own).json(&json!({"from": from}));
    let merged = merge(&guest).send().await.expect(200);
    assert_eq!(merged["items"][0]["quantity"], 3);
    assert_eq!(merge(&guest).send().await.expect(200)["items"][0]["quantity"], 3, "a repeat adds nothing");
    assert_eq!(merge(&own).send().await.problem("invalid-request")["errors"][0]["field"], "/from");
    merge("cart_unknown").send().await.problem("not-found");
    shop.post("/cart/items").cart(&guest).json(&item("A", 1)).send().await.problem("not-found");
    shop.close().await;
}

#[tokio::test]
async fn a_cart_becomes_an_order_once() {
    let shop = Shop::open().await;
    shop.stock("A", 10).await;
    let token = new_cart(&shop).await;
    let pay = json!({"payment": {"token": "tok_approve"}});
    let order = |name: &str| shop.post("/orders").cart(&token).key(&key(name)).json(&pay);
    assert_eq!(order("empty").send().await.problem("invalid-request")["errors"][0]["field"], "/cart");
    shop.post("/cart/items").cart(&token).json(&item("A", 1)).send().await.expect(200);
    shop.post("/cart/items").cart(&token).json(&item("A", 2)).send().await.expect(200);
    order("stale").header("if-match", "\"c1\"").send().await.problem("precondition-failed");
    let placed = order("first").send().await.expect(201);
    assert_eq!(
        placed["lines"],
        json!([{"sku": "A", "quantity": 3, "unit_price": {"amount_minor": 1999, "currency": "EUR"}}])
    );
    assert_eq!(order("first").send().await.expect(201), placed, "a retry finds the order");
    let second = order("second").send().await.problem("cart-converted");
    assert_eq!(second["order"], placed["id"]);
    shop.post("/cart/items").cart(&token).json(&item("A", 1)).send().await.problem("cart-converted");
    assert_eq!(shop.get("/cart").cart(&token).send().await.expect(200)["state"], "converted");
    assert_eq!(shop.level("A").await["available"], 7);

    let by_body = new_cart(&shop).await;
    shop.post("/cart/items").cart(&by_body).json(&item("A", 1)).send().await.expect(200);
    let body = json!({"cart": by_body, "payment": {"token": "tok_approve"}});
    shop.post("/orders").key(&key("by-body")).json(&body).send().await.expect(201);
    shop.close().await;
}
