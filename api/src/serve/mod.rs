//! The composition root: puts a server together from its settings, and takes it apart again.
//!
//! Start: listeners first, so that a busy port is named before the store is touched and health can be asked during
//! recovery; then the store; then the node. Stop: unready, no new connections, finish what is in flight, close live
//! streams, checkpoint, release the folder, all within one hard deadline.

mod error;
mod recover;
mod signals;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use holdfast_actors::Node;
use holdfast_cluster::Archivist;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use self::recover::{join, open_node};
pub use self::{error::ServeError, signals::EndSignals};
use crate::{
    beside::Beside,
    descriptors,
    edge::{
        self, App,
        accept::{Acceptor, Stage},
        service::Service,
    },
    membership::{Membership, Prepared},
    settings::{LimitSettings, Settings},
    storage::{self, Storage},
    telemetry::Telemetry,
};

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
