//! The operators' listener, and what stops a server from starting.

use std::fmt::Write as _;

use holdfast_api::{ServeError, Server};
use serde_json::json;

use crate::{
    client::{Call, Reply},
    shop::{ADMIN, Shop, key, settings},
};

async fn ask(shop: &Shop, path: &str, token: Option<&str>) -> Reply {
    let call = Call::new(shop.server.admin_addr(), "GET", path);
    match token {
        Some(token) => call.bearer(token).send().await,
        None => call.send().await,
    }
}

#[tokio::test]
async fn metrics_count_what_was_sold_and_refused() {
    let shop = Shop::open().await;
    shop.stock("A", 1).await;
    shop.order("A", 1, &key("m-1")).await.expect(201);
    shop.order("A", 1, &key("m-2")).await.problem("insufficient-stock");
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    let reply = ask(&shop, "/metrics", None).await;
    assert!(reply.header("content-type").starts_with("text/plain"));
    let text = String::from_utf8_lossy(&reply.body);
    for name in [
        "holdfast_http_request_seconds_count{route=\"POST /orders\",status=\"2xx\"}",
        "holdfast_http_request_seconds_bucket{route=\"POST /orders\",status=\"4xx\",le=\"0.01\"}",
        "holdfast_http_connections{listener=\"public\"}",
        "holdfast_shard_mailbox_depth{shard=\"0\"}",
        "holdfast_journal_batches_total",
        "holdfast_orders_placed_total",
        "holdfast_products",
        "holdfast_http_problems_total{type=\"insufficient-stock\"}",
    ] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_bounded_history_is_counted_by_metrics_and_refused_by_the_replay_tool() {
    let shop = Shop::open_with(|settings| {
        let journal = &mut settings.store.journal;
        (journal.segment_bytes, journal.reserve_bytes) = (256 << 10, 64 << 10);
        (journal.frame_limit_bytes, journal.record_limit_bytes) = (16 << 10, 16 << 10);
        journal.retain_bytes = 256 << 10;
        settings.limits.body_bytes = 8 << 10;
        settings.runtime.turn_bytes = 16 << 10;
        settings.runtime.checkpoint_records = 10;
    })
    .await;
    let description = "d".repeat(7_000);
    for number in 0..300 {
        let sku = format!("P-{number}");
        shop.sell(json!({"sku": sku, "units": 1, "description": description})).await;
    }
    let text = String::from_utf8(ask(&shop, "/metrics", None).await.body).expect("text");
    let figure = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<f64>().ok()).unwrap_or_else(|| panic!("{name} is not in\n{text}"))
    };
    assert!(figure("holdfast_journal_purged_segments_total") >= 1.0, "{text}");
    assert!(figure("holdfast_journal_purged_bytes_total") >= 256.0 * 1_024.0, "{text}");
    assert!(figure("holdfast_journal_segments") >= 1.0, "{text}");
    let folder = shop.close().await;
    let data = folder.path().join("data");
    let replay = std::process::Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .args(["journal", "replay", "--data"])
        .arg(&data)
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&replay.stderr);
    assert!(!replay.status.success() && said.contains("what came before was purged"), "{said}");
}

#[tokio::test]
async fn shards_and_settings_need_the_admin_token_and_show_no_secret() {
    let shop = Shop::open().await;
    for path in ["/admin/v1/shards", "/admin/v1/config", "/admin/v1/cluster", "/admin/v1/rebalance"] {
        ask(&shop, path, None).await.problem("unauthorized");
        ask(&shop, path, Some("wrong")).await.problem("unauthorized");
    }
    let shards = ask(&shop, "/admin/v1/shards", Some(ADMIN)).await.expect(200);
    assert_eq!((shards["is_ready"].as_bool(), shards["shards"].as_array().map(Vec::len)), (Some(true), Some(4)));
    let config = ask(&shop, "/admin/v1/config", Some(ADMIN)).await;
    assert_eq!(config.expect(200)["admin"]["token"], "[redacted]");
    assert!(!String::from_utf8_lossy(&config.body).contains(ADMIN));
    ask(&shop, "/healthz", None).await.expect(200);
    ask(&shop, "/readyz", None).await.expect(200);
    ask(&shop, "/api/v1/nothing", None).await.problem("not-found");
    let outside = Call::new(shop.server.public_addr(), "GET", "/metrics").send().await;
    outside.problem("not-found");
    shop.close().await;
}

#[tokio::test]
async fn a_server_on_its_own_shows_its_shards_as_a_cluster_would() {
    let shop = Shop::open().await;
    shop.stock("A", 5).await;
    for number in 0..3 {
        shop.order("A", 1, &key(&format!("s-{number}"))).await.expect(201);
    }
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let shards = ask(&shop, "/admin/v1/shards", Some(ADMIN)).await.expect(200);
    let shards = shards["shards"].as_array().expect("shards").clone();
    let sum = |name: &str| shards.iter().map(|shard| shard[name].as_f64().expect(name)).sum::<f64>();
    // The product, its stock and three orders, all in the shard of the product.
    assert_eq!((sum("entities"), sum("lag_records"), sum("mailbox_depth")), (5.0, 0.0, 0.0), "{shards:?}");
    assert!(sum("commands_per_s") > 0.0 && sum("memory_bytes") > 0.0, "{shards:?}");
    for shard in &shards {
        let whose = (&shard["owner"], &shard["desired"], &shard["state"], &shard["epoch"]);
        assert_eq!(whose, (&json!("local"), &json!("local"), &json!("owned"), &json!(0)), "{shard}");
        assert_eq!(shard["sequence"], shard["journal_sequence"], "{shard}");
    }
    shop.close().await;
}

