//! The catalog: everybody reads it, the admin changes it.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use holdfast_actors::{CommandError, ProductQuery};
use holdfast_core::SkuId;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::edge::{
    App,
    auth::{Admin, Caller, unauthorized},
    body::Json,
    cursor,
    etag::{self, IfMatch},
    problem::{Kind, Problem},
    query::{Params, PathPart, page_size},
    reply::{self, Answer},
    view::{
        findings::Findings,
        product::{self, NewProduct, ProductBody, ProductChange, ProductPage},
        stock::{AdjustedStock, LevelBody, StockAdjustment},
    },
};

/// Which products to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// Where to go on: `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many at most, from 1 to the server's limit (100 unless set otherwise).
    #[param(minimum = 1)]
    limit: Option<usize>,
    /// Only this category and what is below it.
    category: Option<String>,
    /// Only products that can (`true`) or cannot (`false`) be bought now. Units under a hold cannot.
    in_stock: Option<bool>,
}

/// List products
///
/// In the order of their SKUs. On several nodes what another one sells may be a moment behind here; a single product
/// is not.
#[utoipa::path(get, path = "/api/v1/products", tag = "products", params(ListParams), security((), ("admin" = [])),
    responses((status = 200, description = "A page of products.", body = ProductPage)))]
pub(super) async fn list(State(app): State<App>, caller: Caller, Params(params): Params<ListParams>) -> Answer {
    let for_admin = sees_all(&caller)?;
    let limit = page_size(params.limit, app.settings.limits.page_items)?;
    let after = params.cursor.as_deref().map(cursor::product).transpose()?;
    let query = ProductQuery { after, limit: limit + 1, category: params.category, in_stock: params.in_stock };
    let mut products = app.catalog()?.views().products(&query);
    let has_more = products.len() > limit;
    products.truncate(limit);
    let next_cursor = products.last().filter(|_| has_more).map(|last| cursor::after_product(&last.sku));
    let items = products.iter().map(|product| ProductBody::new(product, for_admin)).collect();
    reply::json(StatusCode::OK, &ProductPage { items, next_cursor })
}

/// Read a product
#[utoipa::path(get, path = "/api/v1/products/{sku}", tag = "products", security((), ("admin" = [])),
    params(("sku" = String, Path, description = "The SKU.")),
    responses((status = 200, description = "The product, with its `ETag`.", body = ProductBody),
        (status = 304, description = "`If-None-Match` names the current state.")))]
pub(super) async fn read(
    State(app): State<App>,
    caller: Caller,
    PathPart(sku): PathPart,
    headers: HeaderMap,
) -> Answer {
    let for_admin = sees_all(&caller)?;
    let sku = sku_of(&sku)?;
    let found = match app.catalog()?.product(&sku).await {
        Err(CommandError::Rejected(_)) => return Err(no_such_product(&sku)),
        found => found?,
    };
    let answer = reply::tagged(&headers, product::tag(&found), &ProductBody::new(&found, for_admin))?;
    Ok(reply::with(answer, header::VARY, HeaderValue::from_static("authorization")))
}

/// Put a product into the catalog
#[utoipa::path(post, path = "/api/v1/products", tag = "products", security(("admin" = [])), request_body = NewProduct,
    responses((status = 201, description = "The product, with its `Location` and `ETag`.", body = ProductBody)))]
pub(super) async fn create(State(app): State<App>, _admin: Admin, Json(new): Json<NewProduct>) -> Answer {
    let (sku, units) = (new.sku.clone(), new.units);
    let (details, policy) = new.into_details(&app.settings.limits)?;
    let created = app.commerce()?.create_product(sku, details, policy, units).await?;
    let answer = reply::json(StatusCode::CREATED, &ProductBody::new(&created, true))?;
    let answer = reply::with(answer, header::ETAG, etag::header_value(product::tag(&created)));
    Ok(located(answer, format!("/api/v1/products/{}", created.sku)))
}

