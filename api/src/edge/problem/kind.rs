//! The closed list of problems the edge can answer with. A `type` is a promise: clients branch on it, so an entry is
//! never renamed and never changes its meaning; a test holds the list to the documentation.

use axum::http::StatusCode;

/// Where the `type` of every problem begins. The same path is served by the server itself as documentation.
pub const TYPE_BASE: &str = "https://holdfast.dev/problems/";

/// Declares the kinds with everything that is fixed about each, so that nothing can be forgotten for a new one.
macro_rules! kinds {
    ($($name:ident $slug:literal $status:ident $title:literal $about:literal)+) => {
        /// What went wrong, as a client tells it apart.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = $about] $name,)+
        }

        impl Kind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The last part of the `type`.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug,)+ }
            }

            /// The `type` member: stable for good.
            pub const fn type_uri(self) -> &'static str {
                match self { $(Self::$name => concat!("https://holdfast.dev/problems/", $slug),)+ }
            }

            /// The status it is answered with.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// The `title` member: the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// What it means and what to do, for the documentation.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)+ }
            }
        }
    };
}

kinds! {
    MalformedRequest "malformed-request" BAD_REQUEST "The request is not HTTP/1.1"
        "The request line or a header cannot be read. The connection is closed."
    MalformedJson "malformed-json" BAD_REQUEST "The body is not JSON"
        "The body is not well-formed JSON in UTF-8; `detail` names the line and column."
    BodyTooComplex "body-too-complex" BAD_REQUEST "The body is nested too deep or lists too much"
        "The body passes the limit of nesting or of items in one list; both are settings of the server."
    InvalidQuery "invalid-query" BAD_REQUEST "A query parameter is not valid"
        "`errors` names the parameter. Unknown parameters are refused."
    InvalidCursor "invalid-cursor" BAD_REQUEST "The cursor is not one of ours"
        "Cursors are opaque: pass on `next_cursor` as it came, or start without one."
    InvalidHeader "invalid-header" BAD_REQUEST "A header is not valid"
        "`errors` names the header."
    IdempotencyKeyMissing "idempotency-key-missing" BAD_REQUEST "An Idempotency-Key is required"
        "Send an Idempotency-Key of your own making, unguessable and new for every order or refund; repeat it on a retry."
    IdempotencyKeyMalformed "idempotency-key-malformed" BAD_REQUEST "The Idempotency-Key is not valid"
        "A key is 16 to 255 printable ASCII characters (settings of the server), with or without double quotes around it."
    Unauthorized "unauthorized" UNAUTHORIZED "A valid bearer token is required"
        "Send `Authorization: Bearer ...` with a token that is valid here."
    Forbidden "forbidden" FORBIDDEN "This token may not do that"
        "The token is understood, but the call needs the admin token."
    AdminNotConfigured "admin-not-configured" FORBIDDEN "No admin token is configured"
        "Set `admin.token` (environment: `HOLDFAST__ADMIN__TOKEN`, or `HOLDFAST__ADMIN__TOKEN_FILE`) and start again."
    NotFound "not-found" NOT_FOUND "There is no such thing"
        "Nothing is here, or nothing that this token may see."
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "This method is not allowed here"
        "The `Allow` header lists what is."
    NotAcceptable "not-acceptable" NOT_ACCEPTABLE "No acceptable representation"
        "Answers are `application/json`, problems `application/problem+json`, streams `text/event-stream`."
    RequestTimeout "request-timeout" REQUEST_TIMEOUT "The body did not arrive in time"
        "The rest of the body did not come within the server's deadline. Nothing was done."
    Conflict "conflict" CONFLICT "It conflicts with what is there"
        "The thing exists already, or its state does not allow this; `detail` says which."
    IdempotencyKeyInFlight "idempotency-key-in-flight" CONFLICT "A request with this key is under way"
        "The first request with this Idempotency-Key has not been answered yet. Retry a little later with the same key."
    InsufficientStock "insufficient-stock" CONFLICT "Not enough units are available"
        "Fewer units are available than asked for: `sku`, `available` and `requested` say which and how many. Nothing was held."
    SaleNotOpen "sale-not-open" CONFLICT "The sale has not opened"
        "`opens_at` says when it does."
    SaleClosed "sale-closed" CONFLICT "The sale has closed"
        "`closes_at` says when it did."
    OrderLimit "order-limit" CONFLICT "More units than one order may have"
        "`limit` is the most units of this SKU in one order."
    CustomerLimit "customer-limit" CONFLICT "More units than one customer may have"
        "`limit` is the most units of this SKU for one customer over all orders, `taken` what the customer has already."
    CartCheckingOut "cart-checking-out" CONFLICT "The cart is being checked out"
        "Another checkout of this cart is under way. Wait for its answer."
    CartConverted "cart-converted" CONFLICT "The cart has become an order"
        "A cart becomes an order once; begin a new one."
    IllegalTransition "illegal-transition" CONFLICT "The order's status does not allow this"
        "`order_status` is where the order stands."
    NotRefundable "not-refundable" CONFLICT "The amount cannot be refunded"
        "`refundable_minor` is what is left to refund, in minor units."
    ClusterNotConfigured "cluster-not-configured" CONFLICT "This server is not one of several"
        "The call is about several nodes, and this server is on its own. Set `cluster.node` (docs/cluster.md) and start again."
    NodeNotAlive "node-not-alive" CONFLICT "The node takes no shards"
        "It is dead, leaves, or is drained: name another one, or end its drain first."
    NoNodeLeft "no-node-left" CONFLICT "No node is left that takes shards"
        "Every other node is dead, leaves, or is drained. Start or undrain one first."
    PlanChanged "plan-changed" CONFLICT "The plan was changed meanwhile"
        "Others changed where shards shall be at the same time. Nothing was changed by this call: look again and repeat it."
    NothingToDo "nothing-to-do" CONFLICT "It is so already"
        "Nothing was changed, because nothing had to be; `detail` says how it is."
    PreconditionFailed "precondition-failed" PRECONDITION_FAILED "It has changed since you read it"
        "The If-Match does not match: read it again and decide anew. `version` is the current one."
    PayloadTooLarge "payload-too-large" PAYLOAD_TOO_LARGE "The body is too large"
        "`limit_bytes` is the most the server reads."
    UriTooLong "uri-too-long" URI_TOO_LONG "The address is too long"
        "The request target passes the server's limit."
    UnsupportedMediaType "unsupported-media-type" UNSUPPORTED_MEDIA_TYPE "The body must be application/json"
        "Send `Content-Type: application/json`, UTF-8, without a content encoding."
    InvalidRequest "invalid-request" UNPROCESSABLE_ENTITY "The request is not valid"
        "`errors` names each field by JSON pointer and says what is wrong with it."
    CardNumber "card-number" UNPROCESSABLE_ENTITY "No card numbers, please"
        "A field looks like it holds a card number. Holdfast takes gateway tokens only; `errors` names the field."
    IdempotencyKeyReused "idempotency-key-reused" UNPROCESSABLE_ENTITY "The key belongs to another request"
        "This Idempotency-Key was used with another body. Use a new key for a new request."
    HeadersTooLarge "headers-too-large" REQUEST_HEADER_FIELDS_TOO_LARGE "The headers are too large"
        "The request's head passes the server's limit."
    Internal "internal" INTERNAL_SERVER_ERROR "The server failed"
        "A fault of the server; the log has it under the request id. It is safe to retry with the same Idempotency-Key."
    Overloaded "overloaded" SERVICE_UNAVAILABLE "The server is busy"
        "The request was refused before anything was decided. Retry after `Retry-After`."
    Unavailable "unavailable" SERVICE_UNAVAILABLE "The server cannot do this now"
        "It is recovering, draining, cut off, or cannot write; `detail` says which. Nothing was done. Retry after `Retry-After`."
    TooManyStreams "too-many-streams" SERVICE_UNAVAILABLE "Too many live streams"
        "The limit of live streams is reached. Retry after `Retry-After`, or poll the product."
    OutcomeUnknown "outcome-unknown" SERVICE_UNAVAILABLE "It is not known whether it was done"
        "The request was taken in, and its answer was lost. Repeat it with the same Idempotency-Key, or read before you repeat it."
    DeadlineExceeded "deadline-exceeded" SERVICE_UNAVAILABLE "No answer in time"
        "The attempt's deadline passed before it was decided, and nothing was done. Repeat it with the same Idempotency-Key."
}

impl Kind {
    /// The kind whose documentation is at `slug`.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.slug() == slug)
    }
}
