//! Sees to it that what nobody waits for gets a turn after all, when no client brings one.
//!
//! One task and one timer for all shards, and only while there is anything to see to: in a sale of many SKUs nearly every order's
//! answer from the gateway is deferred, and a timer each costs more than the answer.

use std::{mem, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{background::Background, mailbox::Deferred};

/// How long a client's turn is waited for, at least. At most it is twice that.
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

    /// Nudges these in one or two milliseconds.
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
