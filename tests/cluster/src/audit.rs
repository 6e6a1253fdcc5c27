//! Reads whole streams as bytes, with none of Holdfast's own code, and holds them to what a journal promises.
//!
//! Invariant: a report is given only of streams in which the sequence has no gap and no repetition, epochs go up one by one,
//! each is begun by exactly one record, and nothing of an epoch comes after a later one began.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, bail, ensure};
use async_nats::{Client, Message};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

/// Messages asked for at once, in number.
const AT_ONCE: u64 = 256;
/// How long an answer is waited for before the same is asked again.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Attempts without anything new before the audit gives up, in number.
const ATTEMPTS: u32 = 30;
/// Bytes in front of a message's records: length, checksum, epoch, first sequence number, count.
const HEADER: usize = 28;

/// One epoch of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Its number.
    pub epoch: u64,
    /// Who began it.
    pub boot: [u8; 16],
    /// The message that did.
    pub message: u64,
    /// The sequence number that was due then.
    pub next_seq: u64,
}

/// What one stream holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamAudit {
    /// Messages read.
    pub messages: u64,
    /// Records in them.
    pub records: u64,
    /// The epochs that begin in it, in order.
    pub epochs: Vec<Epoch>,
    /// The sequence number that follows its last record.
    pub next_seq: u64,
    /// The epoch it ends in.
    epoch: u64,
}

/// What all streams of a deployment hold, by shard.
pub type AuditReport = BTreeMap<u16, StreamAudit>;

/// Reads the streams of `shards` shards whole.
///
/// # Errors
/// When a promise is broken, by stream and message; when a stream cannot be read.
pub fn audit_streams(url: &str, deployment: &str, shards: u16) -> anyhow::Result<AuditReport> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = connect(url).await?;
        let mut report = AuditReport::new();
        for shard in 0..shards {
            let stream = format!("HOLDFAST_{deployment}_{shard}");
            let audit = audit(&client, &stream, shard).await.with_context(|| stream.clone())?;
            report.insert(shard, audit);
        }
        Ok(report)
    })
}

/// A client of the servers at these addresses, with commas between them.
///
/// # Errors
/// When none can be reached.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let servers: Vec<async_nats::ServerAddr> =
        url.split(',').map(str::parse).collect::<Result<_, _>>().context("the servers' addresses")?;
    Ok(async_nats::connect(servers).await?)
}

/// The number of a stream's first message.
///
/// # Errors
/// When the servers do not tell.
pub async fn first_message(client: &Client, stream: &str) -> anyhow::Result<u64> {
    let info = info(client, stream).await?;
    info.pointer("/state/first_seq").and_then(Value::as_u64).context("an answer without numbers")
}

async fn audit(client: &Client, stream: &str, shard: u16) -> anyhow::Result<StreamAudit> {
    let info = info(client, stream).await?;
    let number = |pointer: &str| info.pointer(pointer).and_then(Value::as_u64).context("an answer without numbers");
    let (first, last) = (number("/state/first_seq")?, number("/state/last_seq")?);
    let store = info.pointer("/config/metadata/holdfast.store").and_then(Value::as_str).context("no store's id")?;
    let store = u128::from_str_radix(store, 16)?.to_be_bytes();
    ensure!(number("/state/num_deleted").unwrap_or(0) == 0, "messages in its middle are gone");
    let mut audit = StreamAudit::default();
    let (mut next, mut attempts) = (first, 0);
    while next <= last {
        let before = next;
        read(client, stream, last, &mut next, |number, payload| {
            audit.take(&store, shard, number, payload).with_context(|| format!("message {number}"))
        })
        .await?;
        attempts = if next > before { 0 } else { attempts + 1 };
        ensure!(attempts < ATTEMPTS, "message {next} is not there, the stream says it ends with {last}");
    }
    Ok(audit)
}

async fn info(client: &Client, stream: &str) -> anyhow::Result<Value> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let answer = tokio::time::timeout(ATTEMPT, client.request(format!("$JS.API.STREAM.INFO.{stream}"), "".into()));
        match answer.await {
            Ok(Ok(answer)) => {
                let info: Value = serde_json::from_slice(&answer.payload)?;
                if info.get("error").is_none() {
                    return Ok(info);
                }
                last = Some(info.to_string());
            }
            Ok(Err(error)) => last = Some(error.to_string()),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bail!("the servers do not tell: {last:?}")
}

