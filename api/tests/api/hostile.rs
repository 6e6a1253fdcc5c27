//! Input that means harm or makes no sense. Every one gets a 4xx problem, quickly, and the server goes on.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client::Reply,
    shop::{ADMIN, Shop, key, order_of},
};

/// What a refusal may take; the 50 ms are for an optimized build on a quiet machine.
const QUICKLY: Duration = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 50 });

fn resident_bytes() -> usize {
    let pages =
        std::fs::read_to_string("/proc/self/statm").ok().and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok());
    pages.expect("resident pages") * 4_096
}

async fn raw(shop: &Shop, bytes: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(shop.server.public_addr()).await.expect("connects");
    stream.write_all(bytes).await.expect("written");
    Reply::read(&mut stream).await
}

async fn post_order(shop: &Shop, body: &[u8]) -> Reply {
    let began = Instant::now();
    let reply = shop.post("/orders").key(&key("hostile")).body(body).send().await;
    assert!(began.elapsed() < QUICKLY, "{:?} for {} bytes", began.elapsed(), body.len());
    reply
}

/// Depth, length, items, numbers and encodings beyond every limit.
#[tokio::test]
async fn bodies_that_mean_harm_are_refused_quickly_and_cost_no_memory() {
    let shop = Shop::open().await;
    shop.stock("A", 10).await;
    let mut least_growth = usize::MAX;
    // Other tests run in this process: what every round grows by is ours, what only one does is theirs.
    for _ in 0..3 {
        let before = resident_bytes();
        send_everything_harmful(&shop).await;
        least_growth = least_growth.min(resident_bytes().saturating_sub(before));
    }
    println!("harmful bodies: resident memory +{} KiB", least_growth >> 10);
    assert!(least_growth < 10 << 20, "resident memory grew by {least_growth} bytes");
    assert_eq!(shop.level("A").await["available"], 10);
    shop.close().await;
}

