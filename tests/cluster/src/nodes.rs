//! Nodes that share a deployment: each with its journal, a replica that its tail feeds, and a writer for the shards it owns.
//!
//! Invariant: a replica takes every record once and in order, whoever appended it, or the test fails; a writer notes every
//! record whose durability it was told.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use holdfast_cluster::{BootId, ClusterSettings, JetStream, JetStreamJournal, NatsSettings, Owners, Tail, TailSink};
use holdfast_core::{ShardCount, ShardId};
use holdfast_persistence::{Journal, JournalError, Record, journal::JournalOptions};
use tokio::runtime::Runtime;

use crate::{STORE, batch, mark_of, wait_for};

/// Batches of one shard on their way at once, in number.
const WAITING: u64 = 8;

/// What one node has of every shard.
#[derive(Debug, Default)]
pub struct Replica {
    shards: Mutex<BTreeMap<u16, Vec<u64>>>,
    /// What went wrong.
    pub faults: Mutex<Vec<String>>,
    /// How long the tail waits for the replica at each message, in milliseconds.
    pub slowness_ms: AtomicU64,
}

impl Replica {
    /// Who wrote each record of a shard, in order.
    pub fn marks(&self, shard: u16) -> Vec<u64> {
        self.shards.lock().map(|shards| shards.get(&shard).cloned().unwrap_or_default()).unwrap_or_default()
    }

    /// Takes a record in. One that is not due is noted as a fault.
    pub fn add(&self, shard: ShardId, seq: u64, mark: u64, from: &str) {
        let Ok(mut shards) = self.shards.lock() else { return };
        let marks = shards.entry(shard.0).or_default();
        if marks.len() as u64 + 1 != seq {
            let fault = format!("record {seq} of shard {} came from {from} behind {}", shard.0, marks.len());
            return self.faults.lock().map(|mut faults| faults.push(fault)).unwrap_or_default();
        }
        marks.push(mark);
    }
}

#[async_trait]
impl TailSink for Replica {
    async fn take(&self, shard: ShardId, records: Vec<(u64, Record)>) {
        tokio::time::sleep(Duration::from_millis(self.slowness_ms.load(Ordering::Relaxed))).await;
        for (seq, record) in records {
            self.add(shard, seq, mark_of(&record), "the tail");
        }
    }

    async fn broken(&self, shard: ShardId, error: JournalError) {
        let fault = format!("shard {}: {error}", shard.0);
        self.faults.lock().map(|mut faults| faults.push(fault)).unwrap_or_default();
    }
}

/// One node of several.
pub struct Node {
    /// Its journal.
    pub journal: Arc<JetStreamJournal>,
    /// What it has of every shard.
    pub replica: Arc<Replica>,
    /// Whose the shards are, as far as it knows.
    pub owners: Arc<Owners>,
    /// What it was told is durable: shard, sequence number.
    pub acked: Arc<Mutex<Vec<(u16, u64)>>>,
    /// Batches it was told are not.
    pub refused: Arc<AtomicU64>,
    mark: u64,
    shards: ShardCount,
    stop: Arc<AtomicBool>,
    writer: Option<thread::JoinHandle<()>>,
    runtime: Runtime,
    _tail: Tail,
}

impl Node {
    /// A node whose records carry `mark`. It owns nothing, and follows everything from the beginning.
    ///
    /// # Errors
    /// When it cannot join.
    pub fn join(settings: &NatsSettings, shards: ShardCount, mark: u64) -> anyhow::Result<Self> {
        let (options, boot) = (JournalOptions::default(), BootId::from_bytes([u8::try_from(mark)?; 16]));
        let owners = Arc::new(Owners::none(shards));
        let cluster = ClusterSettings { node: format!("n{mark}"), ..ClusterSettings::default() };
        let servers = JetStream::connect(settings, &options)?;
        let (journal, _) = servers.join(STORE, shards, &options, boot, Arc::clone(&owners), &cluster)?;
        let replica = Arc::new(Replica::default());
        let sink: Arc<dyn TailSink> = Arc::<Replica>::clone(&replica);
        let tail = journal.tail(&shards.iter().map(|shard| (shard, 1)).collect(), &sink)?;
        Ok(Self {
            journal,
            replica,
            owners,
            acked: Arc::default(),
            refused: Arc::default(),
            mark,
            shards,
            stop: Arc::default(),
            writer: None,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            _tail: tail,
        })
    }

    /// Takes a shard over and waits until the replica has everything before. Where the sequence goes on.
    ///
    /// # Errors
    /// When it does not become the owner, or the replica lacks anything.
    pub fn acquire(&self, shard: u16, is_handed_over: bool) -> anyhow::Result<u64> {
        self.runtime.block_on(async {
            let acquired = self.journal.acquire(ShardId(shard), is_handed_over).await?;
            self.journal.caught_up(ShardId(shard), acquired.next_seq).await?;
            let has = self.replica.marks(shard).len() as u64;
            // A writer may have appended since.
            ensure!(has + 1 >= acquired.next_seq, "the replica has {has} records of {}", acquired.next_seq - 1);
            Ok(acquired.next_seq)
        })
    }

