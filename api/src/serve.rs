//! The composition root: puts a server together from its settings, and takes it apart again.
//!
//! Start: listeners first, so that a busy port is named before the store is touched and health can be asked during
//! recovery; then the store; then the node. Stop: unready, no new connections, finish what is in flight, close live
//! streams, checkpoint, release the folder, all within one hard deadline.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use holdfast_actors::{Clock, Commerce, Lease, Node, NodeError, NodeParts};
use holdfast_cluster::{Archivist, LocalRouter, NatsError};
use holdfast_persistence::{Store, StoreError, postgres::projection::ProjectionError};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use crate::{
    beside::Beside,
    descriptors::{self, TooFewDescriptors},
    edge::{
        self, App,
        accept::{Acceptor, Stage},
        service::Service,
    },
    gateway,
    membership::{Membership, MembershipError, Prepared},
    settings::{LimitSettings, Settings, SettingsError},
    storage::{self, Storage},
    telemetry::{Telemetry, TelemetryError},
};

/// How often a recovery says how far it is.
const PROGRESS: Duration = Duration::from_secs(1);

/// The part of the drain deadline that requests and streams may use; the rest is for the store.
const CONNECTIONS_SHARE: u32 = 2;

/// A running server.
pub struct Server {
    public_addr: SocketAddr,
    admin_addr: SocketAddr,
    app: App,
    node: Arc<Node>,
    beside: Option<Beside>,
    archivist: Option<Archivist>,
    membership: Option<Membership>,
    public: watch::Sender<Stage>,
    admin: watch::Sender<Stage>,
    public_tasks: JoinSet<()>,
    other_tasks: JoinSet<()>,
}

