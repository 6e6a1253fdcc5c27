//! The ractor actor that runs a shard: each wake is one pass over its mailbox.
//!
//! A panic inside one message's work is caught in the shard; anything else that panics here kills the actor, whose
//! supervisor recovers the shard by replay.

use std::sync::Arc;

use parking_lot::RwLock;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::{
    clock::Clock,
    gate::Gate,
    mailbox::{Mailbox, Wake},
    message::Envelope,
    reused_keys,
    shard::{Shard, ShardFigures},
    view::Views,
};

/// Runs one shard.
pub(crate) struct ShardActor;

/// What the actor owns.
pub(crate) struct ShardRun {
    pub(crate) shard: Box<Shard>,
    pub(crate) mailbox: Arc<Mailbox>,
    /// What the last pass took, empty again: its room becomes the mailbox's at the next.
    pub(crate) inbox: Vec<Envelope>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) views: Arc<Views>,
    pub(crate) clock: Clock,
    pub(crate) figures: Arc<RwLock<ShardFigures>>,
}

impl Actor for ShardActor {
    type Msg = Wake;
    type State = ShardRun;
    type Arguments = ShardRun;

    async fn pre_start(&self, _myself: ActorRef<Wake>, run: ShardRun) -> Result<ShardRun, ActorProcessingErr> {
        Ok(run)
    }

    async fn post_start(&self, myself: ActorRef<Wake>, run: &mut ShardRun) -> Result<(), ActorProcessingErr> {
        run.mailbox.open(myself, run.shard.role());
        Ok(())
    }

    async fn handle(&self, _myself: ActorRef<Wake>, _: Wake, run: &mut ShardRun) -> Result<(), ActorProcessingErr> {
        if run.wake()? {
            // The runtime looks at its sockets when no task is ready, or after sixty. A shard that wakes itself for one slice of a
            // checkpoint after the other would be all sixty: so it goes on when the others were polled and the sockets looked at.
            tokio::task::yield_now().await;
            run.mailbox.wake();
        }
        Ok(())
    }
}

/// What the shard decided was refused by the journal, or could not be let out: its memory is ahead and must go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what this shard decided was refused by the journal, or could not be let out")]
pub(crate) struct Ahead;

impl ShardRun {
    /// What a wake is answered with: a pass over the mailbox, or the end of the shard. Whether there is more to do that nobody will
    /// wake it for.
    pub(crate) fn wake(&mut self) -> Result<bool, Ahead> {
        if self.gate.has_failed() {
            return Err(Ahead);
        }
        self.pass();
        // Whoever failed the gate during the pass found the shard woken already, and woke nobody.
        if self.gate.has_failed() { Err(Ahead) } else { Ok(self.shard.has_more_now()) }
    }

    /// Takes everything that waits, in turns of bounded size.
    fn pass(&mut self) {
        self.mailbox.take(&mut self.inbox);
        reused_keys::turn_away(&mut self.inbox, &self.views);
        let mut inbox = self.inbox.drain(..);
        loop {
            self.shard.look_ahead(inbox.as_slice());
            self.shard.turn(&mut inbox, self.clock.now(), &self.gate);
            if inbox.len() == 0 {
                break;
            }
        }
        drop(inbox);
        self.mailbox.set_next_due(self.shard.next_due());
        *self.figures.write() = self.shard.figures();
    }
}
