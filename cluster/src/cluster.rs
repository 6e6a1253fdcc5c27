//! One node's part in the cluster: its tasks, and the handle to them.
//!
//! Invariant: the tasks live as long as this value. A node that stops says goodbye first ([`Cluster::leave`]), so that nobody
//! waits for its silence.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use holdfast_actors::{Clock, Lease, Node, Role};
use holdfast_persistence::Journal as _;
use holdfast_persistence::StoreId;
use serde::de::DeserializeOwned;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    boot::BootId,
    jetstream::{JetStreamJournal, NatsError, NatsSettings, RequestError},
    members::{
        beat::{Beat, Yielded, secret_digest},
        presence::Presence,
        pulse::Identity,
    },
    owners::Owners,
    plan::{
        control::ControlLog,
        document::{Plan, Revision},
        followers::Followers,
        here::{JournalLog, NodeShards},
        ports::{Control as _, Shards},
        reconcile::{Reconciler, ReconcilerParts},
    },
    settings::ClusterSettings,
};

/// Between two looks at whether something has come about.
const LOOK: Duration = Duration::from_millis(10);

/// What a node's part in the cluster is made of.
pub struct ClusterParts {
    /// `[cluster]`, checked.
    pub settings: ClusterSettings,
    /// `[nats]`, checked.
    pub nats: NatsSettings,
    /// The journal, opened owning nothing.
    pub journal: Arc<JetStreamJournal>,
    /// The node, recovered as a follower of every shard.
    pub node: Arc<Node>,
    /// What the journal knows of the owners.
    pub owners: Arc<Owners>,
    /// The lease that the node answers by.
    pub lease: Lease,
    /// The owner of time; the same that the lease has.
    pub clock: Clock,
    /// This life; the same that the journal has.
    pub boot: BootId,
    /// The store's id.
    pub store: StoreId,
    /// The store's secret. Only a digest of it is ever sent.
    pub secret: [u8; 32],
    /// The version of Holdfast.
    pub version: String,
}

/// Why a node cannot be part of the cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The streams are not there or not fit.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// The servers did not tell what is needed.
    #[error("NATS did not tell {what}")]
    Request {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        #[source]
        source: RequestError,
    },
    /// Another node of this name lives.
    #[error(
        "a node called {node} is running already (boot {boot}): give every node its own cluster.node, or stop that one"
    )]
    NameTaken {
        /// `cluster.node`.
        node: String,
        /// The other one's life.
        boot: BootId,
    },
    /// The other nodes have another secret.
    #[error(
        "this node's store secret is not the other nodes': tokens would not be the same everywhere. Copy the file \
         `secret` of another node's data folder and name it in store.secret_file before the first start"
    )]
    OtherSecret,
}

/// One node's part in the cluster.
pub struct Cluster {
    pub(crate) nats: NatsSettings,
    pub(crate) reconciler: Arc<Reconciler>,
    shards: Arc<dyn Shards>,
    owners: Arc<Owners>,
    _tasks: JoinSet<()>,
}

impl Cluster {
    /// Joins the cluster: refuses where it would do harm, and then begins to beat, to plan, and to make the plan so. Must be
    /// called on a tokio runtime.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn start(parts: ClusterParts) -> Result<Self, ClusterError> {
        let ClusterParts { settings, nats, journal, node, owners, lease, clock, boot, store, secret, version } = parts;
        let requests = journal.requests().clone();
        let listening = |what| move |source| ClusterError::Request { what, source };
        let presence = Presence::open(&requests, &nats, store, settings.dead_after()).await?;
        let control = ControlLog::open(&requests, &nats, store).await?;
        let beats = requests.subscribe(&presence.beats()).await.map_err(listening("of the other nodes"))?;
        let yields = requests.subscribe(&presence.yields_to(boot)).await.map_err(listening("of hand-overs"))?;
        let plans = requests.subscribe(control.subject()).await.map_err(listening("of the plan"))?;
        let secret_digest = secret_digest(&secret);
        let revision = read_plan(&control, nats.start_deadline()).await?;
        refuse_foreign(&revision.plan, &secret_digest)?;
        let beats = refuse_double(&presence, &settings, beats).await?;
        let identity = Identity {
            node: settings.node.clone(),
            boot,
            version,
            admin_url: settings.admin_url.clone(),
            secret_digest,
            started_at: clock.now(),
        };
        let shards: Arc<dyn Shards> = Arc::new(NodeShards(node));
        let reconciler = Reconciler::new(ReconcilerParts {
            identity,
            settings,
            clock,
            lease,
            owners: Arc::clone(&owners),
            shards: Arc::clone(&shards),
            log: Arc::new(JournalLog(Arc::clone(&journal))),
            control: Arc::new(control),
            air: Arc::new(presence),
        });
        reconciler.hear_plan(revision);
        journal.retain_for(Arc::new(Followers::of(&reconciler)), u64::MAX);
        let tasks = begin(&reconciler, beats, yields, plans);
        Ok(Self { nats, reconciler, shards, owners, _tasks: tasks })
    }

    /// Waits until every shard has an owner that lives, and this node follows or owns all of them.
    pub async fn wait_ready(&self) {
        while !self.is_ready() {
            sleep(LOOK).await;
        }
    }

    /// Whether every shard has an owner that lives, and this node follows or owns all of them.
    pub fn is_ready(&self) -> bool {
        let owned = self.reconciler.knowledge().actual(self.reconciler.now());
        let is_warm = |shard| self.shards.role(shard) != Role::Away && owned.contains_key(&shard);
        self.owners.shards().iter().all(is_warm)
    }

    /// Waits until this node has to leave the cluster at once, since it is not the only one of its name or has another
    /// secret than the others, and says why. The process must then stop.
    pub async fn failed(&self) -> String {
        self.reconciler.failed().await
    }

    /// Gives all shards to others and gets none, before a stop. Whether none is left here: `false` when `limit` was over, or
    /// nobody is there to have them. Requests go on to be served meanwhile.
    pub async fn leave(&self, limit: Duration) -> bool {
        self.reconciler.leave(limit).await
    }

    /// Whether the node of this boot lives, as far as this one has heard.
    pub fn is_alive(&self, boot: BootId) -> bool {
        let now = self.reconciler.now();
        self.reconciler.knowledge().roster.node_of(boot, now).is_some()
    }

    /// Says goodbye, once the node takes and appends nothing more: whatever shards it still had are taken over at once.
    pub async fn part(&self) {
        let limit = self.reconciler.knowledge().settings.dead_after();
        if timeout(limit, Arc::clone(&self.reconciler).part()).await.is_err() {
            tracing::warn!("nobody acknowledged this node's goodbye: the others wait for its silence");
        }
    }
}

