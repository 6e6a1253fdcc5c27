//! The gateway service: the sandbox behind HTTP, in a process of its own (`holdfast gateway`).
//!
//! Invariant: a call is in the book before it is answered, and one that is turned away did nothing. A token that makes the
//! sandbox lose its answer makes the service say that the outcome is not known, which a node takes for what it is.

use std::{collections::HashSet, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use holdfast_actors::payment::{GatewayError, GatewayRequest, PaymentGateway as _, SandboxGateway};
use holdfast_core::{OrderId, order::GatewayCall};
use parking_lot::Mutex;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use super::{
    sums::{OrderSums, Totals},
    wire::{self, CallBody, OutcomeBody},
};
use crate::{
    descriptors,
    edge::{
        self, IDEMPOTENCY_KEY,
        accept::{Acceptor, Stage},
        problem::{Kind, Problem},
        reply::{self, Answer},
        service::Service,
    },
    serve::{EndSignals, ServeError},
    settings::{LimitSettings, Settings},
    telemetry::Telemetry,
};

/// A running gateway service.
pub struct GatewayServer {
    addr: SocketAddr,
    drain: Duration,
    stage: watch::Sender<Stage>,
    serving: JoinHandle<()>,
}

/// What all its handlers share.
struct Desk {
    gateway: SandboxGateway,
    /// Orders whose answer goes out a second time: the sandbox says so while it decides.
    twice: Arc<Mutex<HashSet<OrderId>>>,
    settings: Settings,
    telemetry: Telemetry,
}

type SharedDesk = State<Arc<Desk>>;

impl GatewayServer {
    /// Starts the service. What the book says was asked before is remembered.
    ///
    /// # Errors
    /// [`ServeError`]; nothing is left running.
    pub async fn start(mut settings: Settings) -> Result<Self, ServeError> {
        settings.check()?;
        settings.gateway.connections = descriptors::raise(settings.gateway.connections, 0)?;
        let telemetry = Telemetry::install()?;
        let addr = settings.gateway.listen;
        let listener = TcpListener::bind(addr);
        let listener =
            listener.await.map_err(|source| ServeError::Listen { addr, setting: "gateway.listen", source })?;
        let limits = LimitSettings { connections: settings.gateway.connections, ..settings.limits.clone() };
        let (deadlines, drain) = (settings.deadlines.clone(), Duration::from_millis(settings.deadlines.drain_ms));
        let seed = getrandom::u64()
            .map_err(|error| ServeError::System { what: "randomness", source: io::Error::other(error) })?;
        // It reads its book, every call there ever was.
        let desk = tokio::task::spawn_blocking(move || Desk::open(settings, telemetry)).await;
        let desk = desk.map_err(|error| ServeError::System { what: "a thread", source: io::Error::other(error) })??;
        let service = Service::new("gateway", router(desk), seed);
        let acceptor = Acceptor::new(listener, service, &deadlines, &limits);
        let local = acceptor.local_addr();
        let addr = local.map_err(|source| ServeError::System { what: "the listener's address", source })?;
        let (stage, watched) = watch::channel(Stage::Open);
        #[expect(clippy::disallowed_methods, reason = "owned by the server, which ends it in `shutdown`")]
        let serving = tokio::spawn(acceptor.run(watched));
        tracing::info!(%addr, "the sandbox gateway listens");
        Ok(Self { addr, drain, stage, serving })
    }

    /// The address nodes reach.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until one of `signals` comes, then ends within `deadlines.drain_ms`.
    pub async fn run_until(self, signals: &mut EndSignals) {
        signals.received().await;
        self.shutdown().await;
    }

    /// Takes nothing new, answers what it can within `deadlines.drain_ms`, and ends. A call that is cut off is asked again.
    pub async fn shutdown(mut self) {
        self.stage.send_replace(Stage::Draining);
        if tokio::time::timeout(self.drain, &mut self.serving).await.is_err() {
            self.stage.send_replace(Stage::Closed);
            let _ = self.serving.await;
        }
    }
}

impl Desk {
    fn open(settings: Settings, telemetry: Telemetry) -> Result<Self, ServeError> {
        let gateway = SandboxGateway::open(&settings.payments.sandbox).map_err(ServeError::Gateway)?;
        if settings.payments.sandbox.book.is_none() {
            tracing::warn!("payments.sandbox.book is not set: a restart forgets what was paid");
        }
        let twice: Arc<Mutex<HashSet<OrderId>>> = Arc::default();
        let told = Arc::clone(&twice);
        let gateway = gateway.with_duplicates(Box::new(move |order, _| {
            told.lock().insert(order);
        }));
        Ok(Self { gateway, twice, settings, telemetry })
    }

    async fn carry_out(&self, request: &GatewayRequest) -> Result<OutcomeBody, GatewayError> {
        let gateway = &self.gateway;
        match request.key.call {
            GatewayCall::Authorize => gateway.authorize(request).await.map(|outcome| {
                let mut body = OutcomeBody::from(outcome);
                if let OutcomeBody::Approved { delivered_twice, .. } = &mut body {
                    *delivered_twice = self.twice.lock().remove(&request.key.order);
                }
                body
            }),
            GatewayCall::Capture => gateway.capture(request).await.map(OutcomeBody::from),
            GatewayCall::Void => gateway.void(request).await.map(OutcomeBody::from),
            GatewayCall::Refund(_) => gateway.refund(request).await.map(OutcomeBody::from),
        }
    }
}

fn router(desk: Desk) -> Router {
    let calls = [GatewayCall::Authorize, GatewayCall::Capture, GatewayCall::Void, GatewayCall::Refund(0)];
    let router = calls.into_iter().fold(Router::new(), |router, kind| router.route(wire::path(kind), post(call)));
    router
        .route("/v1/orders/{id}", get(order))
        .route("/v1/totals", get(totals))
        .route("/healthz", get(edge::routes::healthz))
        .route("/metrics", get(metrics))
        .fallback(edge::routes::not_found)
        .method_not_allowed_fallback(edge::routes::method_not_allowed)
        .with_state(Arc::new(desk))
}

/// One call, whichever the path says.
async fn call(State(desk): SharedDesk, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let key = key(&parts.headers)?;
    if wire::path(key.call) != parts.uri.path() {
        let detail = format!("{key} is no key of a call to {}", parts.uri.path());
        return Err(Problem::new(Kind::InvalidHeader).field("Idempotency-Key", detail));
    }
    let bytes = edge::read_body(&parts.headers, body, &desk.settings).await?;
    let call: CallBody = edge::parse_body(&bytes, &desk.settings.limits)?;
    let request =
        call.into_request(key).map_err(|(field, why)| Problem::new(Kind::InvalidRequest).field(field, why))?;
    match desk.carry_out(&request).await {
        Ok(outcome) => reply::json(StatusCode::OK, &outcome),
        Err(GatewayError::Unavailable { reason }) => Err(Problem::new(Kind::Unavailable).detail(reason)),
        Err(unknown @ GatewayError::TimedOut) => Err(Problem::new(Kind::OutcomeUnknown).detail(unknown.to_string())),
    }
}

fn key(headers: &HeaderMap) -> Result<holdfast_core::order::GatewayKey, Problem> {
    let given = headers.get(IDEMPOTENCY_KEY).ok_or_else(|| Problem::new(Kind::IdempotencyKeyMissing))?;
    given.to_str().ok().and_then(wire::read_key).ok_or_else(|| {
        Problem::new(Kind::IdempotencyKeyMalformed).detail("a key is an order and a call, such as ord_0123...:capture")
    })
}

/// What happened to the money of one order.
async fn order(State(desk): SharedDesk, Path(id): Path<String>) -> Answer {
    let unheard = || Problem::new(Kind::NotFound).detail("the gateway never heard of this order");
    let id: OrderId = id.parse().map_err(|_| unheard())?;
    let order = desk.gateway.ledger().order(id).ok_or_else(unheard)?;
    reply::json(StatusCode::OK, &OrderSums::from(order))
}

/// Sums over all orders, and the orders whose money went wrong.
async fn totals(State(desk): SharedDesk) -> Answer {
    let ledger = desk.gateway.ledger();
    let violations = ledger.violations().iter().map(ToString::to_string).collect();
    reply::json(StatusCode::OK, &Totals::new(ledger.totals(), violations))
}

async fn metrics(State(desk): SharedDesk) -> Response {
    let media_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, media_type)], desk.telemetry.render()).into_response()
}
