//! The link put together: made when the node is, since the node's shards send through it; begun when the connection is to
//! be used.

use std::sync::Arc;

use async_nats::{Client, SubscribeError};
use holdfast_actors::{Clock, Lease, Mailbox};

use tokio::task::JoinSet;

use super::{ClusterRouter, Living, desk::Desk, outbox::Leaving};
use crate::{boot::BootId, owners::Owners, settings::ClusterSettings};

/// What a link is made of.
pub struct LinkParts {
    /// The limits.
    pub settings: ClusterSettings,
    /// What the deployment is called.
    pub deployment: String,
    /// This process.
    pub boot: BootId,
    /// A connection of its own, so that a batch of the journal holds up no request.
    pub client: Client,
    /// Every shard's mailbox, in order.
    pub mailboxes: Arc<[Arc<Mailbox>]>,
    /// Who owns which shard.
    pub owners: Arc<Owners>,
    /// Who lives.
    pub living: Arc<dyn Living>,
    /// For how long this node may answer from memory.
    pub lease: Lease,
    /// The owner of time.
    pub clock: Clock,
    /// What a client that is refused shall wait, in milliseconds.
    pub retry_after_ms: u64,
}

/// A link that was made and has not begun.
pub struct Link {
    router: Arc<ClusterRouter>,
    leaving: Leaving,
}

impl Link {
    /// A link. Requests may be sent through its router; they wait until it has begun.
    pub fn new(parts: LinkParts) -> Self {
        let (router, leaving) = ClusterRouter::new(parts);
        Self { router, leaving }
    }

    /// What the node sends through.
    pub fn router(&self) -> &Arc<ClusterRouter> {
        &self.router
    }

    /// Begins to serve other nodes and to bring their answers back, for as long as `tasks` lives.
    ///
    /// # Errors
    /// When the connection was closed.
    pub async fn start(self, tasks: &mut JoinSet<()>) -> Result<Arc<ClusterRouter>, SubscribeError> {
        self.router.start(tasks).await?;
        Desk::start(Arc::clone(&self.router), tasks).await?;
        tasks.spawn(self.leaving.run(Arc::clone(&self.router)));
        Ok(self.router)
    }
}
