//! The `OpenAPI` 3.1 document: handlers document what they take and what they answer when all is well; this file adds
//! what can go wrong, operation by operation, and how callers identify themselves.
//!
//! Why apart: one status stands for several problems, and an operation shares most of them with others. The API tests
//! hold this table to what the server really answers.

mod optional;

use std::collections::BTreeMap;

use utoipa::{
    PartialSchema as _, ToSchema as _,
    openapi::{
        ComponentsBuilder, ContentBuilder, HttpMethod, Info, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
        ResponseBuilder,
        path::Operation,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
        tag::TagBuilder,
    },
};

use super::{
    problem::{FieldErrorDoc, Kind, ProblemDoc},
    view::stock::StockEvent,
};

/// Where the document is served.
pub(super) const PATH: &str = "/api/v1/openapi.json";

/// The `OpenAPI` document of the public listener, as JSON.
///
/// # Errors
/// When the document cannot be written as JSON, which no input decides.
pub fn to_json() -> Result<String, serde_json::Error> {
    let text = serde_json::to_string_pretty(&super::routes::document())?;
    // The library writes `u-int64` for what the OpenAPI format registry calls `uint64`.
    Ok(text.replace("\"format\": \"u-int", "\"format\": \"uint"))
}

/// What any request can meet, whatever it asks for.
const ANY: &[Kind] = &[
    Kind::MalformedRequest,
    Kind::MethodNotAllowed,
    Kind::UriTooLong,
    Kind::HeadersTooLarge,
    Kind::Internal,
    Kind::Overloaded,
    Kind::Unavailable,
    Kind::OutcomeUnknown,
];
const API: &[Kind] = &[Kind::NotAcceptable];
const BODY: &[Kind] = &[
    Kind::MalformedJson,
    Kind::BodyTooComplex,
    Kind::RequestTimeout,
    Kind::PayloadTooLarge,
    Kind::UnsupportedMediaType,
    Kind::InvalidRequest,
];
const COMMAND: &[Kind] = &[Kind::DeadlineExceeded];
const ADMIN: &[Kind] = &[Kind::Unauthorized, Kind::Forbidden, Kind::AdminNotConfigured];
const IF_MATCH: &[Kind] = &[Kind::InvalidHeader, Kind::PreconditionFailed];
const PAGE: &[Kind] = &[Kind::InvalidQuery, Kind::InvalidCursor, Kind::Unauthorized];
const CART: &[Kind] =
    &[Kind::Unauthorized, Kind::NotFound, Kind::CartCheckingOut, Kind::CartConverted, Kind::DeadlineExceeded];
const KEY: &[Kind] = &[Kind::IdempotencyKeyMissing, Kind::IdempotencyKeyMalformed, Kind::IdempotencyKeyReused];
const SALE: &[Kind] = &[
    Kind::InsufficientStock,
    Kind::SaleNotOpen,
    Kind::SaleClosed,
    Kind::OrderLimit,
    Kind::CustomerLimit,
    Kind::IdempotencyKeyInFlight,
    Kind::CardNumber,
];

