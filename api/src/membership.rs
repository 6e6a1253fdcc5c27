//! A node among others: the lease it answers by, its link to the other nodes, and its part in the cluster. Put together around
//! the node, in the order in which each needs the other, and taken apart again.
//!
//! Order: the link is made before the node, which sends through it; the node recovers, and follows; then it is asked by
//! others; last it joins, and from then on may own shards.
//!
//! Invariant: nothing is owned here before everything is followed, and nothing is asked of this node before it can answer.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use holdfast_actors::{Clock, Lease, Mailbox, Node, Router};
use holdfast_cluster::{
    BootId, JetStreamJournal, Link, LinkParts, Living, NatsError,
    cluster::{Cluster, ClusterError, ClusterParts},
    jetstream::{NatsClient, connect_link},
    replica,
};
use holdfast_persistence::StoreId;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::{edge::Operations, settings::Settings};

/// How much of the time a stop may take is for giving the shards away; the rest is for what is left here.
const LEAVE_SHARE: u32 = 2;

/// Why a node cannot be one of several.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// The servers could not be reached for the link.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// The others do not want it.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The link's connection was closed.
    #[error("the link to the other nodes could not be begun: {0}")]
    Link(String),
}

/// What there is before the node is.
pub(crate) struct Prepared {
    journal: Arc<JetStreamJournal>,
    client: NatsClient,
    pub(crate) lease: Lease,
    pub(crate) clock: Clock,
    living: Arc<Heard>,
    /// The link, once the node has its router.
    link: Mutex<Option<Link>>,
}

/// A node that is one of several.
pub(crate) struct Membership {
    cluster: Arc<Cluster>,
    tasks: JoinSet<()>,
    _tail: holdfast_cluster::Tail,
}

/// Who lives, once the node has joined: before, nobody is known to.
#[derive(Default)]
struct Heard(OnceLock<Arc<Cluster>>);

impl Living for Heard {
    fn is_alive(&self, boot: BootId) -> bool {
        self.0.get().is_some_and(|cluster| cluster.is_alive(boot))
    }
}

impl Prepared {
    pub(crate) async fn begin(settings: &Settings, journal: Arc<JetStreamJournal>) -> Result<Self, MembershipError> {
        let limits = &settings.cluster;
        let client = connect_link(&settings.nats, limits.incoming_messages, limits.unwritten_messages).await?;
        let clock = Clock::system();
        let lease = Lease::lasting(clock.clone());
        Ok(Self { journal, client, lease, clock, living: Arc::default(), link: Mutex::default() })
    }

    /// What the node sends through.
    pub(crate) fn router(&self, settings: &Settings, mailboxes: Arc<[Arc<Mailbox>]>) -> Arc<dyn Router> {
        let link = Link::new(LinkParts {
            settings: settings.cluster.clone(),
            deployment: settings.nats.deployment.clone(),
            boot: self.journal.boot(),
            client: self.client.clone(),
            mailboxes,
            owners: Arc::clone(self.journal.owners()),
            living: Arc::<Heard>::clone(&self.living),
            lease: self.lease.clone(),
            clock: self.clock.clone(),
            retry_after_ms: settings.runtime.retry_after_ms,
        });
        let router: Arc<dyn Router> = Arc::<holdfast_cluster::ClusterRouter>::clone(link.router());
        *self.link.lock() = Some(link);
        router
    }

    /// Joins the others with a node that has recovered. Waits until every shard has an owner.
    pub(crate) async fn join(
        self,
        settings: &Settings,
        node: &Arc<Node>,
        (store, secret): (StoreId, [u8; 32]),
    ) -> Result<Membership, MembershipError> {
        let Self { journal, client: _, lease, clock, living, link } = self;
        let owners = Arc::clone(journal.owners());
        let tail = replica::follow(node, &journal, owners.shards())?;
        let mut tasks = JoinSet::new();
        if let Some(link) = link.into_inner() {
            link.start(&mut tasks).await.map_err(|error| MembershipError::Link(error.to_string()))?;
        }
        let boot = journal.boot();
        let cluster = Cluster::start(ClusterParts {
            settings: settings.cluster.clone(),
            nats: settings.nats.clone(),
            journal,
            node: Arc::clone(node),
            owners,
            lease,
            clock,
            boot,
            store,
            secret,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        });
        let cluster = Arc::new(cluster.await?);
        // Only set here, once.
        let _ = living.0.set(Arc::clone(&cluster));
        Ok(Membership { cluster, tasks, _tail: tail })
    }
}

impl Membership {
    /// What operators ask.
    pub(crate) fn operations(&self) -> Arc<dyn Operations> {
        Arc::<Cluster>::clone(&self.cluster)
    }

    /// Waits until every shard has an owner.
    pub(crate) async fn wait_ready(&self) {
        self.cluster.wait_ready().await;
    }

    /// Waits until the node may not go on among the others, and says why.
    pub(crate) fn failed(&self) -> impl Future<Output = String> + Send + 'static {
        let cluster = Arc::clone(&self.cluster);
        async move { cluster.failed().await }
    }

    /// Gives the shards away, within a share of what a stop may take. Requests are served meanwhile.
    pub(crate) async fn leave(&self, all: Duration) {
        if !self.cluster.leave(all / LEAVE_SHARE).await {
            tracing::warn!("not every shard could be given away: the others take over what is left");
        }
    }

    /// Says goodbye, once the node takes nothing more.
    pub(crate) async fn part(mut self) {
        self.cluster.part().await;
        self.tasks.shutdown().await;
    }
}
