//! The one thread that encodes and writes snapshots and purges what they contain, so that no turn waits for a disk. It only
//! ever gets what the gate let out: the journal has every event in these snapshots already.
//!
//! The store keeps the entities of a shard in pages by key and rewrites a page for every write that touches it. So a checkpoint's
//! entities are put in that order first, and what waits is written together.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    hint::black_box,
    io, iter, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use holdfast_core::{EntityId, ShardId};
use holdfast_persistence::{EncodedSnapshot, EntityState, SnapshotStore, by_key, encode_snapshot};

use crate::{
    mailbox::Mailbox,
    message::{Envelope, Internal, SnapshotProgress},
    outbound::{Life, SnapshotTask},
    retention::Retention,
};

/// What the writer is to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// What a shard asks for.
    Task { life: Life, task: SnapshotTask },
    /// Finish what came before and end.
    Stop,
}

pub(crate) struct Writer {
    store: Arc<dyn SnapshotStore>,
    retention: Retention,
    mailboxes: Arc<[Arc<Mailbox>]>,
    /// Shards with a snapshot that could not be written: their watermark stays where it is until the node restarts.
    failed: HashSet<ShardId>,
    /// The newest life of each shard that has asked for anything.
    lives: HashMap<ShardId, u64>,
    /// Encoded and not written yet, by shard and the number of its life.
    gathered: BTreeMap<(ShardId, u64), Gathered>,
    /// From so many states on they are written.
    batch: usize,
}

/// What is to be written for one life of a shard.
#[derive(Debug, Default)]
struct Gathered {
    snapshots: Vec<EncodedSnapshot>,
    /// Entities whose states could not be encoded.
    unsaved: Vec<EntityId>,
}

/// Gives the thread this nice value. On Linux "process 0" is the calling thread alone.
#[cfg(target_os = "linux")]
fn stand_back(nice: u8) {
    if let Err(error) = rustix::process::setpriority_process(None, nice.into()) {
        tracing::warn!(%error, nice, "the snapshots' thread keeps its priority");
    }
}

/// Elsewhere it would be the whole process.
#[cfg(not(target_os = "linux"))]
fn stand_back(_: u8) {}

/// Starts the writer of what comes in by `jobs`, in a thread of this nice value.
pub(crate) fn start(mut writer: Writer, jobs: mpsc::Receiver<Job>, nice: u8) -> io::Result<JoinHandle<()>> {
    let work = move || {
        if nice > 0 {
            stand_back(nice);
        }
        while let Ok(first) = jobs.recv() {
            // What came while the last batch was written goes together.
            let mut waiting = iter::once(first).chain(jobs.try_iter());
            let stopped = !waiting.all(|job| writer.carry_out(job));
            writer.flush();
            if stopped {
                break;
            }
        }
    };
    thread::Builder::new().name(String::from("snapshots")).spawn(work)
}

/// So many states are looked at before the first of them is encoded.
const LOOK_AHEAD: usize = 64;

/// Reads of each order what it shares with the shard. They lie all over the memory, and a processor that asks for one after the other,
/// with nothing in between, waits for several at once.
fn look_ahead(states: &[EntityState]) {
    let placements = || {
        states.iter().filter_map(|state| match state {
            EntityState::Order(order) => order.placement(),
            _ => None,
        })
    };
    for placement in placements() {
        black_box(placement.placed_at);
    }
    for placement in placements() {
        black_box(placement.lines.first().map(|line| line.quantity));
    }
}

impl Writer {
    pub(crate) fn new(
        store: Arc<dyn SnapshotStore>,
        retention: Retention,
        mailboxes: Arc<[Arc<Mailbox>]>,
        batch: usize,
    ) -> Self {
        let (failed, lives, gathered) = (HashSet::new(), HashMap::new(), BTreeMap::new());
        Self { store, retention, mailboxes, failed, lives, gathered, batch }
    }

