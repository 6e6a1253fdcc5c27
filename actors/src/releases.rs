//! Lets out what one sync has made durable, in one task, however many shards it was for.
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

/// What the journal has told and nobody has let out yet.
pub(crate) struct Releases {
    background: Arc<dyn Background>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    told: Vec<Told>,
    /// An emptied list with its room, for what is told next.
    spare: Vec<Told>,
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
            let spare = mem::take(&mut state.spare);
            mem::replace(&mut state.told, spare)
        };
        for Told { gate, sequence } in &told {
            // A panic is a bug in what one shard lets out: the others' clients must still hear.
            if catch_unwind(AssertUnwindSafe(|| gate.durable(*sequence))).is_err() {
                gate.break_down();
            }
        }
        tokio::task::yield_now().await;
        for Told { gate, .. } in told.drain(..) {
            gate.settle_commit();
        }
        self.state.lock().spare = told;
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::{ShardId, SkuId};
    use tokio::sync::oneshot;

    use super::*;
    use crate::{
        background::CurrentRuntime,
        gate::Output,
        lease::Lease,
        mailbox::Mailbox,
        message::{Envelope, Outcome, Reply, Request},
        outbound::{Outbound, Outgoing},
        settings::RuntimeSettings,
        view::Views,
    };

    /// Lets nothing out, and panics when it is asked to.
    struct Broken;

    impl Outbound for Broken {
        fn send(&self, _: &mut Vec<Outgoing>) {
            panic!("a bug in what lets things out");
        }
    }

    /// A shard's gate with one answer behind it, which waits for the shard's first record.
    fn gate_with_an_answer(
        shard: u16,
        outgoing: Vec<Outgoing>,
    ) -> (Arc<Gate>, Arc<Mailbox>, oneshot::Receiver<Outcome>) {
        let mailbox = Mailbox::new(ShardId(shard), &RuntimeSettings::default(), Lease::perpetual());
        mailbox.open_stepped();
        let request = Request::ReadProduct(SkuId::parse("SNEAKER").expect("a SKU"));
        let answer = mailbox.request(request, None).expect("it is open");
        let mut inbox = Vec::new();
        mailbox.take(&mut inbox);
        let Some(Envelope::Request { port, .. }) = inbox.pop() else { panic!("it was put in") };
        let gate = Gate::new(Arc::new(Views::new()), Arc::new(Broken), Arc::clone(&mailbox), 0);
        gate.submit(1, Output { answers: vec![(port, Ok(Reply::Done))], outgoing, views: Vec::new() });
        (gate, mailbox, answer)
    }

    #[tokio::test]
    async fn every_shard_of_a_sync_is_let_out_and_then_gets_its_turn() {
        let releases = Releases::new(Arc::new(CurrentRuntime));
        let shards: Vec<_> = (0..3).map(|shard| gate_with_an_answer(shard, Vec::new())).collect();
        for (gate, mailbox, _) in &shards {
            mailbox.deliver(Envelope::Internal(crate::message::Internal::Snapshotted(Vec::new())));
            assert!(!mailbox.is_woken(), "its batch is on the way");
            releases.durable(Arc::clone(gate), 1);
        }
        for (_, mailbox, answer) in shards {
            assert!(matches!(answer.await, Ok(Ok(Reply::Done))));
            while !mailbox.is_woken() {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn a_panic_in_what_one_shard_lets_out_ends_that_shard_alone() {
        let releases = Releases::new(Arc::new(CurrentRuntime));
        let watermark = Outgoing::Watermark { shard: ShardId(0), sequence: 1 };
        let (broken, mailbox, _) = gate_with_an_answer(0, vec![watermark]);
        let (sound, _, answer) = gate_with_an_answer(1, Vec::new());
        releases.durable(Arc::clone(&broken), 1);
        releases.durable(Arc::clone(&sound), 1);
        assert!(matches!(answer.await, Ok(Ok(Reply::Done))));
        assert!(broken.has_failed() && mailbox.is_woken(), "its actor finds out and is recovered");
        assert!(!sound.has_failed());
        assert!(broken.is_told(1), "the recovery need not wait");
    }
}