#[tokio::test]
async fn what_is_about_several_nodes_is_refused_by_a_server_on_its_own() {
    let shop = Shop::open().await;
    for (method, path) in [
        ("GET", "/admin/v1/cluster"),
        ("GET", "/admin/v1/rebalance"),
        ("POST", "/admin/v1/rebalance"),
        ("DELETE", "/admin/v1/rebalance"),
        ("POST", "/admin/v1/nodes/n1/drain"),
        ("DELETE", "/admin/v1/nodes/n1/drain"),
        ("POST", "/admin/v1/shards/3/move"),
    ] {
        let call = || Call::new(shop.server.admin_addr(), method, path);
        call().send().await.problem("unauthorized");
        let problem = call().bearer(ADMIN).send().await.problem("cluster-not-configured");
        assert_eq!(problem["status"], 409, "{method} {path}");
    }
    Call::new(shop.server.admin_addr(), "PUT", "/admin/v1/rebalance")
        .bearer(ADMIN)
        .send()
        .await
        .problem("method-not-allowed");
    let odd = Call::new(shop.server.admin_addr(), "GET", "/admin/v1/shards").bearer(ADMIN).header("x-operator", "a b");
    odd.send().await.problem("invalid-header");
    shop.close().await;
}

#[tokio::test]
async fn a_snapshot_now_contains_everything_up_to_now() {
    let shop = Shop::open().await;
    shop.stock("A", 5).await;
    shop.order("A", 1, &key("n-1")).await.expect(201);
    let take = |body: &'static str| {
        let call = Call::new(shop.server.admin_addr(), "POST", "/admin/v1/snapshots").bearer(ADMIN);
        if body.is_empty() { call } else { call.body(body.as_bytes()) }
    };
    let sequences = async || -> Vec<u64> {
        let shards = ask(&shop, "/admin/v1/shards", Some(ADMIN)).await.expect(200)["shards"].clone();
        shards.as_array().expect("shards").iter().map(|shard| shard["sequence"].as_u64().expect("a number")).collect()
    };
    let before = sequences().await;
    assert!(before.iter().any(|sequence| *sequence > 0), "{before:?}");
    let taken = take("").send().await.expect(200);
    let watermarks: Vec<u64> =
        taken["shards"].as_array().expect("shards").iter().map(|s| s["watermark"].as_u64().expect("done")).collect();
    for (watermark, sequence) in watermarks.iter().zip(&before) {
        assert!(watermark >= sequence, "{taken} after {before:?}");
    }
    // Again, when there is nothing new, and under load: it neither waits for ever nor goes back.
    let again = take("").send().await.expect(200);
    assert!(again["shards"][0]["watermark"].as_u64() >= taken["shards"][0]["watermark"].as_u64(), "{again}");
    let one = take("{\"shard\": 2}").send().await.expect(200);
    assert_eq!((one["shards"].as_array().map(Vec::len), &one["shards"][0]["shard"]), (Some(1), &json!(2)), "{one}");
    take("{\"shard\": 64}").send().await.problem("not-found");
    take("{\"shards\": 2}").send().await.problem("invalid-request");
    let wrong = Call::new(shop.server.admin_addr(), "POST", "/admin/v1/snapshots").bearer("wrong");
    wrong.send().await.problem("unauthorized");
    shop.close().await;
}

#[tokio::test]
async fn a_request_id_is_passed_on_or_given() {
    let shop = Shop::open().await;
    assert_eq!(shop.get("/products").header("x-request-id", "abc-1").send().await.header("x-request-id"), "abc-1");
    let (one, two) = (shop.get("/products").send().await, shop.get("/products").send().await);
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
    shop.close().await;
}

#[tokio::test]
async fn a_server_that_leaves_says_it_is_not_ready_before_it_stops_listening() {
    let shop = Shop::open_with(|settings| settings.deadlines.unready_ms = 500).await;
    let (public, admin) = (shop.server.public_addr(), shop.server.admin_addr());
    Call::new(public, "GET", "/readyz").send().await.expect(200);
    let leaving = async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        for addr in [public, admin] {
            let problem = Call::new(addr, "GET", "/readyz").send().await.problem("unavailable");
            assert_eq!(problem["detail"], "the server is shutting down");
            Call::new(addr, "GET", "/healthz").send().await.expect(200);
        }
    };
    tokio::join!(leaving, shop.close());
    assert!(Call::new(public, "GET", "/readyz").try_send().await.is_err(), "nobody listens any more");
}

fn chain(error: &ServeError) -> String {
    let mut text = error.to_string();
    let mut next: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = next {
        let _ = write!(text, ": {error}");
        next = error.source();
    }
    text
}

#[tokio::test]
async fn a_busy_port_a_locked_folder_and_a_bad_setting_name_themselves() {
    let shop = Shop::open().await;
    let start = async |change: &dyn Fn(&mut holdfast_api::Settings)| {
        let other = tempfile::tempdir().expect("a folder");
        let mut settings = settings(other.path());
        change(&mut settings);
        chain(&Server::start(settings).await.err().expect("refused"))
    };
    let busy = shop.server.public_addr();
    let error = start(&|settings| settings.server.listen = busy).await;
    assert!(error.contains(&busy.to_string()) && error.contains("server.listen"), "{error}");
    let locked = shop.folder.path().join("data");
    let error = start(&|settings| settings.store.path = locked.clone()).await;
    assert!(error.contains("locked") && error.contains(&locked.display().to_string()), "{error}");
    let error = start(&|settings| settings.limits.json_depth = 0).await;
    assert!(error.contains("limits.json_depth"), "{error}");
    let file = shop.folder.path().join("a-file");
    std::fs::write(&file, "x").expect("written");
    let error = start(&|settings| settings.store.path = file.clone()).await;
    assert!(error.contains("a-file"), "{error}");
    shop.close().await;
}
