//! The one thread that encodes and writes snapshots and purges what they contain, so that no turn waits for a disk. It only
//! ever gets what the gate let out: the journal has every event in these snapshots already.

use std::{
    collections::HashSet,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use holdfast_core::ShardId;
use holdfast_persistence::{EntityState, SnapshotStore, encode_snapshot};

use crate::{
    mailbox::Mailbox,
    message::{Envelope, Internal},
    retention::Retention,
};

/// What the writer is to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Write these entities.
    Snapshots { shard: ShardId, states: Vec<EntityState> },
    /// Everything up to here is written.
    Watermark { shard: ShardId, sequence: u64 },
    /// Finish what came before and end.
    Stop,
}

pub(crate) struct Writer {
    store: Arc<dyn SnapshotStore>,
    retention: Retention,
    mailboxes: Arc<[Arc<Mailbox>]>,
    /// Shards with a snapshot that could not be written: their watermark stays where it is until the node restarts.
    failed: HashSet<ShardId>,
}

/// Starts the writer of what comes in by `jobs`.
pub(crate) fn start(mut writer: Writer, jobs: mpsc::Receiver<Job>) -> io::Result<JoinHandle<()>> {
    let work = move || while jobs.recv().is_ok_and(|job| writer.carry_out(job)) {};
    thread::Builder::new().name(String::from("snapshots")).spawn(work)
}

impl Writer {
    pub(crate) fn new(store: Arc<dyn SnapshotStore>, retention: Retention, mailboxes: Arc<[Arc<Mailbox>]>) -> Self {
        Self { store, retention, mailboxes, failed: HashSet::new() }
    }

    /// Does one job. `false` when it was the last.
    pub(crate) fn carry_out(&mut self, job: Job) -> bool {
        match job {
            Job::Snapshots { shard, states } => self.write(shard, states),
            Job::Watermark { shard, sequence } => self.mark(shard, sequence),
            Job::Stop => return false,
        }
        true
    }

    fn write(&mut self, shard: ShardId, states: Vec<EntityState>) {
        let mut snapshots = Vec::with_capacity(states.len());
        for state in states {
            // A panic would end this thread, and with it the checkpoints of every shard.
            match catch_unwind(AssertUnwindSafe(|| encode_snapshot(&state.as_ref()))) {
                Ok(Ok(snapshot)) => snapshots.push(snapshot),
                Ok(Err(error)) => self.note_failure(shard, &error),
                Err(_) => self.note_failure(shard, &"encoding a state panicked"),
            }
        }
        match self.store.write(shard, &snapshots) {
            Ok(()) => self.tell(shard, Internal::snapshotted(snapshots)),
            Err(error) => self.note_failure(shard, &error),
        }
    }

    fn mark(&mut self, shard: ShardId, sequence: u64) {
        let watermark = if self.failed.contains(&shard) {
            0
        } else if let Err(error) = self.store.set_watermark(shard, sequence) {
            self.note_failure(shard, &error);
            0
        } else {
            sequence
        };
        self.tell(shard, Internal::Checkpointed { watermark });
        if watermark > 0 {
            self.retention.note_watermark(shard, watermark);
        }
    }

    fn note_failure(&mut self, shard: ShardId, error: &dyn fmt::Display) {
        metrics::counter!("holdfast_snapshot_failures_total").increment(1);
        tracing::error!(shard = shard.0, %error, "snapshots could not be written: the shard's journal tail grows");
        self.failed.insert(shard);
    }

    fn tell(&self, shard: ShardId, internal: Internal) {
        if let Some(mailbox) = self.mailboxes.get(usize::from(shard.0)) {
            mailbox.deliver(Envelope::Internal(internal));
        }
    }
}
