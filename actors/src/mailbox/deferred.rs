//! What nobody waits for: it rides along with the next turn that somebody wakes the shard for, and gets one of its own when
//! nobody does.

use std::{mem, sync::Arc};

use super::Mailbox;
use crate::message::Envelope;

/// Envelopes that nobody waits for, and that a turn is to be found for if none comes by itself.
#[derive(Debug)]
#[must_use = "the envelopes may lie there until a client comes"]
pub(crate) struct Deferred {
    mailbox: Arc<Mailbox>,
    /// The turns that had been taken when they were put in.
    turns: u64,
}

impl Mailbox {
    /// Puts envelopes in that nobody waits for: they ride along with the next turn that somebody wakes the shard for. Where
    /// none may come, the caller gets what is to be nudged after a while.
    ///
    /// Several get a turn when the batch on its way is durable: they are of a crowd, which does not come back in one moment, and
    /// while their batch is synced it gathers. A lone client would only wait for that sync.
    pub(crate) fn defer_all(self: &Arc<Self>, envelopes: impl IntoIterator<Item = Envelope>) -> Option<Deferred> {
        let mut queue = self.queue.lock();
        let before = queue.envelopes.len();
        queue.envelopes.extend(envelopes);
        queue.urgent |= queue.envelopes.len() > before + 1;
        // Whoever ends the commit looks at the queue after that, and finds them.
        let turn_comes = queue.urgent && self.commit.is_under_way();
        let is_first = !turn_comes && !mem::replace(&mut queue.deferred, true);
        is_first.then(|| Deferred { mailbox: Arc::clone(self), turns: queue.turns })
    }
}

impl Deferred {
    /// Wakes the shard if no turn has taken them.
    pub(crate) fn nudge(self) {
        let waiting = {
            let mut queue = self.mailbox.queue.lock();
            if queue.turns != self.turns || queue.envelopes.is_empty() {
                return;
            }
            queue.urgent = true;
            queue.envelopes.len()
        };
        self.mailbox.wake_for(waiting);
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::ShardId;

    use super::*;
    use crate::{lease::Lease, settings::RuntimeSettings};

    /// An open mailbox whose shard has just taken a turn.
    fn at_rest() -> Arc<Mailbox> {
        let mailbox = Mailbox::new(ShardId(0), &RuntimeSettings::default(), Lease::perpetual());
        mailbox.open_stepped();
        mailbox.take(&mut Vec::new());
        mailbox
    }

    /// Something that nobody waits for.
    fn answer() -> Envelope {
        let order = holdfast_core::OrderId::from_u128(1);
        let call = holdfast_core::order::GatewayCall::Authorize;
        Envelope::Message(crate::message::Message::GatewayFailed { order, call })
    }

    #[test]
    fn what_nobody_waits_for_lets_a_lone_client_come_first_and_is_not_forgotten() {
        let mailbox = at_rest();
        mailbox.begin_commit();
        let deferred = mailbox.defer_all([answer()]).unwrap();
        mailbox.end_commit();
        assert!(!mailbox.is_woken(), "a client may come");
        mailbox.begin_commit();
        deferred.nudge();
        assert!(!mailbox.is_woken(), "nothing is durable sooner by it");
        mailbox.end_commit();
        assert!(mailbox.is_woken(), "it has waited long enough");
        let mut inbox = Vec::new();
        mailbox.take(&mut inbox);
        assert_eq!(inbox.len(), 1);
        mailbox.begin_commit();
        mailbox.deliver(answer());
        mailbox.end_commit();
        assert!(mailbox.is_woken(), "somebody waits for it");
    }

    #[test]
    fn what_nobody_of_a_crowd_waits_for_goes_while_the_crowd_comes_back() {
        let mailbox = at_rest();
        mailbox.begin_commit();
        assert!(mailbox.defer_all([answer(), answer()]).is_none(), "a turn comes without a nudge");
        assert!(!mailbox.is_woken());
        mailbox.end_commit();
        assert!(mailbox.is_woken());
    }

    #[test]
    fn a_nudge_that_comes_after_the_turn_wakes_nobody_for_what_came_since() {
        let mailbox = at_rest();
        let early = mailbox.defer_all([answer()]).unwrap();
        assert!(mailbox.defer_all([answer()]).is_none(), "one nudge is enough for both");
        mailbox.take(&mut Vec::new());
        let late = mailbox.defer_all([answer()]).unwrap();
        early.nudge();
        assert!(!mailbox.is_woken());
        late.nudge();
        assert!(mailbox.is_woken());
    }

    #[test]
    fn several_are_nudged_too_when_no_commit_is_under_way() {
        let mailbox = at_rest();
        let deferred = mailbox.defer_all([answer(), answer()]).unwrap();
        assert!(!mailbox.is_woken());
        deferred.nudge();
        assert!(mailbox.is_woken());
    }
}
