//! The gateway service as the shards see it: a [`PaymentGateway`] over HTTP.
//!
//! Invariant: `Unavailable` (nothing happened) only when no connection came about, or the service itself says that it turned
//! the call away. Anything else after that moment is `TimedOut`: the call may have arrived, and is asked again under its key.

use std::{io, time::Duration};

use async_trait::async_trait;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use holdfast_actors::payment::{
    GatewayError, GatewayRequest, PaymentGateway, SandboxSettings, VoidOutcome, sandbox::OnDuplicate,
};
use holdfast_core::order::{AuthorizationOutcome, OrderCommand, SettlementOutcome};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde::Deserialize;

use super::wire::{self, CallBody, OutcomeBody};
use crate::edge::IDEMPOTENCY_KEY;

/// The longest answer that is read, in bytes: an outcome has a few dozen.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// How long a connection that nobody uses is kept: shorter than the service keeps it (`deadlines.idle_ms`), so that a call
/// is not sent into one that is being closed.
const IDLE: Duration = Duration::from_secs(20);

/// A gateway that is asked over HTTP.
pub struct RemoteGateway {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    on_duplicate: Option<OnDuplicate>,
}

/// The one member of a problem that is acted on, and the one that is logged.
#[derive(Deserialize)]
struct ProblemBody {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    detail: String,
}

impl RemoteGateway {
    /// The gateway at `settings.url`. Nothing is sent yet: it may come up later.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn new(settings: &SandboxSettings) -> io::Result<Self> {
        let base = settings.url.trim_end_matches('/').to_owned();
        let wrong = |error: axum::http::Error| io::Error::new(io::ErrorKind::InvalidInput, error);
        Request::get(format!("{base}/")).body(()).map_err(wrong)?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_millis(settings.connect_timeout_ms.get())));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(Self { client, base, on_duplicate: None })
    }

    /// The same, with a place for answers that are delivered twice.
    #[must_use]
    pub fn with_duplicates(self, on_duplicate: OnDuplicate) -> Self {
        Self { on_duplicate: Some(on_duplicate), ..self }
    }

    async fn call(&self, request: &GatewayRequest) -> Result<OutcomeBody, GatewayError> {
        let answer = self.client.request(self.message(request)?).await.map_err(|error| {
            if error.is_connect() {
                return unavailable(format!("{} does not take connections: {}", self.base, root_cause(&error)));
            }
            tracing::debug!(key = %request.key, error = %root_cause(&error), "the gateway's answer was lost");
            GatewayError::TimedOut
        })?;
        read(answer).await
    }

    fn message(&self, request: &GatewayRequest) -> Result<Request<Full<Bytes>>, GatewayError> {
        // Neither can fail: the address was tried at the start, and a key is a header's characters.
        let unsent = |error: &dyn std::fmt::Display| unavailable(format!("the call cannot be written: {error}"));
        let body = serde_json::to_vec(&CallBody::from(request)).map_err(|error| unsent(&error))?;
        Request::post(format!("{}{}", self.base, wire::path(request.key.call)))
            .header(IDEMPOTENCY_KEY, request.key.to_string())
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::from(body))
            .map_err(|error| unsent(&error))
    }
}

/// What an answer says. One that breaks off, is too long or cannot be read says nothing.
async fn read(answer: Response<Incoming>) -> Result<OutcomeBody, GatewayError> {
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
    let bytes = body.map_err(|_| GatewayError::TimedOut)?.to_bytes();
    if status == StatusCode::OK {
        return serde_json::from_slice(&bytes).map_err(|error| {
            tracing::warn!(%error, "the gateway's answer cannot be read");
            GatewayError::TimedOut
        });
    }
    match serde_json::from_slice::<ProblemBody>(&bytes) {
        Ok(problem) if wire::nothing_happened(&problem.kind) => Err(unavailable(problem.detail)),
        _ => Err(GatewayError::TimedOut),
    }
}

fn unavailable(reason: String) -> GatewayError {
    GatewayError::Unavailable { reason }
}

/// An outcome that is none of this call's.
fn strange(request: &GatewayRequest, outcome: &OutcomeBody) -> GatewayError {
    tracing::warn!(key = %request.key, ?outcome, "the gateway answered with an outcome of another call");
    GatewayError::TimedOut
}

fn settlement(request: &GatewayRequest, outcome: OutcomeBody) -> Result<SettlementOutcome, GatewayError> {
    match outcome {
        OutcomeBody::Done => Ok(SettlementOutcome::Done),
        OutcomeBody::Failed { reason } => Ok(SettlementOutcome::Failed { reason }),
        other => Err(strange(request, &other)),
    }
}

/// The innermost cause, in words: the client's own say only that something went wrong.
fn root_cause(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}

#[async_trait]
impl PaymentGateway for RemoteGateway {
    async fn authorize(&self, request: &GatewayRequest) -> Result<AuthorizationOutcome, GatewayError> {
        let outcome = match self.call(request).await? {
            OutcomeBody::Approved { reference, delivered_twice } => {
                let outcome = AuthorizationOutcome::Approved { reference };
                if let Some(on_duplicate) = self.on_duplicate.as_ref().filter(|_| delivered_twice) {
                    on_duplicate(request.key.order, OrderCommand::RecordAuthorization(outcome.clone()));
                }
                outcome
            }
            OutcomeBody::Declined { reason } => AuthorizationOutcome::Declined { reason },
            other => return Err(strange(request, &other)),
        };
        Ok(outcome)
    }

    async fn capture(&self, request: &GatewayRequest) -> Result<SettlementOutcome, GatewayError> {
        self.call(request).await.and_then(|outcome| settlement(request, outcome))
    }

    async fn void(&self, request: &GatewayRequest) -> Result<VoidOutcome, GatewayError> {
        match self.call(request).await? {
            OutcomeBody::Voided => Ok(VoidOutcome::Voided),
            OutcomeBody::Captured => Ok(VoidOutcome::Captured),
            other => Err(strange(request, &other)),
        }
    }

    async fn refund(&self, request: &GatewayRequest) -> Result<SettlementOutcome, GatewayError> {
        self.call(request).await.and_then(|outcome| settlement(request, outcome))
    }
}