/// Replace what is said about a product
///
/// With `If-Match`, only if its details are still at that version.
#[utoipa::path(put, path = "/api/v1/products/{sku}", tag = "products", security(("admin" = [])),
    params(("sku" = String, Path, description = "The SKU."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that was read; its `p` part counts.")),
    request_body = ProductChange,
    responses((status = 200, description = "The product, with its `ETag`.", body = ProductBody)))]
pub(super) async fn update(
    State(app): State<App>,
    _admin: Admin,
    PathPart(sku): PathPart,
    if_match: IfMatch,
    Json(change): Json<ProductChange>,
) -> Answer {
    let sku = sku_of(&sku)?;
    let policy = change.sale.map(Into::into);
    let details = change.into_details(&app.settings.limits)?;
    let updated = app.commerce()?.update_product(sku, details, policy, if_match.version('p')?).await?;
    let answer = reply::json(StatusCode::OK, &ProductBody::new(&updated, true))?;
    Ok(reply::with(answer, header::ETAG, etag::header_value(product::tag(&updated))))
}

/// Take a product out of the catalog
///
/// It can no longer be bought. Its stock and its orders stay.
#[utoipa::path(delete, path = "/api/v1/products/{sku}", tag = "products", security(("admin" = [])),
    params(("sku" = String, Path, description = "The SKU."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that was read; its `p` part counts.")),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn remove(
    State(app): State<App>,
    _admin: Admin,
    PathPart(sku): PathPart,
    if_match: IfMatch,
) -> Answer {
    app.commerce()?.remove_product(sku_of(&sku)?, if_match.version('p')?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Adjust a product's stock
///
/// Adds units, or takes them when `delta` is negative: never below what is held and allocated. Send `If-Match` to be
/// sure that a retry does not count twice.
#[utoipa::path(post, path = "/api/v1/products/{sku}/stock-adjustments", tag = "products", security(("admin" = [])),
    params(("sku" = String, Path, description = "The SKU."),
        ("If-Match" = Option<String>, Header, description = "The product's `ETag`; its `s` part counts.")),
    request_body = StockAdjustment,
    responses((status = 200, description = "The stock, with its `ETag`.", body = AdjustedStock)))]
pub(super) async fn adjust_stock(
    State(app): State<App>,
    _admin: Admin,
    PathPart(sku): PathPart,
    if_match: IfMatch,
    Json(adjustment): Json<StockAdjustment>,
) -> Answer {
    let sku = sku_of(&sku)?;
    let mut findings = Findings::default();
    findings.required_text("/reason", &adjustment.reason, app.settings.limits.reason_bytes);
    if adjustment.delta == 0 {
        findings.note("/delta", "must not be 0");
    }
    findings.done()?;
    let StockAdjustment { delta, reason } = adjustment;
    let stock = app.commerce()?.adjust_stock(sku, delta, reason, if_match.version('s')?).await?;
    let body = AdjustedStock { sku: &stock.sku, stock: LevelBody::from(&stock) };
    let answer = reply::json(StatusCode::OK, &body)?;
    Ok(reply::with(answer, header::ETAG, etag::header_value(format_args!("s{}", stock.version))))
}

/// The SKU of a path: what cannot be one is not there.
pub(super) fn sku_of(text: &str) -> Result<SkuId, Problem> {
    SkuId::parse(text).map_err(|error| Problem::new(Kind::NotFound).detail(error.to_string()))
}

/// The answer where there is no such product.
pub(super) fn no_such_product(sku: &SkuId) -> Problem {
    Problem::new(Kind::NotFound).detail("the SKU is not in the catalog").member("sku", sku.as_str())
}

/// Whether the caller sees where all units are. A token that means nothing is refused, so that a mistyped admin token
/// is not mistaken for a stock without holds.
fn sees_all(caller: &Caller) -> Result<bool, Problem> {
    match caller {
        Caller::Unknown => Err(unauthorized()),
        caller => Ok(caller.is_admin()),
    }
}

/// The same answer with the address of what it made.
pub(super) fn located(answer: Response, path: String) -> Response {
    match HeaderValue::try_from(path) {
        Ok(value) => reply::with(answer, header::LOCATION, value),
        Err(_) => answer,
    }
}
