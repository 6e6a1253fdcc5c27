//! Whether the process lives, and whether it takes requests. On both listeners.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use axum::http::StatusCode;

use crate::edge::{
    App,
    reply::{self, Answer},
};

/// How the server is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `alive`, or `ready`.
    status: &'static str,
}

/// Is the process alive?
#[utoipa::path(get, path = "/healthz", tag = "health",
    responses((status = 200, description = "It is.", body = Health)))]
pub(crate) async fn healthz() -> Answer {
    reply::json(StatusCode::OK, &Health { status: "alive" })
}

/// Does the server take requests?
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, description = "It does.", body = Health)))]
pub(crate) async fn readyz(State(app): State<App>) -> Answer {
    app.readiness()?;
    reply::json(StatusCode::OK, &Health { status: "ready" })
}
