//! A client that follows the live stock of a SKU at one node.
//!
//! Invariant: what a stream shows goes forward only, and its end is known: said by the server, or broken off.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::stage::{PATIENCE, wait_until};

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// In order, for this reason.
    Said(String),
    /// The connection broke off.
    Broken,
}

/// A stock level as an event shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Level {
    /// The stock's version.
    pub version: u64,
    /// Units that can be bought.
    pub available: u64,
}

/// A stream that is followed until it ends.
pub struct Live {
    seen: Arc<Mutex<Seen>>,
    /// Reads it, for as long as this is kept.
    _reading: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    levels: Vec<Level>,
    end: Option<End>,
    /// What was wrong with the stream.
    fault: Option<String>,
}

/// The bytes of an answer in chunks, and the text in them.
struct Chunks {
    stream: TcpStream,
    raw: Vec<u8>,
    text: String,
}

impl Live {
    /// Follows a SKU at a node, as a client does whose last event was `last`.
    ///
    /// # Errors
    /// When there is no stream, with the status that was answered instead.
    pub async fn open(address: SocketAddr, sku: &str, last: Option<u64>) -> anyhow::Result<Self> {
        let mut chunks = Chunks { stream: TcpStream::connect(address).await?, raw: Vec::new(), text: String::new() };
        let last = last.map_or_else(String::new, |id| format!("last-event-id: {id}\r\n"));
        let request =
            format!("GET /api/v1/stock/{sku}/events HTTP/1.1\r\nhost: shop\r\naccept: text/event-stream\r\n{last}\r\n");
        chunks.stream.write_all(request.as_bytes()).await?;
        let head = chunks.line(b"\r\n\r\n").await?.context("no answer")?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "no stream of {sku}: {}", head.lines().next().unwrap_or_default());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut reading = JoinSet::new();
        reading.spawn(follow(chunks, Arc::clone(&seen)));
        Ok(Self { seen, _reading: reading })
    }

    /// Waits until this version, or a later one, was shown.
    ///
    /// # Errors
    /// When the stream ends before, or what it shows makes no sense.
    pub async fn until(&self, version: u64) -> anyhow::Result<()> {
        let is_over =
            || self.last().is_some_and(|last| last >= version) || self.end().is_some() || self.check().is_err();
        wait_until(&format!("version {version}"), is_over).await?;
        self.check()?;
        ensure!(self.last().is_some_and(|last| last >= version), "ended before version {version}: {:?}", self.lock());
        Ok(())
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When it does not come, or what was shown makes no sense.
    pub async fn ended(&self) -> anyhow::Result<End> {
        wait_until("the end of a stream", || self.end().is_some() || self.check().is_err()).await?;
        self.check()?;
        self.end().context("an end")
    }

    /// Everything it has shown, in order.
    pub fn levels(&self) -> Vec<Level> {
        self.lock().levels.clone()
    }

    /// The last version it has shown.
    pub fn last(&self) -> Option<u64> {
        self.lock().levels.last().map(|level| level.version)
    }

    fn end(&self) -> Option<End> {
        self.lock().end.clone()
    }

    fn check(&self) -> anyhow::Result<()> {
        match &self.lock().fault {
            Some(fault) => bail!("{fault}"),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow(mut chunks: Chunks, seen: Arc<Mutex<Seen>>) {
    let mut reason = None;
    let end = loop {
        match chunks.event().await {
            Ok(Some(event)) => {
                let taken = lock(&seen).take(&event);
                match taken {
                    Ok(said) => reason = said.or(reason),
                    Err(error) => break Err(format!("{error:#} in {event:?}")),
                }
            }
            Ok(None) => break reason.map(End::Said).ok_or_else(|| "it ended without saying why".to_owned()),
            Err(_) => break Ok(End::Broken),
        }
    };
    let mut seen = lock(&seen);
    match end {
        Ok(end) => seen.end = Some(end),
        Err(fault) => seen.fault = Some(fault),
    }
}

impl Seen {
    /// Takes an event in. Why the stream ends, if it says so.
    fn take(&mut self, event: &str) -> anyhow::Result<Option<String>> {
        if event.starts_with(':') {
            return Ok(None);
        }
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let data = field("data").context("no data")?;
        if field("event") == Some("end") {
            let data: Value = serde_json::from_str(data)?;
            return Ok(Some(data["reason"].as_str().context("no reason")?.to_owned()));
        }
        let level: Level = serde_json::from_str(data)?;
        ensure!(field("event") == Some("availability"), "an event of another name");
        ensure!(field("id") == Some(&level.version.to_string()), "its id is not its version");
        let last = self.levels.last().map_or(0, |level| level.version);
        ensure!(level.version > last, "version {} was shown after {last}", level.version);
        self.levels.push(level);
        Ok(None)
    }
}

impl Chunks {
    /// The next event; none once the answer has ended as it should.
    async fn event(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                return Ok(Some(event));
            }
            let size = self.line(b"\r\n").await?.context("broken off")?;
            let size = usize::from_str_radix(&size, 16)?;
            while self.raw.len() < size + 2 {
                ensure!(self.more().await? > 0, "broken off");
            }
            if size == 0 {
                return Ok(None);
            }
            self.text.push_str(std::str::from_utf8(&self.raw[..size])?);
            self.raw.drain(..size + 2);
        }
    }

    /// What comes before `end`; none when the connection is closed before.
    async fn line(&mut self, end: &[u8]) -> anyhow::Result<Option<String>> {
        loop {
            if let Some(at) = self.raw.windows(end.len()).position(|bytes| bytes == end) {
                let line = String::from_utf8(self.raw[..at].to_vec())?;
                self.raw.drain(..at + end.len());
                return Ok(Some(line));
            }
            if self.more().await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn more(&mut self) -> anyhow::Result<usize> {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.raw)).await;
        Ok(read.context("nothing came, not even a sign of life")??)
    }
}
