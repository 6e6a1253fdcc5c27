//! Orders after they were placed: who reaches them and where they go.

use insta::assert_json_snapshot;
use serde_json::json;

use crate::shop::{ADMIN, Shop, key, order_of, text};

#[tokio::test]
async fn an_order_is_reached_with_its_token_and_is_nowhere_without() {
    let shop = Shop::open().await;
    shop.stock("A", 10).await;
    let placed = shop.order("A", 1, &key("reach")).await.expect(201);
    let (id, token) = (text(&placed["id"]), text(&placed["buyer_token"]));
    shop.wait_for(id, "confirmed").await;
    let path = format!("/orders/{id}");
    let read = shop.get(&path).bearer(token).send().await;
    assert_json_snapshot!("order_confirmed", read.expect(200), {
        ".id" => "[order]", ".placed_at" => "[instant]", ".expires_at" => "[instant]", ".version" => "[version]"
    });
    let known = shop.get(&path).bearer(token).header("if-none-match", read.header("etag")).send().await;
    assert_eq!(known.status, 304);
    shop.get(&path).bearer(ADMIN).send().await.expect(200);

    let nowhere = shop.get("/orders/ord_00000000000000000000000000000000").bearer(token).send().await;
    nowhere.problem("not-found");
    let other = format!("buy_{}", "1".repeat(64));
    for reply in [
        shop.get(&path).send().await,
        shop.get(&path).bearer(&other).send().await,
        shop.get(&path).bearer("nonsense").send().await,
        shop.get("/orders/nonsense").bearer(token).send().await,
        shop.post(&format!("{path}/cancel")).bearer(&other).send().await,
        shop.post(&format!("{path}/cancel")).send().await,
    ] {
        assert_eq!(reply.body, nowhere.body, "what may not be seen cannot be told from what is not there");
    }
    shop.close().await;
}

