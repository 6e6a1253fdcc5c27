//! Lets out what one sync has made durable, in one task as a rule, however many shards it was for.
//!
//! Why: in a sale of many SKUs a sync is for most of the shards. A task for each costs more than what it lets out, and the shards'
//! next turns come one by one, each before the clients of the others are back.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{background::Background, gate::Gate};

/// How many emptied lists are kept: while one is let out and its clients have the processor, the next is told.
const SPARE_LISTS: usize = 2;

/// What the journal has told and nobody has let out yet.
pub(crate) struct Releases {
    background: Arc<dyn Background>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    told: Vec<Told>,
    /// Emptied lists with their room, for what is told next.
    spare: Vec<Vec<Told>>,
}

/// A gate, and the last record behind it that is durable.
struct Told {
    gate: Arc<Gate>,
    sequence: u64,
}

impl Releases {
    /// Nothing told yet.
    pub(crate) fn new(background: Arc<dyn Background>) -> Arc<Self> {
        Arc::new(Self { background, state: Mutex::default() })
    }

    /// The journal has made every record of a shard up to `sequence` durable.
    ///
    /// What that allows is let out on the runtime, not on the journal's thread: waking a hundred clients from outside the
    /// runtime costs a system call each, and the journal could sync its next frame meanwhile.
    pub(crate) fn durable(self: &Arc<Self>, gate: Arc<Gate>, sequence: u64) {
        let is_first = {
            let mut state = self.state.lock();
            state.told.push(Told { gate, sequence });
            state.told.len() == 1
        };
        if is_first {
            self.background.run(Box::pin(Arc::clone(self).let_out()));
        }
    }

    /// The clients that got their answers go first. They often come back at once, and their next requests then share the
    /// turns, batches and the sync of what has gathered in the mailboxes.
    async fn let_out(self: Arc<Self>) {
        let mut told = {
            let mut state = self.state.lock();
            let spare = state.spare.pop().unwrap_or_default();
            mem::replace(&mut state.told, spare)
        };
        for Told { gate, sequence } in &told {
            // A panic is a bug in what one shard lets out, and ends that shard: the others' clients must still hear.
            let _ = catch_unwind(AssertUnwindSafe(|| gate.durable(*sequence)));
        }
        tokio::task::yield_now().await;
        for Told { gate, .. } in told.drain(..) {
            gate.settle_commit();
        }
        let mut state = self.state.lock();
        if state.spare.len() < SPARE_LISTS {
            state.spare.push(told);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use holdfast_core::{ShardId, SkuId};
    use tokio::{sync::oneshot, time::timeout};

    use super::*;
    use crate::{
        background::{CurrentRuntime, Task},
        gate::Output,
        lease::Lease,
        mailbox::Mailbox,
        message::{Envelope, Internal, Outcome, Reply, Request, SnapshotProgress},
        outbound::{Life, Outbound, Outgoing, SnapshotTask},
        settings::RuntimeSettings,
        view::Views,
    };

    /// The runtime, with a count of the tasks that were started on it.
    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Background for Counted {
        fn run(&self, task: Task) {
            self.0.fetch_add(1, Ordering::Relaxed);
            CurrentRuntime.run(task);
        }

        fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
            CurrentRuntime.run_blocking(work);
        }

        fn sleep(&self, time: Duration) -> Task {
            CurrentRuntime.sleep(time)
        }
    }

    /// Lets nothing out, and panics when it is asked to.
    struct Broken;

    impl Outbound for Broken {
        fn send(&self, _: &mut Vec<Outgoing>) {
            panic!("a bug in what lets things out");
        }
    }

    struct Waiting {
        gate: Arc<Gate>,
        mailbox: Arc<Mailbox>,
        answer: oneshot::Receiver<Outcome>,
    }

    impl Waiting {
        /// A shard's gate with one answer behind it, which waits for the shard's first record, and one message that waits for
        /// the turn after that.
        fn of(shard: u16, outgoing: Vec<Outgoing>) -> Self {
            let mailbox = Mailbox::new(ShardId(shard), &RuntimeSettings::default(), Lease::perpetual());
            mailbox.open_stepped();
            let request = Request::ReadProduct(SkuId::parse("SNEAKER").expect("a SKU"));
            let answer = mailbox.request(request, None).expect("it is open");
            let mut inbox = Vec::new();
            mailbox.take(&mut inbox);
            let Some(Envelope::Request { port, .. }) = inbox.pop() else { panic!("it was put in") };
            let gate = Gate::new(Arc::new(Views::new()), Arc::new(Broken), Arc::clone(&mailbox), 0);
            gate.submit(1, Output { answers: vec![(port, Ok(Reply::Done))], outgoing, views: Vec::new() });
            mailbox.deliver(Envelope::Internal(Internal::Snapshots {
                life: 0,
                progress: SnapshotProgress::Checkpointed { watermark: 0 },
            }));
            assert!(!mailbox.is_woken(), "its batch is on the way");
            Self { gate, mailbox, answer }
        }

        async fn is_answered(&mut self) {
            let answer = timeout(Duration::from_secs(30), &mut self.answer).await.expect("it is let out");
            assert!(matches!(answer, Ok(Ok(Reply::Done))));
        }

        async fn gets_a_turn(&self) {
            let woken = async {
                while !self.mailbox.is_woken() {
                    tokio::task::yield_now().await;
                }
            };
            timeout(Duration::from_secs(30), woken).await.expect("it is woken");
        }
    }

    #[tokio::test]
    async fn every_shard_of_a_sync_is_let_out_by_one_task_before_the_first_gets_its_turn() {
        let background = Arc::new(Counted::default());
        let releases = Releases::new(Arc::clone(&background) as Arc<dyn Background>);
        let mut shards: Vec<_> = (0..3).map(|shard| Waiting::of(shard, Vec::new())).collect();
        for round in 1..=2 {
            for shard in &shards {
                releases.durable(Arc::clone(&shard.gate), 1);
            }
            if round == 1 {
                for shard in &mut shards {
                    shard.is_answered().await;
                }
                assert!(shards.iter().all(|shard| !shard.mailbox.is_woken()), "clients come back first");
            }
            for shard in &shards {
                shard.gets_a_turn().await;
            }
            assert_eq!(background.0.load(Ordering::Relaxed), round, "a sync, a task");
        }
    }

    #[tokio::test]
    async fn a_panic_in_what_one_shard_lets_out_ends_that_shard_alone() {
        let releases = Releases::new(Arc::new(CurrentRuntime));
        let life = Life { shard: ShardId(0), number: 0 };
        let watermark = Outgoing::Snapshots { life, task: SnapshotTask::Watermark(1) };
        let broken = Waiting::of(0, vec![watermark]);
        let mut sound = Waiting::of(1, Vec::new());
        releases.durable(Arc::clone(&broken.gate), 1);
        releases.durable(Arc::clone(&sound.gate), 1);
        sound.is_answered().await;
        assert!(broken.gate.has_failed() && broken.mailbox.is_woken(), "its actor finds out and is recovered");
        assert!(!sound.gate.has_failed());
        assert!(broken.gate.is_told(1) && !broken.gate.wait_settled(), "nobody waits for what will not come");
    }
}
