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
    /// The line of the body that cannot be read, from 1.
    line: Option<u64>,
    /// The column within that line, in bytes from 1.
    column: Option<u64>,
    /// The most bytes the server reads of a body.
    limit_bytes: Option<u64>,
    /// The SKU it is about.
    sku: Option<String>,
    /// Units available.
    available: Option<u64>,
    /// Units asked for.
    requested: Option<u64>,
    /// The limit passed: units, lines of a cart, or items of a page.
    limit: Option<u64>,
    /// Units the customer has already.
    taken: Option<u64>,
    /// When the sale opens (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime)]
    opens_at: Option<String>,
    /// When the sale closed (RFC 3339).
    #[schema(value_type = Option<String>, format = DateTime)]
    closes_at: Option<String>,
    /// The current version, to be read again.
    version: Option<u64>,
    /// The order that the cart is or became.
    order: Option<String>,
    /// The order's status.
    order_status: Option<String>,
    /// The cart's currency: an ISO 4217 code.
    currency: Option<String>,
    /// What is left to refund, in minor units.
    refundable_minor: Option<i64>,
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
