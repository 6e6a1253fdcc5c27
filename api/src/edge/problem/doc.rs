//! How a problem looks in the `OpenAPI` document. Only documentation: [`super::Problem`] writes the bytes, and a test
//! holds its bodies to these members.

use utoipa::ToSchema;

/// An RFC 9457 problem. Programs branch on `type`; further members depend on it.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "describes the members of `Problem`; it is never built")]
pub struct ProblemDoc {
    /// What went wrong, stable for good; the last part names the page at `/problems/{name}`.
    #[schema(example = "https://holdfast.dev/problems/insufficient-stock")]
    r#type: String,
    /// The same for every occurrence of the type.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What happened this time, for people.
    detail: String,
    /// Which fields, parameters or headers, where some are to blame.
    errors: Option<Vec<FieldErrorDoc>>,
    /// When to try again, in milliseconds from now.
    retry_after_ms: Option<u64>,
    /// The SKU it is about.
    sku: Option<String>,
    /// Units available.
    available: Option<u64>,
    /// Units asked for.
    requested: Option<u64>,
    /// The limit passed, in units.
    limit: Option<u64>,
    /// The current version, to be read again.
    version: Option<u64>,
    /// The order's status.
    order_status: Option<String>,
}

/// What is wrong with one field.
#[derive(ToSchema)]
#[schema(as = FieldError)]
#[expect(dead_code, reason = "describes the members of `FieldError`; it is never built")]
pub struct FieldErrorDoc {
    /// A JSON pointer into the body, or the name of a parameter or header.
    #[schema(example = "/lines/0/quantity")]
    field: String,
    /// What is wrong with it.
    detail: String,
}
