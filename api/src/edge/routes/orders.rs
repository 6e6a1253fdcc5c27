//! Reading and moving orders. A buyer reaches the orders made with the token, the admin all of them; to everybody else
//! there is no order.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use holdfast_actors::OrderQuery;
use holdfast_core::{
    CustomerId, OrderId, SkuId, Timestamp,
    order::{CancelReason, Order, OrderStatus},
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::edge::{
    App,
    auth::{Admin, Caller, unauthorized},
    body::Json,
    cursor,
    etag::{self, IfMatch},
    instant,
    problem::{Kind, Problem},
    query::{Params, PathPart, page_size},
    reply::{self, Answer},
    search,
    view::order::{self, NewStatus, OrderBody, OrderPage, StatusChange, SummaryBody},
};

/// Which orders to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// Where to go on: `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many at most, from 1 to the server's limit (100 unless set otherwise).
    #[param(minimum = 1)]
    limit: Option<usize>,
    /// Only orders that stand here.
    status: Option<String>,
    /// Only of this customer.
    customer: Option<String>,
    /// Only with a line of this SKU.
    sku: Option<String>,
    /// Only placed then or later.
    #[param(format = DateTime)]
    placed_from: Option<String>,
    /// Only placed before then.
    #[param(format = DateTime)]
    placed_to: Option<String>,
}

/// List orders
///
/// Newest first. A buyer sees the orders made with the token, the admin all. Whoever changed an order sees it as changed.
#[utoipa::path(get, path = "/api/v1/orders", tag = "orders", params(ListParams), security(("buyer" = []), ("admin" = [])),
    responses((status = 200, description = "A page of orders.", body = OrderPage)))]
pub(super) async fn list(State(app): State<App>, caller: Caller, Params(params): Params<ListParams>) -> Answer {
    let buyer = match caller {
        Caller::Admin => None,
        Caller::Buyer(token) => Some(token.id()),
        Caller::Anonymous | Caller::Unknown => return Err(unauthorized()),
    };
    let limit = page_size(params.limit, app.settings.limits.page_items)?;
    let query = OrderQuery {
        buyer,
        customer: params
            .customer
            .map(|text| CustomerId::parse(&text).map_err(|error| bad("customer", &error)))
            .transpose()?,
        status: params.status.as_deref().map(status_of).transpose()?,
        sku: params.sku.map(|text| SkuId::parse(&text).map_err(|error| bad("sku", &error))).transpose()?,
        placed_from: params.placed_from.as_deref().map(|text| instant_of("placed_from", text)).transpose()?,
        placed_to: params.placed_to.as_deref().map(|text| instant_of("placed_to", text)).transpose()?,
        before: params.cursor.as_deref().map(cursor::order).transpose()?,
        limit: limit + 1,
    };
    let mut orders = search::orders(&app, &query).await?;
    let has_more = orders.len() > limit;
    orders.truncate(limit);
    let next_cursor = orders.last().filter(|_| has_more).map(|last| cursor::before_order(last.placed_at, last.id));
    let items = orders.iter().map(SummaryBody::from).collect();
    reply::json(StatusCode::OK, &OrderPage { items, next_cursor })
}

/// Read an order
#[utoipa::path(get, path = "/api/v1/orders/{id}", tag = "orders", security(("buyer" = []), ("admin" = [])),
    params(("id" = String, Path, description = "The order.")),
    responses((status = 200, description = "The order, with its `ETag`.", body = OrderBody),
        (status = 304, description = "`If-None-Match` names the current state.")))]
pub(super) async fn read(State(app): State<App>, caller: Caller, PathPart(id): PathPart, headers: HeaderMap) -> Answer {
    let found = reached(&app, &caller, &id).await?;
    let body = OrderBody::new(&found).ok_or_else(no_such_order)?;
    reply::tagged(&headers, order::tag(&found), &body)
}

/// Ship, deliver or cancel an order
#[utoipa::path(put, path = "/api/v1/orders/{id}/status", tag = "orders", security(("admin" = [])), request_body = StatusChange,
    params(("id" = String, Path, description = "The order."),
        ("If-Match" = Option<String>, Header, description = "The order's `ETag`.")),
    responses((status = 200, description = "The order.", body = OrderBody)))]
pub(super) async fn change_status(
    State(app): State<App>,
    _admin: Admin,
    PathPart(id): PathPart,
    if_match: IfMatch,
    Json(change): Json<StatusChange>,
) -> Answer {
    let (id, expected) = (order_id(&id)?, if_match.version('o')?);
    let commerce = app.commerce()?;
    let moved = match change.status {
        NewStatus::Shipped => commerce.ship_order(id, expected).await?,
        NewStatus::Delivered => commerce.deliver_order(id, expected).await?,
        NewStatus::Canceled => commerce.cancel_order(id, CancelReason::Merchant, expected).await?,
    };
    shown(&moved)
}

/// Cancel an order before it ships
///
/// Its units go back into stock; what was authorized is voided, what was captured is refunded.
#[utoipa::path(post, path = "/api/v1/orders/{id}/cancel", tag = "orders", security(("buyer" = []), ("admin" = [])),
    params(("id" = String, Path, description = "The order.")),
    responses((status = 200, description = "The order.", body = OrderBody)))]
pub(super) async fn cancel(State(app): State<App>, caller: Caller, PathPart(id): PathPart) -> Answer {
    let found = reached(&app, &caller, &id).await?;
    let reason = if caller.is_admin() { CancelReason::Merchant } else { CancelReason::Buyer };
    shown(&app.commerce()?.cancel_order(found.id(), reason, None).await?)
}

/// The order, if this caller reaches it; else there is none.
async fn reached(app: &App, caller: &Caller, id: &str) -> Result<Order, Problem> {
    let buyer = match caller {
        Caller::Admin => None,
        Caller::Buyer(token) => Some(token.id()),
        Caller::Anonymous | Caller::Unknown => return Err(no_such_order()),
    };
    let found = app.commerce()?.order(order_id(id)?).await?;
    let owner = found.placement().map(|placement| placement.buyer);
    if owner.is_none() || buyer.is_some_and(|buyer| owner != Some(buyer)) {
        return Err(no_such_order());
    }
    Ok(found)
}

fn shown(moved: &Order) -> Answer {
    let body = OrderBody::new(moved).ok_or_else(no_such_order)?;
    let answer = reply::json(StatusCode::OK, &body)?;
    Ok(reply::with(answer, header::ETAG, etag::header_value(order::tag(moved))))
}

/// The order of a path: what cannot be one is not there.
pub(super) fn order_id(text: &str) -> Result<OrderId, Problem> {
    text.parse().map_err(|_| no_such_order())
}

/// The one answer to whoever may not see an order, or asks for one that is not there.
pub(super) fn no_such_order() -> Problem {
    Problem::new(Kind::NotFound).detail("there is no such order")
}

fn bad(name: &str, error: &holdfast_core::id::IdError) -> Problem {
    Problem::new(Kind::InvalidQuery).field(name, error.to_string())
}

/// The status of a query.
fn status_of(text: &str) -> Result<OrderStatus, Problem> {
    let known = || OrderStatus::ALL.map(|status| status.to_string()).join(", ");
    let bad = || Problem::new(Kind::InvalidQuery).field("status", format!("one of {}", known()));
    OrderStatus::parse(text).ok_or_else(bad)
}

/// The instant of a query.
fn instant_of(name: &str, text: &str) -> Result<Timestamp, Problem> {
    instant::parse(text).map_err(|error| Problem::new(Kind::InvalidQuery).field(name, error.to_string()))
}
