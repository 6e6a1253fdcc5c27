//! The end of the process, announced: the journal failed, or a shard cannot be kept alive. Nothing is retried; whoever runs
//! the node waits for this, exits, and recovery starts from what is durable.

use std::sync::Arc;

use holdfast_core::ShardId;
use tokio::sync::watch;

use crate::mailbox::Mailbox;

/// Raised once; every mailbox refuses from then on.
#[derive(Debug, Clone)]
pub(crate) struct Fatal {
    reason: watch::Sender<Option<String>>,
    mailboxes: Arc<[Arc<Mailbox>]>,
}

impl Fatal {
    pub(crate) fn new(mailboxes: Arc<[Arc<Mailbox>]>) -> Self {
        Self { reason: watch::Sender::new(None), mailboxes }
    }

    pub(crate) fn raise(&self, reason: &str) {
        let is_first = self.reason.send_if_modified(|current| {
            let is_first = current.is_none();
            if is_first {
                *current = Some(reason.to_owned());
            }
            is_first
        });
        if is_first {
            tracing::error!(reason, "fatal: the node stops");
            self.mailboxes.iter().for_each(|mailbox| mailbox.fail());
        }
    }

    /// Makes a shard look at its gate soon.
    pub(crate) fn wake(&self, shard: ShardId) {
        if let Some(mailbox) = self.mailboxes.get(usize::from(shard.0)) {
            mailbox.wake();
        }
    }

    /// Why it was raised, if it was.
    pub(crate) fn reason(&self) -> Option<String> {
        self.reason.borrow().clone()
    }

    /// Waits until it is raised and says why.
    pub(crate) async fn raised(&self) -> String {
        let mut receiver = self.reason.subscribe();
        match receiver.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => String::from("the node is gone"),
        }
    }
}
