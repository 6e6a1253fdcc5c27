//! Sees to it that what nobody waits for gets a turn after all, when no client brings one.
//!
//! One task and one timer for all shards, and only while there is anything to see to: in a sale of many SKUs nearly every order's
//! answer from the gateway is deferred, and a timer each costs more than the answer.

use std::{mem, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::Deferred;
use crate::background::Background;

/// How long a client's turn is waited for, at least. At most it is twice that, and what the timer rounds up.
const PATIENCE: Duration = Duration::from_millis(1);

/// What is to be nudged.
pub(crate) struct Nudges {
    background: Arc<dyn Background>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Came since the last look.
    fresh: Vec<Deferred>,
    /// Whether somebody looks.
    watched: bool,
}

impl Nudges {
    /// Nothing to nudge yet.
    pub(crate) fn new(background: Arc<dyn Background>) -> Arc<Self> {
        Arc::new(Self { background, state: Mutex::default() })
    }

    /// Nudges them after that.
    pub(crate) fn soon(self: &Arc<Self>, deferred: Deferred) {
        let is_watched = {
            let mut state = self.state.lock();
            state.fresh.push(deferred);
            mem::replace(&mut state.watched, true)
        };
        if !is_watched {
            self.background.run(Box::pin(Arc::clone(self).watch()));
        }
    }

    /// Looks until there is nothing left.
    async fn watch(self: Arc<Self>) {
        let mut due = Vec::new();
        loop {
            {
                let mut state = self.state.lock();
                mem::swap(&mut state.fresh, &mut due);
                state.watched = !due.is_empty();
            }
            if due.is_empty() {
                return;
            }
            self.background.sleep(PATIENCE).await;
            due.drain(..).for_each(Deferred::nudge);
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::{OrderId, ShardId, order::GatewayCall};
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::{
        background::CurrentRuntime,
        lease::Lease,
        mailbox::Mailbox,
        message::{Envelope, Message},
        settings::RuntimeSettings,
    };

    #[tokio::test]
    async fn whatever_is_deferred_gets_a_turn_also_while_others_are_waited_for_and_after_all_were_nudged() {
        let nudges = Nudges::new(Arc::new(CurrentRuntime));
        let mailboxes =
            [0, 1].map(|shard| Mailbox::new(ShardId(shard), &RuntimeSettings::default(), Lease::perpetual()));
        for mailbox in &mailboxes {
            mailbox.open_stepped();
        }
        let order = OrderId::from_u128(1);
        let defer = |mailbox: &Arc<Mailbox>| {
            mailbox.take(&mut Vec::new());
            let answer = Envelope::Message(Message::GatewayFailed { order, call: GatewayCall::Authorize });
            nudges.soon(mailbox.defer_all([answer]).expect("no turn comes by itself"));
        };
        for _ in 0..3 {
            defer(&mailboxes[0]);
            tokio::task::yield_now().await; // The watcher sleeps for the first by now.
            defer(&mailboxes[1]);
            let woken = async {
                while !mailboxes.iter().all(|mailbox| mailbox.is_woken()) {
                    sleep(PATIENCE).await;
                }
            };
            timeout(Duration::from_secs(30), woken).await.expect("both are nudged");
            sleep(PATIENCE * 10).await; // The watcher has nothing left, in all likelihood.
        }
    }
}