/// Reads some messages from `next` on, as many as one answer has.
async fn read(
    client: &Client,
    stream: &str,
    last: u64,
    next: &mut u64,
    mut take: impl FnMut(u64, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await?;
    let body = json!({ "seq": *next, "batch": AT_ONCE.min(last + 1 - *next) }).to_string();
    client.publish_with_reply(format!("$JS.API.DIRECT.GET.{stream}"), inbox, body.into()).await?;
    while let Ok(Some(answer)) = tokio::time::timeout(ATTEMPT, answers.next()).await {
        if answer.status.is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            return Ok(());
        }
        let number = number(&answer).context("an answer without a number")?;
        ensure!(number == *next, "message {number} follows where {next} was due");
        take(number, &answer.payload)?;
        *next += 1;
    }
    Ok(())
}

fn number(answer: &Message) -> Option<u64> {
    answer.headers.as_ref()?.get("Nats-Sequence")?.as_str().parse().ok()
}

impl StreamAudit {
    fn take(&mut self, store: &[u8; 16], shard: u16, number: u64, bytes: &[u8]) -> anyhow::Result<()> {
        ensure!(bytes.len() >= HEADER, "it has {} bytes", bytes.len());
        let (len, crc) = (u32_at(bytes, 0)?, u32_at(bytes, 4)?);
        ensure!(len as usize == bytes.len() - 8, "it says that it has {len} bytes behind its prefix");
        ensure!(crc32c::crc32c_append(crc32c::crc32c(store), &bytes[8..]) == crc, "its checksum does not match");
        let (epoch, first_seq, count) = (u64_at(bytes, 8)?, u64_at(bytes, 16)?, u32_at(bytes, 24)?);
        let is_first = self.messages == 0;
        if is_first && number > 1 {
            // What came before was purged.
            (self.epoch, self.next_seq) = (if count == 0 { epoch - 1 } else { epoch }, first_seq);
        } else if is_first {
            self.next_seq = 1;
        }
        ensure!(first_seq == self.next_seq, "it begins with record {first_seq} where {} was due", self.next_seq);
        if count == 0 {
            ensure!(bytes.len() == HEADER + 18, "a record of an epoch has {} bytes", bytes.len());
            ensure!(epoch == self.epoch + 1, "epoch {epoch} begins behind epoch {}", self.epoch);
            let boot = bytes[HEADER..HEADER + 16].try_into()?;
            self.epochs.push(Epoch { epoch, boot, message: number, next_seq: first_seq });
            self.epoch = epoch;
        } else {
            ensure!(epoch == self.epoch, "it is of epoch {epoch}, but epoch {} has begun", self.epoch);
            self.take_records(shard, &bytes[HEADER..], count)?;
        }
        self.messages += 1;
        Ok(())
    }

    fn take_records(&mut self, shard: u16, mut records: &[u8], count: u32) -> anyhow::Result<()> {
        for _ in 0..count {
            let len = u32_at(records, 0)? as usize + 4;
            let record = records.get(..len).context("a record is cut short")?;
            let (found, seq) = (u16::from_le_bytes(record[8..10].try_into()?), u64_at(record, 10)?);
            ensure!(found == shard, "a record of shard {found}");
            ensure!(seq == self.next_seq, "record {seq} follows where {} was due", self.next_seq);
            self.next_seq += 1;
            self.records += 1;
            records = &records[len..];
        }
        ensure!(records.is_empty(), "{} bytes trail its records", records.len());
        Ok(())
    }
}

fn u32_at(bytes: &[u8], at: usize) -> anyhow::Result<u32> {
    let field = bytes.get(at..at + 4).context("it is cut short")?;
    Ok(u32::from_le_bytes(field.try_into()?))
}

fn u64_at(bytes: &[u8], at: usize) -> anyhow::Result<u64> {
    let field = bytes.get(at..at + 8).context("it is cut short")?;
    Ok(u64::from_le_bytes(field.try_into()?))
}