/// What can go wrong with each operation, beside [`ANY`].
fn problems_of(operation: &str) -> Vec<&'static [Kind]> {
    const NOT_FOUND: &[Kind] = &[Kind::NotFound];
    const CONFLICT: &[Kind] = &[Kind::Conflict];
    const TEXT: &[Kind] = &[Kind::CardNumber];
    match operation {
        "GET /api/v1/products" | "GET /api/v1/orders" => vec![API, PAGE],
        "GET /api/v1/products/{sku}" => vec![API, NOT_FOUND, &[Kind::Unauthorized]],
        "POST /api/v1/products" => vec![API, ADMIN, BODY, COMMAND, CONFLICT, TEXT],
        "PUT /api/v1/products/{sku}" => vec![API, ADMIN, BODY, COMMAND, NOT_FOUND, IF_MATCH, TEXT],
        "DELETE /api/v1/products/{sku}" => vec![API, ADMIN, COMMAND, NOT_FOUND, IF_MATCH],
        "POST /api/v1/products/{sku}/stock-adjustments" => {
            vec![API, ADMIN, BODY, COMMAND, NOT_FOUND, CONFLICT, IF_MATCH, TEXT]
        }
        "POST /api/v1/cart" => vec![API, BODY, COMMAND],
        "GET /api/v1/cart" => vec![API, CART],
        "POST /api/v1/cart/merge" => vec![API, CART, BODY, CONFLICT],
        "POST /api/v1/cart/items" => vec![API, CART, BODY, CONFLICT, IF_MATCH],
        "PUT /api/v1/cart/items/{id}" => vec![API, CART, BODY, IF_MATCH],
        "DELETE /api/v1/cart/items/{id}" => vec![API, CART, IF_MATCH],
        "POST /api/v1/orders" => vec![API, BODY, KEY, SALE, CART, IF_MATCH, COMMAND, CONFLICT],
        "GET /api/v1/orders/{id}" => vec![API, NOT_FOUND, COMMAND],
        "PUT /api/v1/orders/{id}/status" => {
            vec![API, ADMIN, BODY, COMMAND, NOT_FOUND, IF_MATCH, &[Kind::IllegalTransition]]
        }
        "POST /api/v1/orders/{id}/cancel" => vec![API, COMMAND, NOT_FOUND, &[Kind::IllegalTransition]],
        "POST /api/v1/orders/{id}/refunds" => {
            vec![API, ADMIN, BODY, COMMAND, NOT_FOUND, KEY, &[Kind::NotRefundable, Kind::IllegalTransition]]
        }
        "GET /api/v1/stock/{sku}/events" => vec![API, NOT_FOUND, &[Kind::TooManyStreams]],
        _ => Vec::new(),
    }
}

/// The document before any operation is in it.
pub(super) fn base() -> OpenApi {
    let mut info = Info::new("Holdfast", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "A flash-sale commerce core: holds on stock, taken fast, that hold. Money is in minor units, instants are RFC 3339, \
         errors are RFC 9457 problems whose types are listed at /problems."
            .to_owned(),
    );
    info.license = Some(LicenseBuilder::new().name("MIT OR Apache-2.0").build());
    let tag = |name: &str, about: &str| TagBuilder::new().name(name).description(Some(about)).build();
    let bearer = |about: &str| {
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about)).build())
    };
    let cart = ApiKeyValue::with_description("X-Cart-Token", "The token given when the cart began.");
    let components = ComponentsBuilder::new()
        .schema(ProblemDoc::name(), ProblemDoc::schema())
        .schema(FieldErrorDoc::name(), FieldErrorDoc::schema())
        // It travels as text within an event, where no reference leads to it.
        .schema(StockEvent::name(), StockEvent::schema())
        .security_scheme("admin", bearer("The admin token of the server's settings."))
        .security_scheme("buyer", bearer("A buyer's token, as given at checkout: `buy_...`."))
        .security_scheme("cart", SecurityScheme::ApiKey(ApiKey::Header(cart)))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .tags(Some([
            tag("products", "The catalog. Everybody reads it, the admin changes it."),
            tag("cart", "A cart is reached by an unguessable token, never by an id."),
            tag("orders", "Placing an order and what becomes of it."),
            tag("stock", "Live availability."),
            tag("health", "For load balancers and supervisors."),
        ]))
        .build()
}

/// The document with what can go wrong at every operation.
pub(super) fn finished(mut document: OpenApi) -> OpenApi {
    for (path, item) in &mut document.paths.paths {
        let operations = [
            (HttpMethod::Get, &mut item.get),
            (HttpMethod::Post, &mut item.post),
            (HttpMethod::Put, &mut item.put),
            (HttpMethod::Delete, &mut item.delete),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                name_by_tag(operation);
                optional::correct(operation);
                add_problems(operation, &format!("{} {path}", method_name(&method)));
            }
        }
    }
    document
}

/// Handlers of two resources may have one name; operations may not.
fn name_by_tag(operation: &mut Operation) {
    if let (Some(tag), Some(id)) = (operation.tags.iter().flatten().next(), &operation.operation_id) {
        operation.operation_id = Some(format!("{tag}_{id}"));
    }
}

fn method_name(method: &HttpMethod) -> &'static str {
    match method {
        HttpMethod::Post => "POST",
        HttpMethod::Put => "PUT",
        HttpMethod::Delete => "DELETE",
        _ => "GET",
    }
}

