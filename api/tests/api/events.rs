//! Live availability: how it is, then what changes, and a proper end.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client::{Reply, find},
    shop::{ADMIN, Shop, key},
};

/// An open stream of events.
struct Follower {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Follower {
    async fn of(shop: &Shop, sku: &str) -> Self {
        let mut stream = TcpStream::connect(shop.server.public_addr()).await.expect("connects");
        let request =
            format!("GET /api/v1/stock/{sku}/events HTTP/1.1\r\nhost: shop\r\naccept: text/event-stream\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("written");
        Self { stream, read: Vec::new() }
    }

    /// Reads until `part` comes; answers with everything before its end.
    async fn until(&mut self, part: &str) -> String {
        loop {
            if let Some(at) = find(&self.read, part.as_bytes()) {
                let rest = self.read.split_off(at + part.len());
                return String::from_utf8_lossy(&std::mem::replace(&mut self.read, rest)).into_owned();
            }
            let more = tokio::time::timeout(Duration::from_secs(10), self.stream.read_buf(&mut self.read)).await;
            let more = more.unwrap_or_else(|_| panic!("no {part:?} in {:?}", String::from_utf8_lossy(&self.read)));
            assert_ne!(more.expect("readable"), 0, "closed before {part:?}");
        }
    }

    /// The data of the next event of this name.
    async fn next(&mut self, name: &str) -> Value {
        self.until(&format!("event: {name}\n")).await;
        self.until("data: ").await;
        let line = self.until("\n\n").await;
        serde_json::from_str(line.trim()).expect("JSON")
    }

    /// Whether the server closes the stream.
    async fn closes(mut self) -> bool {
        let rest = tokio::time::timeout(Duration::from_secs(10), self.stream.read_to_end(&mut self.read)).await;
        rest.is_ok_and(|read| read.is_ok())
    }
}

#[tokio::test]
async fn a_follower_sees_how_it_is_and_every_change() {
    let shop = Shop::open_with(|settings| settings.limits.stream_interval_ms = 0).await;
    shop.stock("A", 2).await;
    let mut follower = Follower::of(&shop, "A").await;
    let head = follower.until("\r\n\r\n").await;
    assert!(head.contains("content-type: text/event-stream") && head.contains("cache-control: no-store"), "{head}");
    let first = follower.next("availability").await;
    assert_eq!((&first["sku"], &first["available"], &first["in_stock"]), (&json!("A"), &json!(2), &json!(true)));
    shop.order("A", 2, &key("follow")).await.expect(201);
    let sold = follower.next("availability").await;
    assert_eq!((&sold["available"], &sold["in_stock"]), (&json!(0), &json!(false)));
    assert!(sold["version"].as_u64() > first["version"].as_u64());
    shop.call("DELETE", "/products/A").bearer(ADMIN).send().await;
    assert_eq!(follower.next("end").await, json!({"reason": "removed"}));
    shop.close().await;
}

#[tokio::test]
async fn a_stream_says_the_end_when_the_server_shuts_down_and_does_not_hold_it_up() {
    let shop = Shop::open().await;
    shop.stock("A", 2).await;
    let mut followers = Vec::new();
    for _ in 0..10 {
        let mut follower = Follower::of(&shop, "A").await;
        follower.next("availability").await;
        followers.push(follower);
    }
    let began = std::time::Instant::now();
    shop.close().await;
    println!("drained 10 streams in {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5));
    for mut follower in followers {
        assert_eq!(follower.next("end").await, json!({"reason": "shutdown"}));
        assert!(follower.closes().await);
    }
}

#[tokio::test]
async fn a_quiet_stream_is_kept_alive_by_comments() {
    let shop = Shop::open_with(|settings| {
        settings.limits.stream_keep_alive_ms = 100;
        settings.deadlines.idle_ms = 600;
    })
    .await;
    shop.stock("A", 2).await;
    let mut follower = Follower::of(&shop, "A").await;
    for _ in 0..12 {
        follower.until(": keep-alive\n\n").await;
    }
    shop.close().await;
}

#[tokio::test]
async fn a_stream_too_many_and_one_of_nothing_are_refused() {
    let shop = Shop::open_with(|settings| settings.limits.streams = 1).await;
    shop.stock("A", 2).await;
    shop.get("/stock/NONE/events").send().await.problem("not-found");
    let mut follower = Follower::of(&shop, "A").await;
    follower.next("availability").await;
    shop.get("/stock/A/events").send().await.problem("too-many-streams");
    drop(follower);
    for _ in 0..100 {
        let mut again = Follower::of(&shop, "A").await;
        if Reply::read(&mut again.stream).await.status == 200 {
            shop.close().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the place was never free again");
}
