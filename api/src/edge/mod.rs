//! The HTTP edge: everything between a socket and the [`holdfast_actors::Commerce`] facade.
//!
//! Read in this order: `accept` takes connections in; `pulse`, `reaper` and `stream` end the ones that misbehave;
//! `service` surrounds every request; `routes` holds a handler per operation; `body`, `query`, `auth`, `idempotency`,
//! `etag` and `cursor` are what handlers read requests with; `view` and `problem` are what they answer with.
//!
//! Invariant: nothing is decided here about stock, money or orders. A handler reads a request, asks the facade, and
//! shows the answer.

pub(crate) mod accept;
mod acceptable;
pub(crate) mod admin;
mod auth;
mod body;
mod cursor;
mod etag;
mod host;
mod idempotency;
mod instant;
mod openapi;
mod page;
#[doc(hidden)]
pub mod probe;
pub mod problem;
mod pulse;
mod query;
mod reaper;
pub(crate) mod reply;
pub(crate) mod routes;
mod search;
pub(crate) mod service;
mod stream;
mod token;
mod traffic;
mod view;

use std::{
    ops::Deref,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use holdfast_actors::{Commerce, Node, Unavailable};
use holdfast_persistence::postgres::Database;
use tokio::sync::{Semaphore, watch};

use self::{
    accept::Stage,
    admin::Rates,
    problem::{Kind, Problem},
};
use crate::{settings::Settings, telemetry::Telemetry};

pub(crate) use admin::Operations;
pub use auth::CART_TOKEN;
pub(crate) use body::{parse as parse_body, read as read_body};
pub use idempotency::{IDEMPOTENCY_KEY, REPLAYED};
pub use openapi::to_json as openapi_json;
pub(crate) use routes::router;
pub use service::REQUEST_ID;

/// What every handler of both listeners shares. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<AppState>);

/// The state behind [`App`].
pub(crate) struct AppState {
    /// The settings the server was started with.
    pub(crate) settings: Settings,
    /// How the server ends: live streams watch it.
    pub(crate) stage: watch::Receiver<Stage>,
    /// One permit per live stream.
    pub(crate) streams: Arc<Semaphore>,
    /// The metrics.
    pub(crate) telemetry: Telemetry,
    node: OnceLock<Running>,
    cluster: OnceLock<Arc<dyn Operations>>,
    rates: Rates,
    database: OnceLock<Database>,
    is_settled: AtomicBool,
    is_draining: AtomicBool,
}

/// The node once its store is open.
struct Running {
    node: Arc<Node>,
    secret: [u8; 32],
}

impl Deref for App {
    type Target = AppState;

    fn deref(&self) -> &AppState {
        &self.0
    }
}

impl App {
    /// The state of a server whose node is not there yet.
    pub(crate) fn new(settings: Settings, stage: watch::Receiver<Stage>, telemetry: Telemetry) -> Self {
        let streams = Arc::new(Semaphore::new(settings.limits.streams));
        Self(Arc::new(AppState {
            settings,
            stage,
            streams,
            telemetry,
            node: OnceLock::new(),
            cluster: OnceLock::new(),
            rates: Rates::new(),
            database: OnceLock::new(),
            is_settled: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
        }))
    }
}

impl AppState {
    /// Hands the node in. It may still be recovering; it says so itself.
    pub(crate) fn open(&self, node: Arc<Node>, secret: [u8; 32]) {
        // Only the composition root calls this, once.
        let _ = self.node.set(Running { node, secret });
    }

    /// Hands the cluster in that the node is one of.
    pub(crate) fn join(&self, cluster: Arc<dyn Operations>) {
        // Only the composition root calls this, once.
        let _ = self.cluster.set(cluster);
    }

    /// The cluster, if the node is one of several and has joined.
    pub(crate) fn cluster(&self) -> Option<&Arc<dyn Operations>> {
        self.cluster.get()
    }

    /// Hands the database in. It may not be ready; it says so itself.
    pub(crate) fn use_database(&self, database: Database) {
        // Only the composition root calls this, once.
        let _ = self.database.set(database);
    }

    /// The database, if the settings name one.
    pub(crate) fn database(&self) -> Option<&Database> {
        self.database.get()
    }

    /// The start is over: the node has recovered and, if it is one of several, joined the others.
    pub(crate) fn become_ready(&self) {
        self.is_settled.store(true, Ordering::Relaxed);
    }

    /// From now on the server is not ready, and does not become so again.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// The node, if its store is open.
    pub(crate) fn node(&self) -> Option<&Arc<Node>> {
        self.node.get().map(|running| &running.node)
    }

    /// The shop.
    pub(crate) fn commerce(&self) -> Result<&Commerce, Problem> {
        self.node().map(|node| node.commerce()).ok_or_else(recovering)
    }

    /// The shop for reads of the views: once they are whole.
    pub(crate) fn catalog(&self) -> Result<&Commerce, Problem> {
        match self.node() {
            Some(node) if node.is_ready() || self.is_draining.load(Ordering::Relaxed) => Ok(node.commerce()),
            _ => Err(recovering()),
        }
    }

    /// What buyers' tokens are derived from.
    pub(crate) fn secret(&self) -> Result<&[u8; 32], Problem> {
        self.node.get().map(|running| &running.secret).ok_or_else(recovering)
    }

    /// Whether requests are taken, or why not.
    pub(crate) fn readiness(&self) -> Result<(), Unavailable> {
        if self.is_draining.load(Ordering::Relaxed) {
            return Err(Unavailable::Draining);
        }
        match self.node() {
            Some(node) if node.commerce().is_isolated() => Err(Unavailable::Isolated),
            Some(node) if node.is_ready() && self.is_settled.load(Ordering::Relaxed) => Ok(()),
            _ => Err(Unavailable::Recovering),
        }
    }
}

fn recovering() -> Problem {
    Problem::new(Kind::Unavailable).detail("the server is recovering")
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt as _;

    use super::*;

    /// What a server answers whose node is not there yet.
    async fn status(path: &str, change: impl FnOnce(&App)) -> u16 {
        let (_stage, stage) = watch::channel(Stage::Open);
        let app = App::new(Settings::default(), stage, Telemetry::install().expect("a recorder"));
        change(&app);
        let request = Request::get(path).body(Body::empty()).expect("a request");
        router(app).oneshot(request).await.expect("an answer").status().as_u16()
    }

    #[tokio::test]
    async fn a_server_that_recovers_or_drains_lives_but_is_not_ready() {
        assert_eq!(status("/healthz", |_| ()).await, 200);
        assert_eq!(status("/readyz", |_| ()).await, 503);
        assert_eq!(status("/readyz", |app| app.drain()).await, 503);
        assert_eq!(status("/api/v1/products", |_| ()).await, 503);
        assert_eq!(status("/docs", |_| ()).await, 200);
    }
}