fn add_problems(operation: &mut Operation, name: &str) {
    let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    for kind in problems_of(name).into_iter().chain([ANY]).flatten() {
        let kinds = by_status.entry(kind.status().as_u16()).or_default();
        if !kinds.contains(kind) {
            kinds.push(*kind);
        }
    }
    for (status, kinds) in by_status {
        let lines: Vec<String> = kinds.iter().map(|kind| format!("`{}`: {}.", kind.slug(), kind.title())).collect();
        let problem = RefOr::Ref(Ref::from_schema_name(ProblemDoc::name()));
        let response = ResponseBuilder::new()
            .description(lines.join(" "))
            .content("application/problem+json", ContentBuilder::new().schema(Some(problem)).build())
            .build();
        operation.responses.responses.entry(status.to_string()).or_insert(RefOr::T(response));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_says_what_can_go_wrong_and_has_a_summary() {
        let document = crate::edge::routes::document();
        let json = serde_json::to_value(&document).expect("JSON");
        assert!(json["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
        for (path, item) in json["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let name = format!("{} {path}", method.to_uppercase());
                assert!(operation["summary"].is_string(), "{name} has no summary");
                assert!(operation["responses"]["503"].is_object(), "{name} has no problems");
                assert!(!path.starts_with("/api") || !problems_of(&name).is_empty(), "{name} is not in the table");
            }
        }
    }

    /// The names of the members that problems are given anywhere in the edge's sources.
    fn members_given(folder: &std::path::Path, names: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("the sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                members_given(&path, names);
            } else {
                let text = std::fs::read_to_string(&path).expect("a source file");
                // Put together here, so that this file does not find itself.
                let call = [".mem", "ber(\""].concat();
                let given = text.split(&call).skip(1).filter_map(|rest| rest.split('"').next());
                names.extend(given.map(str::to_owned));
            }
        }
    }

    #[test]
    fn every_member_a_problem_can_have_is_documented() {
        let mut names = Vec::new();
        members_given(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/edge"), &mut names);
        assert!(names.len() > 20, "only {names:?} found");
        let json: serde_json::Value = serde_json::from_str(&to_json().expect("JSON")).expect("JSON");
        let documented = json["components"]["schemas"]["Problem"]["properties"].as_object().expect("properties");
        for name in names {
            assert!(documented.contains_key(&name), "{name} is not a member of Problem");
        }
    }

    #[test]
    fn what_may_be_left_out_is_not_said_to_be_null() {
        let json: serde_json::Value = serde_json::from_str(&to_json().expect("JSON")).expect("JSON");
        let mut names = std::collections::BTreeSet::new();
        for item in json["paths"].as_object().expect("paths").values() {
            for operation in item.as_object().expect("operations").values() {
                let id = operation["operationId"].as_str().expect("an id");
                assert!(names.insert(id.to_owned()), "{id} comes twice");
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    assert!(parameter["schema"]["type"].is_string(), "{id}: {parameter}");
                }
                let body = &operation["requestBody"];
                let schema = &body["content"]["application/json"]["schema"];
                assert!(body.is_null() || schema["$ref"].is_string(), "{id}: {schema}");
            }
        }
        let begin = &json["paths"]["/api/v1/cart"]["post"]["requestBody"]["required"];
        let order = &json["paths"]["/api/v1/orders"]["post"]["requestBody"]["required"];
        assert_eq!((begin.as_bool(), order.as_bool()), (Some(false), Some(true)));
    }

    #[test]
    fn units_are_counted_beyond_what_is_signed() {
        let json: serde_json::Value = serde_json::from_str(&to_json().expect("JSON")).expect("JSON");
        let schemas = &json["components"]["schemas"];
        for (schema, field) in [("StockLevel", "on_hand"), ("NewProduct", "units"), ("Availability", "available")] {
            let field = &schemas[schema]["properties"][field];
            assert_eq!((field["format"].as_str(), field["minimum"].as_u64()), (Some("uint64"), Some(0)), "{field}");
        }
        assert_eq!(schemas["StockAdjustment"]["properties"]["delta"]["format"], "int64");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let text = to_json().expect("JSON");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let schemas = json["components"]["schemas"].as_object().expect("schemas");
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().expect("a name");
            assert!(schemas.contains_key(name), "{name} is not defined");
        }
    }
}