    /// Lets a shard go. Where the sequence goes on.
    ///
    /// # Errors
    /// When it was not owned, or lost meanwhile.
    pub fn release(&self, shard: u16) -> anyhow::Result<u64> {
        Ok(self.runtime.block_on(self.journal.release(ShardId(shard)))?.next_seq)
    }

    /// Begins to append to every shard, while it owns it and its replica is complete.
    pub fn write(&mut self, size: u64) {
        let (journal, replica) = (Arc::clone(&self.journal), Arc::clone(&self.replica));
        let (acked, refused, stop) = (Arc::clone(&self.acked), Arc::clone(&self.refused), Arc::clone(&self.stop));
        let (mark, shards) = (self.mark, self.shards);
        self.writer = Some(thread::spawn(move || {
            let on_their_way: Vec<_> = shards.iter().map(|_| Arc::new(AtomicU64::new(0))).collect();
            while !stop.load(Ordering::Relaxed) {
                for (shard, on_its_way) in shards.iter().zip(&on_their_way) {
                    let (has, waiting) = (replica.marks(shard.0).len() as u64, on_its_way.load(Ordering::SeqCst));
                    let is_complete = waiting > 0 || has + 1 == journal.next_seq(shard);
                    if !journal.owns(shard) || !is_complete || waiting >= WAITING {
                        continue;
                    }
                    let first_seq = journal.next_seq(shard);
                    let Ok(batch) = batch(shard, first_seq, size, mark) else { continue };
                    on_its_way.fetch_add(1, Ordering::SeqCst);
                    let (replica, acked, refused) = (Arc::clone(&replica), Arc::clone(&acked), Arc::clone(&refused));
                    let on_its_way = Arc::clone(on_its_way);
                    let done = move |outcome: Result<(), _>| {
                        for seq in (first_seq..first_seq + size).filter(|_| outcome.is_ok()) {
                            replica.add(shard, seq, mark, "the writer");
                            acked.lock().map(|mut acked| acked.push((shard.0, seq))).unwrap_or_default();
                        }
                        refused.fetch_add(u64::from(outcome.is_err()), Ordering::SeqCst);
                        on_its_way.fetch_sub(1, Ordering::SeqCst);
                    };
                    journal.append(&batch, Box::new(done));
                }
                thread::sleep(Duration::from_millis(1));
            }
            let is_idle = || on_their_way.iter().all(|count| count.load(Ordering::SeqCst) == 0);
            let _ = wait_for("every completion", is_idle);
        }));
    }

    /// How many records it was told are durable.
    pub fn acked(&self) -> u64 {
        self.acked.lock().map_or(0, |acked| acked.len() as u64)
    }

    /// Waits until it was told of `more` durable records.
    ///
    /// # Errors
    /// When it is not.
    pub fn wait_for_more(&self, more: u64) -> anyhow::Result<()> {
        let before = self.acked();
        wait_for("more durable records", || self.acked() >= before + more)
    }

    /// Stops the writer, and waits until every completion ran.
    ///
    /// # Errors
    /// When it panicked.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let Some(writer) = self.writer.take() else { return Ok(()) };
        writer.join().ok().context("a writer panicked")
    }

    /// Fails unless the replica has exactly these records of a shard, and nothing ever came out of order; and unless every
    /// record this node was told is durable is among them, as its own.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self, shard: u16, marks: &[u64]) -> anyhow::Result<()> {
        wait_for("the replica", || self.replica.marks(shard).len() >= marks.len())?;
        let faults = self.replica.faults.lock().map(|faults| faults.clone()).unwrap_or_default();
        ensure!(faults.is_empty(), "{faults:?}");
        ensure!(self.replica.marks(shard) == marks, "the replica of shard {shard} is another");
        let acked = self.acked.lock().map(|acked| acked.clone()).unwrap_or_default();
        for (_, seq) in acked.iter().filter(|(of, _)| *of == shard) {
            let found = marks.get(usize::try_from(seq - 1)?);
            ensure!(found == Some(&self.mark), "record {seq} of shard {shard} was acknowledged and is {found:?}");
        }
        Ok(())
    }
}

/// Who wrote each record of every shard, in order, as a fresh node reads it.
///
/// # Errors
/// When it cannot be read.
pub fn read_all(settings: &NatsSettings, shards: ShardCount) -> anyhow::Result<BTreeMap<u16, Vec<u64>>> {
    let node = Node::join(settings, shards, 99)?;
    let read = crate::replay(&*node.journal, shards, 1)?;
    Ok(read.into_iter().map(|(shard, records)| (shard, records.into_iter().map(|(_, mark)| mark).collect())).collect())
}
