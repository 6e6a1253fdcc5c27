//! Peers that take their time: every one is cut off within the deadline of what it does not do, and buyers notice
//! nothing.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client::{Reply, find},
    shop::{Shop, key, order_of},
};

async fn connect(shop: &Shop) -> TcpStream {
    TcpStream::connect(shop.server.public_addr()).await.expect("connects")
}

/// Reads until the server closes, and says after how long that was.
async fn time_to_close(stream: &mut TcpStream) -> (Duration, Vec<u8>) {
    let (began, mut read) = (Instant::now(), Vec::new());
    let closed = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut read)).await;
    closed.expect("closed in time").ok();
    (began.elapsed(), read)
}

fn assert_about(took: Duration, millis: u64) {
    let range = millis.saturating_sub(120)..millis + 3_000;
    assert!(range.contains(&u64::try_from(took.as_millis()).expect("small")), "{took:?}, expected about {millis} ms");
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_trickles_a_head_is_cut() {
    let shop = Shop::open_with(|settings| {
        settings.deadlines.first_byte_ms = 400;
        settings.deadlines.header_ms = 600;
    })
    .await;
    let mut silent = connect(&shop).await;
    assert_about(time_to_close(&mut silent).await.0, 400);
    let (mut reader, mut writer) = connect(&shop).await.into_split();
    let began = Instant::now();
    let trickle = async {
        for byte in b"GET /healthz HTTP/1.1\r\nhost: a-shop-with-a-very-long-name-indeed\r\n".iter().cycle() {
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let closed = async { reader.read(&mut [0; 64]).await };
    tokio::select! {
        () = trickle => {}
        _ = closed => {}
    }
    assert_about(began.elapsed(), 600);
    shop.close().await;
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_its_deadline_and_then_closed() {
    let shop = Shop::open_with(|settings| {
        settings.deadlines.idle_ms = 700;
        settings.limits.stream_keep_alive_ms = 100;
    })
    .await;
    let mut stream = connect(&shop).await;
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: shop\r\n\r\n").await.expect("written");
        assert_eq!(Reply::read(&mut stream).await.status, 200);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_about(time_to_close(&mut stream).await.0 + Duration::from_millis(300), 700);
    shop.close().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_408() {
    let shop = Shop::open_with(|settings| settings.deadlines.body_ms = 300).await;
    let mut stream = connect(&shop).await;
    let head = format!(
        "POST /api/v1/orders HTTP/1.1\r\nhost: shop\r\nidempotency-key: {}\r\n\
         content-type: application/json\r\ncontent-length: 50\r\n\r\n{{",
        key("slow-body")
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    let began = Instant::now();
    Reply::read(&mut stream).await.problem("request-timeout");
    assert_about(began.elapsed(), 300);
    shop.close().await;
}

/// Its answers would pile up in memory, for as long as it likes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_cut_and_costs_no_memory() {
    let shop = Shop::open_with(|settings| settings.deadlines.write_ms = 500).await;
    let stream = connect(&shop).await;
    let (_unread, mut writer) = stream.into_split();
    let request = b"GET /api/v1/openapi.json HTTP/1.1\r\nhost: shop\r\n\r\n".repeat(64);
    let began = Instant::now();
    let resident = || std::fs::read_to_string("/proc/self/statm").expect("statm");
    let before = resident();
    let mut sent = 0_usize;
    while writer.write_all(&request).await.is_ok() {
        sent += request.len();
        assert!(began.elapsed() < Duration::from_secs(20), "never cut");
    }
    println!(
        "a client that never reads: cut after {:?}, {sent} bytes of requests taken; statm {before:?} -> {:?}",
        began.elapsed(),
        resident()
    );
    assert!(sent < 64 << 20, "the server stops reading while its answers are not read");
    assert_eq!(Reply::read(&mut connect_and_ask(&shop).await).await.status, 200, "others are served");
    shop.close().await;
}

async fn connect_and_ask(shop: &Shop) -> TcpStream {
    let mut stream = connect(shop).await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: shop\r\n\r\n").await.expect("written");
    stream
}

#[tokio::test]
async fn a_connection_too_many_is_refused_at_once() {
    let shop = Shop::open_with(|settings| (settings.limits.connections, settings.limits.streams) = (2, 1)).await;
    let (mut first, mut second) = (connect_and_ask(&shop).await, connect_and_ask(&shop).await);
    Reply::read(&mut first).await.expect(200);
    Reply::read(&mut second).await.expect(200);
    let began = Instant::now();
    let (_, refused) = time_to_close(&mut connect(&shop).await).await;
    let text = String::from_utf8_lossy(&refused);
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("problems/overloaded"), "{text}");
    assert!(text.contains("retry-after: 1"), "{text}");
    assert!(began.elapsed() < Duration::from_millis(500));
    drop(first);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(Reply::read(&mut connect_and_ask(&shop).await).await.status, 200, "a place was free again");
    shop.close().await;
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_order() {
    let shop = Shop::open().await;
    shop.stock("A", 10).await;
    let mut stream = connect(&shop).await;
    let mut all = Vec::new();
    for number in 0..20 {
        let body = order_of("A", 1).to_string();
        let connection = if number == 19 { "close" } else { "keep-alive" };
        let (key, length) = (key(&format!("ahead-{number}")), body.len());
        let request = format!(
            "POST /api/v1/orders HTTP/1.1\r\nhost: shop\r\nconnection: {connection}\r\nx-request-id: ahead-{number}\r\n\
             idempotency-key: {key}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        all.extend_from_slice(request.as_bytes());
    }
    stream.write_all(&all).await.expect("written");
    let (_, read) = time_to_close(&mut stream).await;
    let order: Vec<_> =
        (0..20).map(|number| find(&read, format!("x-request-id: ahead-{number}\r\n").as_bytes())).collect();
    assert!(order.windows(2).all(|pair| pair[0] < pair[1]), "{order:?}");
    let text = String::from_utf8_lossy(&read);
    assert_eq!((text.matches("HTTP/1.1 201").count(), text.matches("HTTP/1.1 409").count()), (10, 10));
    shop.close().await;
}