/// SIGTERM and SIGINT: what asks a server to end, also while it starts.
pub struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndSignals {
    /// Listens from now on. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// When the system does not let it.
    pub fn listen() -> Result<Self, ServeError> {
        let wait_for = |kind| signal(kind).map_err(|source| ServeError::System { what: "a signal handler", source });
        Ok(Self { terminate: wait_for(SignalKind::terminate())?, interrupt: wait_for(SignalKind::interrupt())? })
    }

    /// Waits until one comes.
    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Why a server cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting makes no sense.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The system allows too few file descriptors.
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
    /// Logs or metrics cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// An address cannot be listened on.
    #[error("cannot listen on {addr} ({setting}): {}", explain(.source))]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The setting it is from.
        setting: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The data folder cannot be opened.
    #[error("the data folder cannot be opened")]
    Store(#[from] StoreError),
    /// The database's settings cannot be used. That it is down is no reason: it is waited for in the background.
    #[error("PostgreSQL cannot be used")]
    Beside(#[from] ProjectionError),
    /// The journal's servers are not fit, or do not answer.
    #[error("the journal in NATS cannot be opened")]
    Nats(#[from] NatsError),
    /// The node cannot be one of several.
    #[error("the node cannot join its cluster")]
    Membership(#[from] MembershipError),
    /// The node cannot start.
    #[error("the shards cannot start")]
    Node(#[from] NodeError),
    /// The operating system gave no randomness, no thread or no signal.
    #[error("the operating system refused {what}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The node could not go on. What was acknowledged is on disk; start again to recover.
    #[error("the node stopped: {0}")]
    Failed(String),
}

fn explain(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there",
        io::ErrorKind::AddrNotAvailable => "this machine does not have the address",
        io::ErrorKind::PermissionDenied => "the port needs more rights",
        _ => "the system refused",
    }
}

impl Server {
    /// Starts a server and waits until it takes requests. Health can be asked as soon as the listeners are up.
    ///
    /// # Errors
    /// [`ServeError`]; nothing is left running.
    pub async fn start(mut settings: Settings) -> Result<Self, ServeError> {
        settings.check()?;
        let affordable = descriptors::raise(settings.limits.connections, settings.admin.connections)?;
        settings.limits.lower_connections(affordable);
        let telemetry = Telemetry::install()?;
        let public_listener = listen(settings.server.listen, "server.listen").await?;
        let admin_listener = listen(settings.admin.listen, "admin.listen").await?;
        let seed = random_seed()?;
        let (public, public_stage) = watch::channel(Stage::Open);
        let (admin, admin_stage) = watch::channel(Stage::Open);
        let app = App::new(settings, public_stage.clone(), telemetry.clone());
        let (limits, deadlines) = (&app.settings.limits, &app.settings.deadlines);
        let service = Service::selling("public", app.clone(), edge::router(app.clone()), seed);
        let public_acceptor = Acceptor::new(public_listener, service, deadlines, limits);
        let service = Service::new("admin", edge::admin::router(app.clone()), !seed);
        let admin_limits = LimitSettings { connections: app.settings.admin.connections, ..limits.clone() };
        let admin_acceptor = Acceptor::new(admin_listener, service, deadlines, &admin_limits);
        let local_addr = |acceptor: &Acceptor| {
            acceptor.local_addr().map_err(|source| ServeError::System { what: "a listener's address", source })
        };
        let (public_addr, admin_addr) = (local_addr(&public_acceptor)?, local_addr(&admin_acceptor)?);
        let (mut public_tasks, mut other_tasks) = (JoinSet::new(), JoinSet::new());
        public_tasks.spawn(public_acceptor.run(public_stage));
        other_tasks.spawn(admin_acceptor.run(admin_stage));
        other_tasks.spawn(telemetry.upkeep());
        tracing::info!(%public_addr, %admin_addr, "listening");
        let Storage { store, shared_journal, archivist } = storage::open(&app.settings).await?;
        let beside = Beside::of(&app.settings.postgres, &store)?;
        if let Some(beside) = &beside {
            app.use_database(beside.database().clone());
            other_tasks.spawn(beside.prepare());
        }
        let prepared = match &shared_journal {
            Some(journal) if app.settings.cluster.is_on() => {
                Some(Prepared::begin(&app.settings, Arc::clone(journal)).await?)
            }
            _ => None,
        };
        let keys = (store.id, store.secret);
        let node = open_node(&app, store, prepared.as_ref()).await?;
        if let Some(journal) = shared_journal {
            let node = Arc::clone(&node);
            other_tasks.spawn(async move { node.give_up(&journal.lost().await) });
        }
        let membership = match prepared {
            Some(prepared) => Some(join(&app, prepared, &node, keys, &mut other_tasks).await?),
            None => None,
        };
        app.become_ready();
        Ok(Self {
            public_addr,
            admin_addr,
            app,
            node,
            beside,
            archivist,
            membership,
            public,
            admin,
            public_tasks,
            other_tasks,
        })
    }

    /// The address buyers reach.
    pub fn public_addr(&self) -> SocketAddr {
        self.public_addr
    }

    /// The address operators reach.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// The node behind the edge.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Serves until one of `signals` comes, then shuts down.
    ///
    /// # Errors
    /// [`ServeError::Failed`] when the node could not go on.
    pub async fn run_until(self, signals: &mut EndSignals) -> Result<(), ServeError> {
        let failure = tokio::select! {
            () = signals.received() => None,
            reason = self.node.failed() => Some(reason),
        };
        self.shutdown().await;
        failure.map_or(Ok(()), |reason| Err(ServeError::Failed(reason)))
    }

    /// Shuts down within `deadlines.drain_ms`: refuses readiness, finishes what is in flight, flushes the store. `true`
    /// when everything was finished; if not, what was acknowledged is in the journal all the same.
    pub async fn shutdown(mut self) -> bool {
        let deadlines = &self.app.settings.deadlines;
        let began = Instant::now();
        let all = Duration::from_millis(deadlines.drain_ms);
        tracing::info!(limit_ms = deadlines.drain_ms, "draining");
        self.app.drain();
        tokio::time::sleep(Duration::from_millis(deadlines.unready_ms)).await;
        if let Some(membership) = &self.membership {
            membership.leave(all).await;
        }
        self.public.send_replace(Stage::Draining);
        let left = (began + all).saturating_duration_since(Instant::now());
        let until = Instant::now() + left / CONNECTIONS_SHARE;
        let finished = timeout_at(until, join_all(&mut self.public_tasks)).await.is_ok();
        self.public.send_replace(Stage::Closed);
        let left = (began + all).saturating_duration_since(Instant::now());
        let flushed = self.node.shutdown(left.mul_f32(0.9)).await;
        if let Some(membership) = self.membership.take() {
            membership.part().await;
        }
        if let Some(beside) = self.beside.take() {
            let left = (began + all).saturating_duration_since(Instant::now());
            beside.stop(left).await;
        }
        if let Some(archivist) = self.archivist.take() {
            // It ends within one request to the servers.
            let _ = tokio::task::spawn_blocking(move || drop(archivist)).await;
        }
        self.admin.send_replace(Stage::Closed);
        self.public_tasks.shutdown().await;
        self.other_tasks.shutdown().await;
        tracing::info!(finished, flushed, took_ms = began.elapsed().as_millis(), "stopped");
        finished && flushed
    }
}

async fn join_all(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

async fn listen(addr: SocketAddr, setting: &'static str) -> Result<TcpListener, ServeError> {
    TcpListener::bind(addr).await.map_err(|source| ServeError::Listen { addr, setting, source })
}

fn random_seed() -> Result<u64, ServeError> {
    getrandom::u64().map_err(|error| ServeError::System { what: "randomness", source: io::Error::other(error) })
}

/// Brings the shards back, saying how far it is.
async fn open_node(app: &App, store: Store, prepared: Option<&Prepared>) -> Result<Arc<Node>, ServeError> {
    let settings = &app.settings;
    let secret = store.secret;
    // A gateway may answer on its own, as a real one does by webhook: the answer goes to the order like any other.
    let commerce: Arc<OnceLock<Commerce>> = Arc::default();
    let listener = Arc::clone(&commerce);
    let on_duplicate = Box::new(move |order, answer| {
        if let Some(commerce) = listener.get() {
            commerce.record_payment(order, answer);
        }
    });
    let gateway = gateway::open(&settings.payments.sandbox, on_duplicate)
        .map_err(|source| ServeError::System { what: "the payment gateway (payments.sandbox)", source })?;
    let parts = NodeParts {
        settings: settings.runtime.clone(),
        payments: settings.payments.clone(),
        store,
        gateway,
        clock: prepared.map_or_else(Clock::system, |prepared| prepared.clock.clone()),
        lease: prepared.map_or_else(Lease::perpetual, |prepared| prepared.lease.clone()),
        probe: None,
    };
    let node = Node::open(parts, |shards, mailboxes| match prepared {
        Some(prepared) => prepared.router(settings, mailboxes),
        None => Arc::new(LocalRouter::new(shards, mailboxes)),
    })?;
    let _ = commerce.set(node.commerce().clone());
    let node = Arc::new(node);
    app.open(Arc::clone(&node), secret);
    let began = Instant::now();
    let summary = {
        let mut recovering = std::pin::pin!(node.recover());
        loop {
            tokio::select! {
                recovered = &mut recovering => break recovered?,
                () = tokio::time::sleep(PROGRESS) => {
                    let so_far = node.recovery_progress();
                    let (records, bytes, of_bytes) = (so_far.records, so_far.bytes, so_far.total_bytes);
                    tracing::info!(snapshots = so_far.snapshots, records, bytes, of_bytes, "recovering");
                }
            }
        }
    };
    let took_ms = began.elapsed().as_millis();
    tracing::info!(snapshots = summary.snapshots, records = summary.records, took_ms, "recovered");
    Ok(node)
}

/// Joins the other nodes, and waits until every shard has an owner among them.
async fn join(
    app: &App,
    prepared: Prepared,
    node: &Arc<Node>,
    keys: ([u8; 16], [u8; 32]),
    tasks: &mut JoinSet<()>,
) -> Result<Membership, ServeError> {
    let membership = prepared.join(&app.settings, node, keys).await?;
    app.join(membership.operations());
    let (failing, failed) = (Arc::clone(node), membership.failed());
    tasks.spawn(async move { failing.give_up(&failed.await) });
    tokio::select! {
        () = membership.wait_ready() => Ok(membership),
        reason = node.failed() => Err(ServeError::Failed(reason)),
    }
}
