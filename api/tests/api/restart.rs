//! What a restart leaves as it was: orders, their tokens, carts, and the answers to retries.

use serde_json::json;

use crate::shop::{Shop, key, order_of, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_is_there_after_a_restart() {
    let shop = Shop::open().await;
    shop.stock("A", 10).await;
    let placed = shop.order("A", 1, &key("restart")).await;
    let body = placed.expect(201);
    shop.wait_for(text(&body["id"]), "confirmed").await;
    let begun = shop.post("/cart").send().await.expect(201);
    let cart = text(&begun["token"]);
    shop.post("/cart/items").cart(cart).json(&json!({"sku": "A", "quantity": 2})).send().await.expect(200);
    let level = shop.level("A").await;

    let shop = Shop::open_in(shop.close().await, |_| ()).await;
    let again = shop.order("A", 1, &key("restart")).await;
    assert_eq!((again.status, &again.body), (201, &placed.body), "a retry across a restart");
    assert_eq!(again.header("idempotency-replayed"), "true");
    shop.order("A", 2, &key("restart")).await.problem("idempotency-key-reused");
    let path = format!("/orders/{}", text(&body["id"]));
    let read = shop.get(&path).bearer(text(&body["buyer_token"])).send().await.expect(200);
    assert_eq!(read["status"], "confirmed");
    assert_eq!(shop.get("/cart").cart(cart).send().await.expect(200)["items"][0]["quantity"], 2);
    assert_eq!(shop.level("A").await, level);
    shop.close().await;
}

/// The first half of a new version: the old one leaves under load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_under_load_finishes_what_it_took_and_refuses_the_rest() {
    let shop = Shop::open().await;
    shop.stock("A", 1_000_000).await;
    let mut buyers = tokio::task::JoinSet::new();
    for buyer in 0..16 {
        let order = shop.post("/orders").json(&order_of("A", 1));
        buyers.spawn(async move {
            let mut placed = 0_u64;
            for number in 0..10_000 {
                let call = order.clone().key(&key(&format!("load-{buyer}-{number}")));
                match call.try_send().await {
                    Ok(reply) if reply.status == 201 => placed += 1,
                    Ok(reply) => assert_eq!(reply.status, 503, "{}", String::from_utf8_lossy(&reply.body)),
                    // The listener is gone: the sale is over for this buyer.
                    Err(_) => break,
                }
            }
            placed
        });
    }
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let began = std::time::Instant::now();
    let folder = shop.close().await;
    let took = began.elapsed();
    let placed: u64 = buyers.join_all().await.into_iter().sum();
    let shop = Shop::open_in(folder, |_| ()).await;
    let level = shop.level("A").await;
    let available = level["available"].as_u64().expect("a number");
    println!("shutdown under load: drained in {took:?}, {placed} orders acknowledged, {} sold", 1_000_000 - available);
    assert!(took < std::time::Duration::from_secs(10));
    assert!(placed > 0 && 1_000_000 - available >= placed, "every acknowledged order holds its unit");
    shop.close().await;
}
