//! Requests that mean harm, as they stand on the wire, and what the server made of each.

use std::{net::SocketAddr, time::Duration};

use holdfast_api::load::{order::fresh_run, stopwatch::Stopwatch};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::wire::Received;

/// No refusal takes longer than this on any machine.
const PATIENCE: Duration = Duration::from_secs(20);

const HUNDRED_MEGABYTES: u64 = 100 << 20;

/// One request that means harm.
#[derive(Debug, Clone)]
pub struct Harm {
    /// What it is.
    pub name: &'static str,
    head: String,
    body: Body,
}

/// What follows the head.
#[derive(Debug, Clone)]
enum Body {
    /// These bytes.
    Bytes(Vec<u8>),
    /// So many spaces, sent for as long as they are taken.
    Endless(u64),
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The status; `None` if the connection was closed without an answer.
    pub status: Option<u16>,
    /// The last part of the problem's type.
    pub problem: String,
    /// From the first byte sent to the end of the answer.
    pub took: Duration,
}

/// An order of SKU `A` whose quantity is written as `quantity`.
fn order(quantity: &str) -> Vec<u8> {
    format!(r#"{{"lines":[{{"sku":"A","quantity":{quantity}}}],"payment":{{"token":"tok_approve"}}}}"#).into_bytes()
}

/// Everything harmful there is, for `POST /orders` and as an admin with `token` for `POST /products`.
///
/// # Errors
/// When the operating system has no randomness.
pub fn everything(token: &str) -> anyhow::Result<Vec<Harm>> {
    let mut all = Vec::new();
    for (name, body) in bodies() {
        for path in ["/api/v1/orders", "/api/v1/products", "/api/v1/cart/merge"] {
            let head = format!("{}authorization: Bearer {token}\r\nx-cart-token: none\r\n", start(path)?);
            let head = format!("{head}content-length: {}\r\n\r\n", body.len());
            all.push(Harm { name, head, body: Body::Bytes(body.clone()) });
        }
    }
    let orders = start("/api/v1/orders")?;
    let huge = format!("{orders}content-length: {HUNDRED_MEGABYTES}\r\n\r\n");
    all.push(Harm { name: "100 MB", head: huge, body: Body::Endless(HUNDRED_MEGABYTES) });
    let chunks = format!("{orders}transfer-encoding: chunked\r\n\r\n6400000\r\n");
    all.push(Harm { name: "100 MB in one chunk", head: chunks, body: Body::Endless(HUNDRED_MEGABYTES) });
    for (name, lines, body) in framings() {
        all.push(Harm { name, head: format!("{orders}{lines}\r\n"), body: Body::Bytes(body.to_vec()) });
    }
    Ok(all)
}

/// The head of a POST with a key of its own, up to what says how long the body is.
fn start(path: &str) -> anyhow::Result<String> {
    let key = fresh_run()?;
    Ok(format!(
        "POST {path} HTTP/1.1\r\nhost: shop\r\nidempotency-key: {key}\r\ncontent-type: application/json\r\n\
         connection: close\r\n"
    ))
}

fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("nothing", Vec::new()),
        ("depth 100,000", text(&"[".repeat(100_000))),
        ("depth 60,000", text(&"[".repeat(60_000))),
        ("objects 10,000 deep", text(&r#"{"a":"#.repeat(10_000))),
        ("a million items", text(&format!("[{}1]", "1,".repeat(1_000_000)))),
        ("30,000 items", text(&format!("[{}1]", "1,".repeat(30_000)))),
        ("5,000 empty lines", text(&format!(r#"{{"lines":[{}{{}}]}}"#, "{},".repeat(5_000)))),
        ("a key of 60,000 bytes", text(&format!(r#"{{"{}":1}}"#, "k".repeat(60_000)))),
        ("a SKU of 60,000 bytes", text(&format!(r#"{{"lines":[{{"sku":"{}","quantity":1}}]}}"#, "A".repeat(60_000)))),
        ("duplicate fields", order("1,\"quantity\":1")),
        ("1e400", order("1e400")),
        ("-1e400", order("-1e400")),
        ("1e-400", order("1e-400")),
        ("5,000 digits", order(&"9".repeat(5_000))),
        ("-1", order("-1")),
        ("0", order("0")),
        ("2^31", order("2147483648")),
        ("2^63", order("9223372036854775808")),
        ("2^64", order("18446744073709551616")),
        ("NaN", order("NaN")),
        ("bad UTF-8", b"{\"lines\":[{\"sku\":\"\xff\",\"quantity\":1}]}".to_vec()),
        ("overlong UTF-8", b"{\"lines\":[{\"sku\":\"\xc0\xaf\",\"quantity\":1}]}".to_vec()),
        ("half a surrogate", text(r#"{"lines":[{"sku":"\ud800","quantity":1}]}"#)),
        ("an escaped NUL", text(r#"{"lines":[{"sku":"A\u0000","quantity":1}]}"#)),
        ("a NUL", b"\0".to_vec()),
        ("60,000 NULs", vec![0; 60_000]),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("an array", text(r#"[[["A",1]],null,null,["tok_approve"]]"#)),
        ("null", text("null")),
        ("half a body", text(r#"{"lines":["#)),
        ("two bodies", text("{}{}")),
        ("60,000 quotes", text(&"\"".repeat(60_000))),
        ("60,000 backslashes", text(&format!("\"{}", "\\".repeat(60_000)))),
    ]
}

/// Heads that frame their body in a way that means harm.
fn framings() -> Vec<(&'static str, &'static str, &'static [u8])> {
    vec![
        ("a negative length", "content-length: -1\r\n", b"{}"),
        ("a length beyond 64 bits", "content-length: 18446744073709551616\r\n", b"{}"),
        ("two lengths", "content-length: 2\r\ncontent-length: 3\r\n", b"{} "),
        ("a chunk beyond 64 bits", "transfer-encoding: chunked\r\n", b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        ("a chunk of no number", "transfer-encoding: chunked\r\n", b"zz\r\n{}\r\n0\r\n\r\n"),
        ("a coding nobody knows", "transfer-encoding: gzip\r\n", b"{}"),
        ("a length and chunks", "content-length: 2\r\ntransfer-encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
    ]
}

impl Harm {
    /// Does it.
    ///
    /// # Errors
    /// When nobody listens, or there is no answer within 20 s.
    pub async fn inflict(&self, address: SocketAddr) -> anyhow::Result<Refusal> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut reader, mut writer) = stream.into_split();
        let (watch, mut answer) = (Stopwatch::start(), Vec::new());
        let sending = async {
            writer.write_all(self.head.as_bytes()).await?;
            match &self.body {
                Body::Bytes(bytes) => writer.write_all(bytes).await?,
                Body::Endless(bytes) => {
                    let chunk = vec![b' '; 64 << 10];
                    let chunks = bytes / chunk.len() as u64;
                    for _ in 0..chunks {
                        writer.write_all(&chunk).await?;
                    }
                }
            }
            // Kept open until the answer is there: a half-closed connection is another matter.
            std::future::pending::<std::io::Result<()>>().await
        };
        let reading = async {
            let mut part = [0; 4_096];
            while Received::parse(&answer).is_none() {
                match reader.read(&mut part).await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => answer.extend(part.iter().take(read)),
                }
            }
        };
        // A write that fails leaves the answer to be read.
        let both = async {
            tokio::pin!(reading);
            tokio::select! {
                () = &mut reading => {}
                _ = sending => reading.await,
            }
        };
        tokio::time::timeout(PATIENCE, both).await?;
        let (took, received) = (watch.elapsed(), Received::parse(&answer));
        let problem = received.as_ref().map(|received| received.problem().to_owned()).unwrap_or_default();
        Ok(Refusal { status: received.map(|received| received.status), problem, took })
    }
}
