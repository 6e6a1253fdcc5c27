//! The HTTP in front of a peer: the routes and bodies the load generator knows, on `axum::serve`, as most services have it.
//!
//! It reads and refuses what any careful service would: a missing key, an unknown field, a quantity of nothing. The answers
//! have the form of ours, so that a byte is not what decides.

use std::{io::Read as _, sync::Arc};

use anyhow::Context as _;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt as _,
};
use holdfast_api::load::{order::IDEMPOTENCY_KEY, order::ORDERS, server_process::Ready};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{
    ListenerArguments,
    sale::{Placed, Product, Refusal, Stack, Wanted, fingerprint, now_ms, order_id},
};

/// The most bytes of an idempotency key, a SKU, a customer or a token.
const MAX_TEXT: usize = 255;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewOrder {
    lines: Vec<NewLine>,
    customer: Option<String>,
    payment: NewPayment,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLine {
    sku: String,
    quantity: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPayment {
    token: String,
}

#[derive(Serialize)]
struct Amount {
    amount_minor: i64,
    currency: &'static str,
}

#[derive(Serialize)]
struct PlacedLine<'a> {
    sku: &'a str,
    quantity: u32,
    unit_price: Amount,
}

#[derive(Serialize)]
struct PlacedOrder<'a> {
    id: String,
    status: &'static str,
    placed_at_ms: i64,
    customer: Option<&'a str>,
    lines: [PlacedLine<'a>; 1],
    total: Amount,
}

/// Serves `stack` until the process is told to leave.
pub(crate) async fn serve<S: Stack>(stack: S, listener: &ListenerArguments) -> anyhow::Result<()> {
    if listener.leave_with_parent {
        std::thread::spawn(leave_with_parent);
    }
    let socket = TcpListener::bind(listener.listen).await.context("cannot listen")?;
    let ready = Ready { public: socket.local_addr()?, admin: None, pid: std::process::id() };
    ready.write(&listener.ready_file).context("cannot write the ready file")?;
    // A refusal to send small packets at once is no reason to stop serving.
    let socket = socket.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(socket, routes(stack)).await.context("the peer failed")
}

/// What is served of `stack`.
pub(crate) fn routes<S: Stack>(stack: S) -> Router {
    Router::new()
        .route(ORDERS, post(place::<S>))
        .route("/api/v1/products", post(put_up::<S>))
        .route("/api/v1/products/{sku}", get(units::<S>))
        .with_state(stack)
}

fn leave_with_parent() {
    let mut sink = [0; 64];
    let mut input = std::io::stdin().lock();
    while input.read(&mut sink).is_ok_and(|bytes| bytes > 0) {}
    std::process::exit(0);
}

async fn place<S: Stack>(State(stack): State<S>, headers: HeaderMap, body: Bytes) -> Response {
    let wanted = match read(&headers, &body) {
        Ok(wanted) => wanted,
        Err(refusal) => return *refusal,
    };
    let (sku, quantity, customer): (Arc<str>, _, _) =
        (Arc::from(wanted.sku.as_str()), wanted.quantity, wanted.customer.clone());
    match stack.place(wanted).await {
        Ok(Ok(placed)) => created(placed, &sku, quantity, customer.as_deref()),
        Ok(Err(refusal)) => problem(refusal),
        Err(error) => fault(&error),
    }
}

/// The order a request asks for.
fn read(headers: &HeaderMap, body: &Bytes) -> Result<Wanted, Box<Response>> {
    let invalid = |what: &'static str| Box::new((StatusCode::BAD_REQUEST, what).into_response());
    let key = headers.get(&IDEMPOTENCY_KEY).and_then(|key| key.to_str().ok());
    let key = key.filter(|key| (16..=MAX_TEXT).contains(&key.len())).ok_or_else(|| invalid("Idempotency-Key"))?;
    let order: NewOrder = serde_json::from_slice(body).map_err(|_| invalid("body"))?;
    let [NewLine { sku, quantity: quantity @ 1..=1_000_000 }] =
        <[NewLine; 1]>::try_from(order.lines).map_err(|_| invalid("a peer sells one SKU an order"))?
    else {
        return Err(invalid("quantity"));
    };
    let texts = [Some(&sku), order.customer.as_ref(), Some(&order.payment.token)];
    if texts.into_iter().flatten().any(|text| text.is_empty() || text.len() > MAX_TEXT) {
        return Err(invalid("a text is empty or too long"));
    }
    let placed_at_ms = now_ms();
    let id = order_id(placed_at_ms).map_err(|error| Box::new(fault(&error.into())))?;
    Ok(Wanted {
        order: id,
        key: key.to_owned(),
        fingerprint: fingerprint(body),
        sku,
        quantity,
        customer: order.customer,
        payment_token: order.payment.token,
        placed_at_ms,
    })
}

fn created(placed: Placed, sku: &str, quantity: u32, customer: Option<&str>) -> Response {
    let amount = |amount_minor| Amount { amount_minor, currency: "EUR" };
    let total = placed.unit_price.saturating_mul(i64::from(quantity));
    let answer = PlacedOrder {
        id: placed.order.to_string(),
        status: "placed",
        placed_at_ms: placed.at_ms,
        customer,
        lines: [PlacedLine { sku, quantity, unit_price: amount(placed.unit_price) }],
        total: amount(total),
    };
    let replayed = placed.replayed.then_some([("idempotency-replayed", "true")]);
    let location = [(header::LOCATION, format!("/api/v1/orders/{}", placed.order))];
    match replayed {
        Some(replayed) => (StatusCode::CREATED, location, replayed, Json(answer)).into_response(),
        None => (StatusCode::CREATED, location, Json(answer)).into_response(),
    }
}

fn problem(refusal: Refusal) -> Response {
    let (status, slug) = match refusal {
        Refusal::SoldOut => (StatusCode::CONFLICT, "insufficient-stock"),
        Refusal::OverLimit => (StatusCode::CONFLICT, "customer-limit"),
        Refusal::CustomerRequired | Refusal::NoSuchSku => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-request"),
        Refusal::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused"),
    };
    let body = json!({ "type": format!("https://holdfast.dev/problems/{slug}"), "status": status.as_u16() });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

fn fault(error: &anyhow::Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response()
}

async fn put_up<S: Stack>(State(stack): State<S>, Json(product): Json<Product>) -> Response {
    match stack.put_up(product).await {
        Ok(()) => StatusCode::CREATED.into_response(),
        Err(error) => fault(&error),
    }
}

async fn units<S: Stack>(State(stack): State<S>, Path(sku): Path<String>) -> Response {
    match stack.units(&sku).await {
        Ok(Some(units)) => Json(json!({ "sku": sku, "stock": units })).into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => fault(&error),
    }
}
