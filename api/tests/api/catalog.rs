//! The catalog: what buyers see, what the admin sees and changes.

use insta::assert_json_snapshot;
use serde_json::json;

use crate::shop::{ADMIN, Shop, key, text};

fn tee() -> serde_json::Value {
    json!({
        "sku": "TEE-BLACK-M", "name": "Tour T-shirt", "description": "Black.\nWash cold.",
        "price": {"amount_minor": 2500, "currency": "EUR"}, "category": "apparel/shirts",
        "images": ["https://img.example/tee.jpg", "/img/tee-back.jpg"],
        "variants": [{"sku": "TEE-BLACK-L", "name": "L", "options": {"size": "L"}}],
        "metadata": {"tour": "2026"}, "units": 10,
        "sale": {"closes_at": "2126-03-01T10:00:00+01:00", "per_order_limit": 4}
    })
}

#[tokio::test]
async fn a_product_is_created_read_changed_and_removed() {
    let shop = Shop::open().await;
    let created = shop.post("/products").bearer(ADMIN).json(&tee()).send().await;
    assert_eq!(created.header("location"), "/api/v1/products/TEE-BLACK-M");
    assert_json_snapshot!("product_created", created.expect(201));

    let read = shop.get("/products/TEE-BLACK-M").send().await;
    assert_eq!(read.header("etag"), created.header("etag"));
    assert_json_snapshot!("product_for_a_buyer", read.expect(200));
    let known = shop.get("/products/TEE-BLACK-M").header("if-none-match", read.header("etag")).send().await;
    assert_eq!((known.status, known.body.len()), (304, 0));

    let change = json!({"name": "Tour T-shirt 2026", "price": {"amount_minor": 2000, "currency": "EUR"}});
    let put = || shop.call("PUT", "/products/TEE-BLACK-M").bearer(ADMIN).json(&change);
    let changed = put().header("if-match", read.header("etag")).send().await;
    let body = changed.expect(200);
    assert_eq!((&body["name"], &body["price"]["amount_minor"]), (&json!("Tour T-shirt 2026"), &json!(2000)));
    assert_eq!(body["sale"]["per_order_limit"], 4, "the sale policy is kept when none is given");
    let stale = json!({"name": "Other", "price": {"amount_minor": 1, "currency": "EUR"}});
    let stale =
        shop.call("PUT", "/products/TEE-BLACK-M").bearer(ADMIN).json(&stale).header("if-match", read.header("etag"));
    assert_json_snapshot!("problem_precondition_failed", stale.send().await.problem("precondition-failed"));

    let delete = || shop.call("DELETE", "/products/TEE-BLACK-M").bearer(ADMIN);
    delete().header("if-match", "\"p1-s1\"").send().await.problem("precondition-failed");
    assert_eq!(delete().header("if-match", changed.header("etag")).send().await.status, 204);
    shop.get("/products/TEE-BLACK-M").send().await.problem("not-found");
    delete().send().await.problem("not-found");
    put().send().await.problem("not-found");
    shop.close().await;
}

#[tokio::test]
async fn the_same_sku_twice_is_a_conflict() {
    let shop = Shop::open().await;
    shop.stock("A", 1).await;
    let again = json!({"sku": "A", "name": "B", "price": {"amount_minor": 1, "currency": "EUR"}});
    shop.post("/products").bearer(ADMIN).json(&again).send().await.problem("conflict");
    shop.close().await;
}

#[tokio::test]
async fn only_the_admin_changes_the_catalog() {
    let shop = Shop::open().await;
    let create = || shop.post("/products").json(&tee());
    assert_eq!(create().send().await.header("www-authenticate"), "Bearer");
    create().send().await.problem("unauthorized");
    create().bearer("wrong").send().await.problem("unauthorized");
    create().bearer(&format!("buy_{}", "0".repeat(64))).send().await.problem("forbidden");
    shop.get("/products").bearer("mistyped").send().await.problem("unauthorized");
    shop.close().await;

    let shop = Shop::open_with(|settings| settings.admin.token = None).await;
    let refused = shop.post("/products").bearer(ADMIN).json(&tee()).send().await.problem("admin-not-configured");
    assert!(text(&refused["detail"]).contains("HOLDFAST__ADMIN__TOKEN"));
    shop.close().await;
}

