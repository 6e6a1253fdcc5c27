//! Giving money back.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use holdfast_core::{
    Money,
    order::{Order, Refund, RefundState},
};

use super::orders::{no_such_order, order_id};
use crate::edge::{
    App,
    auth::Admin,
    body::OptionalJson,
    idempotency::{self, REPLAYED, TRUE},
    problem::{Kind, Problem},
    query::PathPart,
    reply::{self, Answer},
    token,
    view::order::{AcceptedRefund, NewRefund},
};

/// Refund an order
///
/// All that is left, or a part. The gateway is asked in the background; the order shows what became of it. A retry with
/// the same `Idempotency-Key` gives nothing back twice.
#[utoipa::path(post, path = "/api/v1/orders/{id}/refunds", tag = "orders", security(("admin" = [])),
    request_body = Option<NewRefund>,
    params(("id" = String, Path, description = "The order."),
        ("Idempotency-Key" = String, Header, description = "Your own name for this refund; the same on every retry.")),
    responses((status = 201, description = "The refund. `Idempotency-Replayed: true` on a retry.", body = AcceptedRefund)))]
pub(super) async fn refund(
    State(app): State<App>,
    _admin: Admin,
    PathPart(id): PathPart,
    headers: HeaderMap,
    OptionalJson(new): OptionalJson<NewRefund>,
) -> Answer {
    let id = order_id(&id)?;
    let request = token::refund_key_digest(id, idempotency::key(&headers, &app.settings.idempotency)?);
    let amount = new.amount.map(Money::from);
    if amount.is_some_and(|amount| !amount.is_positive()) {
        return Err(invalid("/amount/amount_minor", "more than 0"));
    }
    let commerce = app.commerce()?;
    let before = commerce.order(id).await?;
    let is_replay = find(&before, request).is_some();
    let charged = before.placement().map(|placement| placement.total.currency());
    if let (false, Some(amount), Some(charged)) = (is_replay, amount, charged)
        && amount.currency() != charged
    {
        return Err(invalid("/amount/currency", &format!("{charged}, the order's currency")));
    }
    let order = if is_replay { before } else { commerce.refund_order(id, request, amount).await? };
    let (number, refund) = find(&order, request).ok_or_else(no_such_order)?;
    if !amount.map_or_else(|| was_all(&order, number, refund), |amount| amount == refund.amount) {
        return Err(Problem::new(Kind::IdempotencyKeyReused));
    }
    let answer = reply::json(StatusCode::CREATED, &AcceptedRefund { order: id, number, amount: refund.amount.into() })?;
    Ok(if is_replay { reply::with(answer, REPLAYED, TRUE) } else { answer })
}

fn invalid(field: &str, detail: &str) -> Problem {
    Problem::new(Kind::InvalidRequest).field(field, detail)
}

/// Whether a refund took all that was left when it was asked for. Refunds that failed may have counted then or not.
fn was_all(order: &Order, number: usize, refund: &Refund) -> bool {
    let Some(placement) = order.placement() else { return false };
    let (mut failed, mut others) = (0_i64, 0_i64);
    for earlier in order.refunds().iter().take(number) {
        let sum = if matches!(earlier.state, RefundState::Failed { .. }) { &mut failed } else { &mut others };
        *sum = sum.saturating_add(earlier.amount.minor());
    }
    let most = placement.total.minor().saturating_sub(others);
    (most.saturating_sub(failed)..=most).contains(&refund.amount.minor())
}

/// The refund made under a request, with its number.
fn find(order: &Order, request: u128) -> Option<(usize, &Refund)> {
    order.refunds().iter().enumerate().find(|(_, refund)| refund.request == request)
}
