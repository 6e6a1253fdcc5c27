//! Carts. Whoever holds the token owns the cart; there is no other way to it.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::Response,
};
use holdfast_actors::{CommandError, Commerce, Rejection};
use holdfast_core::{Currency, cart::Cart, product::ProductRejection};

use super::products::located;
use crate::edge::{
    App,
    auth::{CartOwner, cart_token},
    body::{Json, OptionalJson},
    etag::{self, IfMatch},
    problem::{Kind, Problem},
    query::PathPart,
    reply::{self, Answer},
    token::CartToken,
    view::cart::{self, CartBody, ItemChange, Merge, NewCart, NewItem},
};

/// Begin a cart
///
/// The answer holds the cart's token: the only way to it. The body may be left out.
#[utoipa::path(post, path = "/api/v1/cart", tag = "cart", request_body = Option<NewCart>,
    responses((status = 201, description = "The cart, with its token, `Location` and `ETag`.", body = CartBody)))]
pub(super) async fn create(State(app): State<App>, OptionalJson(new): OptionalJson<NewCart>) -> Answer {
    let code = new.currency.as_deref().unwrap_or(&app.settings.server.currency);
    let wrong =
        |error: holdfast_core::MoneyError| Problem::new(Kind::InvalidRequest).field("/currency", error.to_string());
    let currency = Currency::parse(code).map_err(wrong)?;
    let commerce = app.commerce()?;
    let token = CartToken::random().map_err(|error| {
        tracing::error!(%error, "the operating system gave no randomness for a cart's token");
        Problem::new(Kind::Internal)
    })?;
    let created = commerce.create_cart(token.id(), currency).await?;
    let body = CartBody::new(&created, commerce.views()).with_token(token.reveal());
    let answer = tagged(reply::json(StatusCode::CREATED, &body)?, &created);
    Ok(located(answer, "/api/v1/cart".to_owned()))
}

/// Read the cart
#[utoipa::path(get, path = "/api/v1/cart", tag = "cart", security(("cart" = [])),
    responses((status = 200, description = "The cart, with its `ETag`.", body = CartBody)))]
pub(super) async fn read(State(app): State<App>, CartOwner(token): CartOwner) -> Answer {
    let commerce = app.commerce()?;
    // Prices and availability in it change without the cart's version, so `If-None-Match` is not asked here.
    shown(commerce, &commerce.cart(token.id()).await?)
}

/// Add units of a product
///
/// Every call adds its units. Send `If-Match` to be sure that a retry does not count twice.
#[utoipa::path(post, path = "/api/v1/cart/items", tag = "cart", security(("cart" = [])), request_body = NewItem,
    params(("If-Match" = Option<String>, Header, description = "The cart's `ETag`.")),
    responses((status = 200, description = "The cart.", body = CartBody)))]
pub(super) async fn add_item(
    State(app): State<App>,
    CartOwner(token): CartOwner,
    if_match: IfMatch,
    Json(item): Json<NewItem>,
) -> Answer {
    let commerce = app.commerce()?;
    let added = commerce.add_item(token.id(), item.sku, item.quantity, if_match.version('c')?).await;
    shown(commerce, &added.map_err(refused_item)?)
}

/// Set a line's quantity
#[utoipa::path(put, path = "/api/v1/cart/items/{id}", tag = "cart", security(("cart" = [])), request_body = ItemChange,
    params(("id" = u32, Path, description = "The line."),
        ("If-Match" = Option<String>, Header, description = "The cart's `ETag`.")),
    responses((status = 200, description = "The cart.", body = CartBody)))]
pub(super) async fn change_item(
    State(app): State<App>,
    CartOwner(token): CartOwner,
    PathPart(item): PathPart,
    if_match: IfMatch,
    Json(change): Json<ItemChange>,
) -> Answer {
    let commerce = app.commerce()?;
    let item = item_of(&item)?;
    let changed = commerce.change_item(token.id(), item, change.quantity, if_match.version('c')?).await?;
    shown(commerce, &changed)
}

/// Take a line out
#[utoipa::path(delete, path = "/api/v1/cart/items/{id}", tag = "cart", security(("cart" = [])),
    params(("id" = u32, Path, description = "The line."),
        ("If-Match" = Option<String>, Header, description = "The cart's `ETag`.")),
    responses((status = 200, description = "The cart.", body = CartBody)))]
pub(super) async fn remove_item(
    State(app): State<App>,
    CartOwner(token): CartOwner,
    PathPart(item): PathPart,
    if_match: IfMatch,
) -> Answer {
    let commerce = app.commerce()?;
    let changed = commerce.remove_item(token.id(), item_of(&item)?, if_match.version('c')?).await?;
    shown(commerce, &changed)
}

/// Take another cart's lines in
///
/// The other cart is closed. Repeating it is harmless.
#[utoipa::path(post, path = "/api/v1/cart/merge", tag = "cart", security(("cart" = [])), request_body = Merge,
    responses((status = 200, description = "The cart.", body = CartBody)))]
pub(super) async fn merge(State(app): State<App>, CartOwner(token): CartOwner, Json(merge): Json<Merge>) -> Answer {
    let commerce = app.commerce()?;
    let from = cart_token(&merge.from)?;
    let merged = commerce.merge_cart(from.id(), token.id()).await?;
    shown(commerce, &merged)
}

/// A SKU that is not there is a fault of the body, not of the address.
fn refused_item(error: CommandError) -> Problem {
    match error {
        CommandError::Rejected(Rejection::Product { sku, rejection: ProductRejection::NotFound }) => {
            Problem::new(Kind::InvalidRequest).field("/sku", "not in the catalog").member("sku", sku.as_str())
        }
        error => Problem::from(error),
    }
}

fn shown(commerce: &Commerce, cart: &Cart) -> Answer {
    Ok(tagged(reply::json(StatusCode::OK, &CartBody::new(cart, commerce.views()))?, cart))
}

fn tagged(answer: Response, shown: &Cart) -> Response {
    reply::with(answer, header::ETAG, etag::header_value(cart::tag(shown)))
}

/// The line of a path: what cannot be one is not there.
fn item_of(text: &str) -> Result<u32, Problem> {
    text.parse().map_err(|_| Problem::new(Kind::NotFound).detail("there is no such item"))
}