/// Has a node hear, beat, plan and make the plan so.
fn begin(
    reconciler: &Arc<Reconciler>,
    beats: async_nats::Subscriber,
    yields: async_nats::Subscriber,
    mut plans: async_nats::Subscriber,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let heard = Arc::clone(reconciler);
    tasks.spawn(listen(beats, move |beat: Beat| heard.hear(beat)));
    let heard = Arc::clone(reconciler);
    tasks.spawn(listen(yields, move |yielded: Yielded| heard.hear_yielded(yielded)));
    // A change of the plan only says that there is one: its place in the stream is read with it.
    let changed = Arc::clone(reconciler);
    tasks.spawn(async move {
        while plans.next().await.is_some() {
            changed.look_soon();
        }
    });
    tasks.spawn(Arc::clone(reconciler).look_up());
    tasks.spawn(Arc::clone(reconciler).beat());
    tasks.spawn(Arc::clone(reconciler).run());
    tasks
}

async fn listen<T: DeserializeOwned>(mut said: async_nats::Subscriber, hear: impl Fn(T)) {
    while let Some(message) = said.next().await {
        match serde_json::from_slice(&message.payload) {
            Ok(value) => hear(value),
            Err(error) => tracing::warn!(subject = %message.subject, %error, "what a node said cannot be read"),
        }
    }
}

/// Reads the plan, of whichever replica answers within `limit`. An empty one when there is none yet.
async fn read_plan(control: &ControlLog, limit: Duration) -> Result<Revision, ClusterError> {
    let read = async {
        loop {
            match control.read().await {
                Ok(revision) => break revision,
                Err(_) => sleep(LOOK * 10).await,
            }
        }
    };
    let what = "the plan";
    let read =
        timeout(limit, read).await.map_err(|_| ClusterError::Request { what, source: RequestError::TimedOut })?;
    Ok(read.unwrap_or_default())
}

/// Refuses a secret that is not the one the plan was written with.
fn refuse_foreign(plan: &Plan, digest: &str) -> Result<(), ClusterError> {
    if plan.secret_digest.is_empty() || plan.secret_digest == digest {
        return Ok(());
    }
    Err(ClusterError::OtherSecret)
}

/// Refuses to be the second node of its name: one that may live is listened for as long as it takes to be sure.
async fn refuse_double(
    presence: &Presence,
    settings: &ClusterSettings,
    mut beats: async_nats::Subscriber,
) -> Result<async_nats::Subscriber, ClusterError> {
    let told = presence.may_live(&settings.node).await;
    let told = told.map_err(|source| ClusterError::Request { what: "whether the node runs already", source })?;
    if told.is_none() {
        return Ok(beats);
    }
    let namesake = async {
        loop {
            let Some(message) = beats.next().await else { std::future::pending().await };
            let beat: Option<Beat> = serde_json::from_slice(&message.payload).ok();
            if let Some(beat) = beat.filter(|beat| beat.node == settings.node) {
                break beat.boot;
            }
        }
    };
    match timeout(settings.dead_after(), namesake).await {
        Ok(boot) => Err(ClusterError::NameTaken { node: settings.node.clone(), boot }),
        Err(_) => Ok(beats),
    }
}