async fn send_everything_harmful(shop: &Shop) {
    let order =
        |quantity: &str| format!(r#"{{"lines":[{{"sku":"A","quantity":{quantity}}}],"payment":{{"token":"t"}}}}"#);
    post_order(shop, b"{}").await.problem("invalid-request");
    post_order(shop, "[".repeat(60_000).as_bytes()).await.problem("body-too-complex");
    post_order(shop, r#"{"a":"#.repeat(10_000).as_bytes()).await.problem("body-too-complex");
    post_order(shop, format!("[{}1]", "1,".repeat(30_000)).as_bytes()).await.problem("body-too-complex");
    post_order(shop, "[".repeat(100_000).as_bytes()).await.problem("payload-too-large");
    post_order(shop, "1,".repeat(1_000_000).as_bytes()).await.problem("payload-too-large");
    post_order(shop, order("1e400").as_bytes()).await.problem("invalid-request");
    post_order(shop, order(&"9".repeat(5_000)).as_bytes()).await.problem("invalid-request");
    post_order(shop, br#"[[["A",1]],null,null,["tok_approve"]]"#).await.problem("invalid-request");
    post_order(shop, order("1,\"quantity\":1").as_bytes()).await.problem("invalid-request");
    post_order(shop, b"{\"lines\":[{\"sku\":\"\xff\",\"quantity\":1}]}").await.problem("malformed-json");
    post_order(shop, b"{\"lines\":[{\"sku\":\"A\\u0000\",\"quantity\":1}]}").await.problem("malformed-json");
    post_order(shop, b"\0").await.problem("malformed-json");
    post_order(shop, b"").await.problem("malformed-json");
    post_order(shop, b"\xef\xbb\xbf{}").await.problem("malformed-json");
}

#[tokio::test]
async fn a_hundred_megabytes_are_refused_before_they_are_sent() {
    let shop = Shop::open().await;
    let before = resident_bytes();
    let mut stream = TcpStream::connect(shop.server.public_addr()).await.expect("connects");
    let head = format!(
        "POST /api/v1/orders HTTP/1.1\r\nhost: shop\r\nidempotency-key: {}\r\n\
         content-type: application/json\r\ncontent-length: 104857600\r\n\r\n",
        key("huge")
    );
    let began = Instant::now();
    stream.write_all(head.as_bytes()).await.expect("written");
    let (mut reader, mut writer) = stream.into_split();
    // A client that sends everything first and reads then: the answer must survive until it does.
    let chunk = vec![b' '; 64 << 10];
    let sent = tokio::time::timeout(Duration::from_secs(1), async {
        let mut sent = 0_usize;
        while sent < 100 << 20 {
            match writer.write(&chunk).await {
                Ok(written) => sent += written,
                Err(_) => break,
            }
        }
        sent
    });
    let sent = sent.await.unwrap_or(0);
    let mut answer = Vec::new();
    let _ = reader.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
    assert!(text.contains("payload-too-large") && text.contains("\"limit_bytes\":65536"), "{text}");
    let grown = resident_bytes().saturating_sub(before);
    println!("100 MB announced, {sent} bytes sent, {:?}, resident memory +{} KiB", began.elapsed(), grown >> 10);
    assert!(grown < 10 << 20, "resident memory grew by {grown} bytes");
    shop.close().await;
}

#[tokio::test]
async fn a_body_in_chunks_is_cut_off_at_the_limit() {
    let shop = Shop::open().await;
    let mut stream = TcpStream::connect(shop.server.public_addr()).await.expect("connects");
    let head = format!(
        "POST /api/v1/orders HTTP/1.1\r\nhost: shop\r\nidempotency-key: {}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        key("chunks")
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    for _ in 0..5 {
        stream.write_all(format!("4000\r\n{}\r\n", " ".repeat(0x4000)).as_bytes()).await.expect("written");
    }
    Reply::read(&mut stream).await.problem("payload-too-large");
    shop.close().await;
}

/// Nothing is rounded, wrapped or cut off to fit.
#[tokio::test]
async fn numbers_that_are_no_quantities_are_refused_at_their_field() {
    let shop = Shop::open().await;
    shop.stock("A", 10).await;
    for quantity in ["-1", "0", "2147483648", "9223372036854775808", "18446744073709551616", "0.5", "1e2"] {
        let body = format!(r#"{{"lines":[{{"sku":"A","quantity":{quantity}}}],"payment":{{"token":"tok_approve"}}}}"#);
        let problem = post_order(&shop, body.as_bytes()).await.problem("invalid-request");
        assert_eq!(problem["errors"][0]["field"], "/lines/0/quantity", "{quantity}");
    }
    let price = r#"{"sku":"B","name":"B","price":{"amount_minor":9223372036854775808,"currency":"EUR"}}"#;
    let problem = shop.post("/products").bearer(ADMIN).body(price.as_bytes()).send().await.problem("invalid-request");
    assert_eq!(problem["errors"][0]["field"], "/price/amount_minor");
    assert_eq!(shop.level("A").await["available"], 10);
    shop.close().await;
}

/// Each number fits, and what they add up to does not.
#[tokio::test]
async fn sums_that_do_not_fit_are_refused_and_hold_nothing() {
    let shop = Shop::open().await;
    let dear = json!({"sku": "DEAR", "units": 10, "price": {"amount_minor": i64::MAX, "currency": "EUR"}});
    shop.sell(dear).await;
    let order = |lines: serde_json::Value| json!({"lines": lines, "payment": {"token": "tok_approve"}}).to_string();
    let twice = order(json!([{"sku": "DEAR", "quantity": 2}]));
    let also = order(json!([{"sku": "DEAR", "quantity": 1}, {"sku": "CHEAP", "quantity": 1}]));
    shop.stock("CHEAP", 10).await;
    for body in [twice, also] {
        let problem = post_order(&shop, body.as_bytes()).await.problem("invalid-request");
        assert_eq!(problem["errors"][0]["field"], "/lines", "{body}");
    }
    let million = r#"{"sku":"DEAR","quantity":1000000},"#.repeat(99);
    let many = format!(r#"{{"lines":[{}],"payment":{{"token":"t"}}}}"#, million.trim_end_matches(','));
    post_order(&shop, many.as_bytes()).await.problem("invalid-request");
    let adjust = |delta: i64| {
        let call = shop.post("/products/CHEAP/stock-adjustments").bearer(ADMIN);
        call.json(&json!({"delta": delta, "reason": "too many"})).send()
    };
    for _ in 0..2 {
        adjust(i64::MAX).await;
    }
    assert_eq!(adjust(i64::MAX).await.problem("invalid-request")["errors"][0]["field"], "/delta");
    adjust(i64::MIN).await.expect(200);
    for _ in 0..500 {
        // A line held in another shard goes back after the refusal.
        if shop.level("CHEAP").await["held"] == 0 {
            assert_eq!(shop.level("DEAR").await["available"], 10);
            shop.close().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("an order that was refused keeps its units: {}", shop.level("CHEAP").await);
}

#[tokio::test]
async fn what_is_not_http_is_answered_as_a_problem_too() {
    let shop = Shop::open().await;
    raw(&shop, b"nonsense\r\n\r\n").await.problem("malformed-request");
    raw(&shop, b"GET / HTTP/1.1\r\nbad header\r\n\r\n").await.problem("malformed-request");
    raw(&shop, b"GET /healthz HTTP/9.9\r\n\r\n").await.problem("malformed-request");
    let headers = format!("GET /healthz HTTP/1.1\r\nhost: shop\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    raw(&shop, headers.as_bytes()).await.problem("headers-too-large");
    let many = format!("GET /healthz HTTP/1.1\r\nhost: shop\r\n{}\r\n", "a: b\r\n".repeat(101));
    raw(&shop, many.as_bytes()).await.problem("headers-too-large");
    let address = format!("GET /{} HTTP/1.1\r\nhost: shop\r\n\r\n", "x".repeat(15_000));
    assert_eq!(raw(&shop, address.as_bytes()).await.status, 404);
    let smuggled = b"POST /api/v1/orders HTTP/1.1\r\nhost: shop\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n";
    raw(&shop, smuggled).await.problem("malformed-request");
    shop.close().await;
}

#[tokio::test]
async fn a_request_without_a_host_or_with_two_is_refused_and_its_connection_closed() {
    let shop = Shop::open().await;
    for hosts in ["", "host: shop\r\nhost: other\r\n"] {
        for path in ["/healthz", "/api/v1/products"] {
            let reply = raw(&shop, format!("GET {path} HTTP/1.1\r\n{hosts}\r\n").as_bytes()).await;
            assert_eq!(reply.problem("malformed-request")["errors"][0]["field"], "Host");
            assert_eq!((reply.status, reply.header("connection")), (400, "close"));
        }
    }
    raw(&shop, b"GET /healthz HTTP/1.0\r\n\r\n").await.expect(200);
    shop.close().await;
}

#[tokio::test]
async fn a_wrong_address_method_or_media_type_is_named() {
    let shop = Shop::open().await;
    shop.stock("A", 1).await;
    shop.get("/nothing").send().await.problem("not-found");
    let wrong = shop.call("PATCH", "/orders").send().await;
    wrong.problem("method-not-allowed");
    let allowed: Vec<_> = wrong.header("allow").split(',').map(str::trim).collect();
    assert!(allowed.contains(&"GET") && allowed.contains(&"POST"), "{allowed:?}");
    let typed = shop.post("/orders").key(&key("typed")).typed_body("text/plain", b"{}").send().await;
    typed.problem("unsupported-media-type");
    let order = || shop.post("/orders").key(&key("coded")).json(&order_of("A", 1));
    order().header("content-encoding", "gzip").send().await.problem("unsupported-media-type");
    order().header("accept", "text/html").send().await.problem("not-acceptable");
    order().header("accept", "text/html, application/json;q=0.1").send().await.expect(201);
    shop.get("/products/%2e%2e%2fA").send().await.problem("not-found");
    shop.get("/products/%FF").send().await.problem("not-found");
    shop.get("/orders/%00").bearer(ADMIN).send().await.problem("not-found");
    shop.close().await;
}

#[tokio::test]
async fn unknown_fields_are_refused_everywhere() {
    let shop = Shop::open().await;
    shop.stock("A", 1).await;
    let begun = shop.post("/cart").send().await.expect(201);
    let token = crate::shop::text(&begun["token"]);
    let product = json!({"sku": "B", "name": "B", "price": {"amount_minor": 1, "currency": "EUR"}, "colour": 1});
    let change = json!({"name": "B", "price": {"amount_minor": 1, "currency": "EUR", "colour": 1}});
    let any_order = "/orders/ord_00000000000000000000000000000000";
    for (call, field) in [
        (shop.post("/products").json(&product), "/colour"),
        (shop.call("PUT", "/products/A").json(&change), "/price/colour"),
        (shop.post("/products/A/stock-adjustments").json(&json!({"delta": 1, "reason": "x", "colour": 1})), "/colour"),
        (shop.post("/cart").json(&json!({"colour": 1})), "/colour"),
        (shop.post("/cart/items").cart(token).json(&json!({"sku": "A", "quantity": 1, "colour": 1})), "/colour"),
        (shop.call("PUT", "/cart/items/1").cart(token).json(&json!({"quantity": 1, "colour": 1})), "/colour"),
        (shop.post("/cart/merge").cart(token).json(&json!({"from": "x", "colour": 1})), "/colour"),
        (shop.call("PUT", &format!("{any_order}/status")).json(&json!({"status": "shipped", "colour": 1})), "/colour"),
        (shop.post(&format!("{any_order}/refunds")).key(&key("x")).json(&json!({"colour": 1})), "/colour"),
    ] {
        let problem = call.bearer(ADMIN).send().await.problem("invalid-request");
        assert_eq!(problem["errors"][0]["field"], field);
    }
    shop.close().await;
}