    /// Does one job; snapshots may stay gathered until [`Writer::flush`]. `false` when it was the last.
    pub(crate) fn carry_out(&mut self, job: Job) -> bool {
        let Job::Task { life, task } = job else { return false };
        let newest = self.lives.entry(life.shard).or_insert(life.number);
        if life.number < *newest {
            // The shard has come back since, and what it has is newer.
            return true;
        }
        *newest = life.number;
        match task {
            SnapshotTask::Arrange(entities) => {
                let mut entities = entities.into_vec();
                entities.sort_unstable_by(by_key);
                entities.dedup();
                self.tell(life, SnapshotProgress::Arranged(entities));
            }
            SnapshotTask::Write(states) => self.gather(life, states),
            SnapshotTask::Watermark(sequence) => self.mark(life, sequence),
        }
        true
    }

    fn gather(&mut self, life: Life, states: Vec<EntityState>) {
        let (mut snapshots, mut unsaved) = (Vec::with_capacity(states.len()), Vec::new());
        let mut states = states.into_iter();
        while states.len() > 0 {
            look_ahead(&states.as_slice()[..states.len().min(LOOK_AHEAD)]);
            // Each goes once it is encoded: what it shares with the shard is copied when the shard changes it meanwhile.
            for state in states.by_ref().take(LOOK_AHEAD) {
                // A panic would end this thread, and with it the checkpoints of every shard.
                match catch_unwind(AssertUnwindSafe(|| encode_snapshot(&state.as_ref()))) {
                    Ok(Ok(snapshot)) => {
                        snapshots.push(snapshot);
                        continue;
                    }
                    Ok(Err(error)) => self.note_failure(life.shard, &error),
                    Err(_) => self.note_failure(life.shard, &"encoding a state panicked"),
                }
                unsaved.push(state.id());
            }
        }
        let gathered = self.gathered.entry((life.shard, life.number)).or_default();
        gathered.snapshots.append(&mut snapshots);
        gathered.unsaved.append(&mut unsaved);
        if self.gathered.values().map(|gathered| gathered.snapshots.len()).sum::<usize>() >= self.batch {
            self.flush();
        }
    }

    /// Writes what is gathered.
    pub(crate) fn flush(&mut self) {
        for ((shard, number), Gathered { mut snapshots, mut unsaved }) in mem::take(&mut self.gathered) {
            if let Err(error) = self.store.write(shard, &snapshots) {
                self.note_failure(shard, &error);
                unsaved.extend(snapshots.drain(..).map(|snapshot| snapshot.entity));
            }
            let saved = snapshots.into_iter().map(|snapshot| (snapshot.entity, snapshot.version)).collect();
            self.tell(Life { shard, number }, SnapshotProgress::Written { saved, unsaved });
        }
    }

    fn mark(&mut self, life: Life, sequence: u64) {
        self.flush();
        let shard = life.shard;
        let watermark = if self.failed.contains(&shard) {
            0
        } else if let Err(error) = self.store.set_watermark(shard, sequence) {
            self.note_failure(shard, &error);
            0
        } else {
            sequence
        };
        self.tell(life, SnapshotProgress::Checkpointed { watermark });
        if watermark > 0 {
            self.retention.note_watermark(shard, watermark);
        }
    }

    fn note_failure(&mut self, shard: ShardId, error: &dyn fmt::Display) {
        metrics::counter!("holdfast_snapshot_failures_total").increment(1);
        tracing::error!(shard = shard.0, %error, "snapshots could not be written: the shard's journal tail grows");
        self.failed.insert(shard);
    }

    fn tell(&self, Life { shard, number: life }: Life, progress: SnapshotProgress) {
        if let Some(mailbox) = self.mailboxes.get(usize::from(shard.0)) {
            mailbox.deliver(Envelope::Internal(Internal::Snapshots { life, progress }));
        }
    }
}

#[cfg(test)]
mod tests;