#[tokio::test]
async fn orders_are_listed_newest_first_page_by_page_and_filtered() {
    let shop = Shop::open().await;
    shop.stock("A", 10).await;
    shop.stock("B", 10).await;
    let mut placed = Vec::new();
    for number in 0..5 {
        let mut body = order_of(if number == 0 { "B" } else { "A" }, 1);
        body["customer"] = json!(format!("c-{}", number % 2));
        let order = shop.post("/orders").key(&key(&format!("list-{number}"))).json(&body).send().await.expect(201);
        placed.insert(0, text(&order["id"]).to_owned());
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    let ids = |page: &serde_json::Value| -> Vec<String> {
        page["items"].as_array().expect("items").iter().map(|item| text(&item["id"]).to_owned()).collect()
    };
    let list = async |query: &str| shop.get(&format!("/orders?{query}")).bearer(ADMIN).send().await.expect(200);
    let first = list("limit=3").await;
    let rest = list(&format!("limit=3&cursor={}", text(&first["next_cursor"]))).await;
    assert_eq!([ids(&first), ids(&rest)].concat(), placed);
    assert_eq!(rest["next_cursor"], json!(null));
    assert_eq!(ids(&list("sku=B").await), placed[4..]);
    assert_eq!(ids(&list("customer=c-1").await).len(), 2);
    assert_eq!(ids(&list("status=canceled").await).len(), 0);
    // The third of them, to the millisecond: from then on, and until then.
    let third = first["items"][2]["placed_at"].clone();
    assert_eq!(ids(&list(&format!("placed_from={}", text(&third))).await), placed[..3]);
    assert_eq!(ids(&list(&format!("placed_to={}", text(&third))).await), placed[3..]);
    assert_eq!(ids(&list("placed_from=2020-01-01T00:00:00Z&placed_to=2020-01-02T00:00:00%2B01:00").await).len(), 0);
    for (query, name) in [
        ("status=lost", "status"),
        ("sku=a%20b", "sku"),
        ("customer=", "customer"),
        ("page=2", "page"),
        ("placed_from=yesterday", "placed_from"),
        ("placed_to=2020-01-01", "placed_to"),
    ] {
        let problem = shop.get(&format!("/orders?{query}")).bearer(ADMIN).send().await.problem("invalid-query");
        assert_eq!(problem["errors"][0]["field"], name);
    }
    shop.get("/orders?cursor=zz").bearer(ADMIN).send().await.problem("invalid-cursor");
    shop.get("/orders").send().await.problem("unauthorized");
    shop.get("/orders").bearer("nonsense").send().await.problem("unauthorized");
    let stranger = shop.get("/orders").bearer(&format!("buy_{}", "1".repeat(64))).send().await.expect(200);
    assert_eq!(ids(&stranger).len(), 0);
    shop.close().await;
}

#[tokio::test]
async fn an_order_is_shipped_delivered_and_refunded() {
    let shop = Shop::open().await;
    shop.stock("A", 10).await;
    let placed = shop.order("A", 2, &key("ship")).await.expect(201);
    let id = text(&placed["id"]);
    let confirmed = shop.wait_for(id, "confirmed").await;
    let set =
        |status: &str| shop.call("PUT", &format!("/orders/{id}/status")).bearer(ADMIN).json(&json!({"status": status}));
    assert_eq!(set("delivered").send().await.problem("illegal-transition")["order_status"], "confirmed");
    set("shipped").header("if-match", "\"o1\"").send().await.problem("precondition-failed");
    let tag = format!("\"o{}\"", confirmed["version"]);
    set("shipped").header("if-match", &tag).send().await.expect(200);
    let lost = set("lost").send().await.problem("invalid-request");
    assert_eq!(lost["errors"][0]["field"], "/status");
    let number = shop.call("PUT", &format!("/orders/{id}/status")).bearer(ADMIN).json(&json!({"status": 1}));
    assert_eq!(number.send().await.problem("invalid-request")["errors"][0]["field"], "/status");
    let buyer = text(&placed["buyer_token"]);
    let by_buyer = shop.call("PUT", &format!("/orders/{id}/status")).bearer(buyer).json(&json!({"status": "shipped"}));
    by_buyer.send().await.problem("forbidden");
    set("delivered").send().await.expect(200);
    shop.post(&format!("/orders/{id}/cancel")).bearer(buyer).send().await.problem("illegal-transition");
    wait_captured(&shop, id).await;

    let refund = |name: &str, amount: i64| {
        let body = json!({"amount": {"amount_minor": amount, "currency": "EUR"}});
        shop.post(&format!("/orders/{id}/refunds")).bearer(ADMIN).key(&key(name)).json(&body)
    };
    let accepted = refund("refund-1", 1_000).send().await;
    assert_json_snapshot!("refund_accepted", accepted.expect(201), { ".order" => "[order]" });
    let again = refund("refund-1", 1_000).send().await;
    assert_eq!((again.status, &again.body), (201, &accepted.body));
    assert_eq!(again.header("idempotency-replayed"), "true");
    refund("refund-1", 999).send().await.problem("idempotency-key-reused");
    assert_eq!(refund("refund-2", 9_999).send().await.problem("not-refundable")["refundable_minor"], 2_998);
    for nothing in [0, -1] {
        let refused = refund("refund-3", nothing).send().await.problem("invalid-request");
        assert_eq!(refused["errors"][0]["field"], "/amount/amount_minor");
    }
    let dollars = json!({"amount": {"amount_minor": 1, "currency": "USD"}});
    let refunds = || shop.post(&format!("/orders/{id}/refunds")).bearer(ADMIN);
    let refused = refunds().key(&key("refund-4")).json(&dollars).send().await.problem("invalid-request");
    assert_eq!(refused["errors"][0]["field"], "/amount/currency");
    refunds().key(&key("refund-1")).json(&json!({})).send().await.problem("idempotency-key-reused");
    refunds().key(&key("refund-1")).json(&dollars).send().await.problem("idempotency-key-reused");
    let keyless = refunds().send().await.problem("idempotency-key-missing");
    assert_eq!(keyless["errors"][0]["field"], "Idempotency-Key");
    shop.wait_for(id, "partially_refunded").await;
    let all =
        shop.post(&format!("/orders/{id}/refunds")).bearer(ADMIN).key(&key("refund-all")).send().await.expect(201);
    assert_eq!(all["amount"]["amount_minor"], 2_998);
    let again = refunds().key(&key("refund-all")).json(&json!({})).send().await;
    assert_eq!((again.header("idempotency-replayed"), again.expect(201)), ("true", all));
    let refunded = shop.wait_for(id, "refunded").await;
    assert_json_snapshot!("order_refunded", refunded, {
        ".id" => "[order]", ".placed_at" => "[instant]", ".expires_at" => "[instant]", ".version" => "[version]"
    });
    assert_eq!(shop.level("A").await["fulfilled"], 2);
    shop.close().await;
}

async fn wait_captured(shop: &Shop, id: &str) {
    for _ in 0..500 {
        let found = shop.get(&format!("/orders/{id}")).bearer(ADMIN).send().await.expect(200);
        if found["payment"]["status"] == "captured" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{id} was never captured");
}

#[tokio::test]
async fn a_canceled_order_gives_its_units_back() {
    let shop = Shop::open().await;
    shop.stock("A", 2).await;
    let placed = shop.order("A", 2, &key("cancel")).await.expect(201);
    let (id, token) = (text(&placed["id"]), text(&placed["buyer_token"]));
    shop.wait_for(id, "confirmed").await;
    let canceled = shop.post(&format!("/orders/{id}/cancel")).bearer(token).send().await.expect(200);
    assert_eq!((&canceled["status"], &canceled["cancel_reason"]), (&json!("canceled"), &json!("buyer")));
    for _ in 0..500 {
        if shop.level("A").await["available"] == 2 {
            shop.close().await;
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the units never came back");
}

#[tokio::test]
async fn a_declined_payment_ends_the_order() {
    let shop = Shop::open().await;
    shop.stock("A", 2).await;
    let mut body = order_of("A", 1);
    body["payment"]["token"] = json!("tok_decline");
    let placed = shop.post("/orders").key(&key("decline")).json(&body).send().await.expect(201);
    let ended = shop.wait_for(text(&placed["id"]), "canceled").await;
    assert_eq!(ended["cancel_reason"], "payment_declined");
    assert_eq!(
        (&ended["payment"]["status"], &ended["payment"]["reason"]),
        (&json!("declined"), &json!("card_declined"))
    );
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_moves_from_one_version_one_is_made_and_the_other_is_told_that_it_changed() {
    let shop = Shop::open().await;
    shop.stock("A", 100).await;
    for round in 0..20 {
        let placed = shop.order("A", 1, &key(&format!("race-{round}"))).await.expect(201);
        let id = text(&placed["id"]);
        let tag = format!("\"o{}\"", shop.wait_for(id, "confirmed").await["version"]);
        let set = |status: &str| {
            let call = shop.call("PUT", &format!("/orders/{id}/status")).bearer(ADMIN).header("if-match", &tag);
            call.json(&json!({"status": status})).send()
        };
        let (shipped, canceled) = tokio::join!(set("shipped"), set("canceled"));
        let (made, refused) = if shipped.status == 200 { (shipped, canceled) } else { (canceled, shipped) };
        made.expect(200);
        refused.problem("precondition-failed");
    }
    shop.close().await;
}