#[tokio::test]
async fn a_listing_goes_page_by_page_and_shows_every_product_once() {
    let shop = Shop::open().await;
    for number in 0..7 {
        let category = if number % 2 == 0 { "even/deep" } else { "odd" };
        shop.sell(json!({"sku": format!("SKU-{number}"), "units": number % 3, "category": category})).await;
    }
    let mut seen = Vec::new();
    let mut path = "/products?limit=3".to_owned();
    loop {
        let page = shop.get(&path).send().await.expect(200);
        seen.extend(page["items"].as_array().expect("items").iter().map(|item| text(&item["sku"]).to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/products?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, (0..7).map(|number| format!("SKU-{number}")).collect::<Vec<_>>());

    let count = async |query: &str| {
        let page = shop.get(&format!("/products?{query}")).send().await.expect(200);
        page["items"].as_array().expect("items").len()
    };
    assert_eq!(count("category=even").await, 4, "a category holds what is below it");
    assert_eq!(count("category=even/deep&in_stock=true").await, 2);
    assert_eq!(count("in_stock=false").await, 3);
    shop.close().await;
}

#[tokio::test]
async fn a_product_whose_units_are_all_held_is_not_in_stock() {
    let shop = Shop::open_with(|settings| settings.payments.sandbox.late_ms = 60_000).await;
    shop.stock("LAST", 1).await;
    let mut order = crate::shop::order_of("LAST", 1);
    order["payment"]["token"] = json!("tok_late");
    shop.post("/orders").key(&key("held")).json(&order).send().await.expect(201);
    let page = shop.get("/products?in_stock=true").send().await.expect(200);
    assert_eq!(page["items"], json!([]));
    let product = shop.get("/products/LAST").send().await.expect(200);
    assert_eq!(product["availability"], json!({"in_stock": false, "available": 0}));
    assert!(product.get("stock").is_none(), "a buyer does not see where units are");
    let level = shop.level("LAST").await;
    assert_eq!((&level["on_hand"], &level["held"]), (&json!(1), &json!(1)));
    shop.close().await;
}

#[tokio::test]
async fn a_bad_query_is_refused_by_name() {
    let shop = Shop::open().await;
    let field = async |query: &str, slug: &str| {
        let problem = shop.get(&format!("/products?{query}")).send().await.problem(slug);
        text(&problem["errors"][0]["field"]).to_owned()
    };
    assert_eq!(field("limit=0", "invalid-query").await, "limit");
    assert_eq!(field("limit=101", "invalid-query").await, "limit");
    assert_eq!(field("limit=ten", "invalid-query").await, "limit");
    assert_eq!(field("in_stock=maybe", "invalid-query").await, "in_stock");
    assert_eq!(field("colour=red", "invalid-query").await, "colour");
    assert_eq!(field("cursor=0000", "invalid-cursor").await, "cursor");
    shop.close().await;
}

#[tokio::test]
async fn stock_is_adjusted_but_never_below_what_is_held() {
    let shop = Shop::open().await;
    shop.stock("A", 5).await;
    let placed = shop.order("A", 2, &key("adjust")).await.expect(201);
    shop.wait_for(text(&placed["id"]), "confirmed").await;
    let adjust = |delta: i64| {
        let body = json!({"delta": delta, "reason": "count"});
        shop.post("/products/A/stock-adjustments").bearer(ADMIN).json(&body)
    };
    let below = adjust(-4).send().await.problem("conflict");
    assert_eq!(below["available"], 3);
    let taken = adjust(-3).send().await;
    assert_json_snapshot!("stock_adjusted", taken.expect(200), { ".stock.version" => "[version]" });
    let stale = adjust(1).header("if-match", "\"p1-s1\"").send().await.problem("precondition-failed");
    assert!(stale["version"].is_u64());
    adjust(1).header("if-match", taken.header("etag")).send().await.expect(200);
    adjust(1).header("if-match", taken.header("etag")).send().await.problem("precondition-failed");
    adjust(0).send().await.problem("invalid-request");
    adjust(i64::MAX).send().await.expect(200);
    assert_eq!(adjust(i64::MAX).send().await.problem("invalid-request")["errors"][0]["field"], "/delta");
    shop.post("/products/NONE/stock-adjustments")
        .bearer(ADMIN)
        .json(&json!({"delta": 1, "reason": "x"}))
        .send()
        .await
        .problem("not-found");
    shop.close().await;
}

#[tokio::test]
async fn everything_wrong_with_a_product_is_named_at_once() {
    let shop = Shop::open().await;
    let bad = json!({
        "sku": "A", "name": " ", "description": "bell\u{7}", "category": "a//b", "images": ["http://x/y", "javascript:1"],
        "price": {"amount_minor": 1, "currency": "EUR"}, "metadata": {"k".repeat(65): "v"},
        "variants": [{"sku": "B", "name": "x".repeat(201)}]
    });
    let problem = shop.post("/products").bearer(ADMIN).json(&bad).send().await.problem("invalid-request");
    assert_json_snapshot!("problem_product_with_many_faults", problem["errors"]);
    let refusal = async |change: serde_json::Value| {
        let mut body = json!({"sku": "A", "name": "A", "price": {"amount_minor": 1, "currency": "EUR"}});
        for (name, value) in change.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let reply = shop.post("/products").bearer(ADMIN).json(&body).send().await;
        (reply.json()["type"].as_str().map(|uri| uri[30..].to_owned()), reply.json()["errors"][0]["field"].clone())
    };
    let named = |slug: &str, field: &str| (Some(slug.to_owned()), json!(field));
    assert_eq!(refusal(json!({"name": "4111 1111 1111 1111"})).await, named("card-number", "/name"));
    assert_eq!(refusal(json!({"metadata": {"a": "5500-0000-0000-0004"}})).await, named("card-number", "/metadata/a"));
    let images = json!({"images": ["/a.jpg", "https://img.example/4111111111111111.jpg"]});
    assert_eq!(refusal(images).await, named("card-number", "/images/1"));
    let price = |amount: i64, currency: &str| json!({"price": {"amount_minor": amount, "currency": currency}});
    assert_eq!(refusal(price(-1, "EUR")).await, named("invalid-request", "/price/amount_minor"));
    assert_eq!(refusal(price(1, "XXX")).await, named("invalid-request", "/price/currency"));
    assert_eq!(refusal(json!({"sku": "no spaces"})).await, named("invalid-request", "/sku"));
    assert_eq!(refusal(json!({"units": -1})).await, named("invalid-request", "/units"));
    let backwards = json!({"sale": {"opens_at": "2026-02-01T00:00:00Z", "closes_at": "2026-01-01T00:00:00Z"}});
    assert_eq!(refusal(backwards).await, named("invalid-request", "/sale/closes_at"));
    assert_eq!(refusal(json!({"sale": {"opens_at": "soon"}})).await, named("invalid-request", "/sale/opens_at"));
    assert_eq!(
        refusal(json!({"sale": {"per_order_limit": 0}})).await,
        named("invalid-request", "/sale/per_order_limit")
    );
    shop.get("/products/A").send().await.problem("not-found");
    let dated = json!({"images": ["/images/2026/11/22/10000039.jpg"], "metadata": {"lot": "2026.1122.1234.5671"}});
    assert_eq!(refusal(dated).await.0, None, "a date and an article number are no card number");
    shop.close().await;
}
