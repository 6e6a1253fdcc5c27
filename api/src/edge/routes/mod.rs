//! A handler per operation, registered together with its documentation so that neither can be forgotten.

mod cart;
mod checkout;
mod events;
mod health;
mod orders;
mod products;
mod refunds;

use axum::{Router, extract::Request, routing::get};
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    App, openapi, page,
    problem::{Kind, Problem},
};

pub(super) use checkout::place_order;
pub(crate) use health::{healthz, readyz};

/// The public listener's routes and their documentation.
fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(products::list, products::create))
        .routes(routes!(products::read, products::update, products::remove))
        .routes(routes!(products::adjust_stock))
        .routes(routes!(cart::read, cart::create))
        .routes(routes!(cart::add_item))
        .routes(routes!(cart::change_item, cart::remove_item))
        .routes(routes!(cart::merge))
        .routes(routes!(checkout::place, orders::list))
        .routes(routes!(orders::read))
        .routes(routes!(orders::change_status))
        .routes(routes!(orders::cancel))
        .routes(routes!(refunds::refund))
        .routes(routes!(events::stock_events))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
}

/// The `OpenAPI` document of the public listener.
pub(super) fn document() -> OpenApi {
    openapi::finished(documented().into_openapi())
}

/// The public listener's router.
pub(crate) fn router(app: App) -> Router {
    let (router, _) = documented().split_for_parts();
    router
        .route(openapi::PATH, get(page::openapi_json))
        .route("/docs", get(page::docs))
        .route("/problems", get(page::problems))
        .route("/problems/{name}", get(page::problem))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(app)
}

/// The answer where nothing is.
pub(crate) async fn not_found(request: Request) -> Problem {
    Problem::new(Kind::NotFound).detail(format!("there is nothing at {}", shortened(request.uri().path())))
}

/// The answer to a method that nothing takes here.
pub(crate) async fn method_not_allowed(request: Request) -> Problem {
    let (method, path) = (request.method().as_str(), shortened(request.uri().path()));
    Problem::new(Kind::MethodNotAllowed).detail(format!("{} is not allowed at {path}", shortened(method)))
}

/// The start of a text, for a message.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
