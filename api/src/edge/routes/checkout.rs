//! Placing an order: one round trip, one durable write. The hot path of a sale.

use axum::{
    body::{Bytes, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
};
use holdfast_actors::{CheckoutError, CheckoutRequest, CheckoutSource, CommandError, Rejection};
use holdfast_core::{
    OrderId,
    card::looks_like_card_number,
    order::{PaymentToken, PaymentTokenError},
    product::ProductRejection,
    stock::StockRejection,
};

use super::products::located;
use crate::{
    edge::{
        App,
        auth::{CART_TOKEN, Caller, cart_token, unauthorized},
        body,
        etag::IfMatch,
        idempotency::{self, REPLAYED, TRUE},
        problem::{Kind, Problem},
        reply::{self, Answer},
        token::{self, BuyerToken},
        view::checkout::{NewLine, NewOrder, NewPayment, PlacedOrder},
    },
    settings::LimitSettings,
};

/// Place an order
///
/// From `lines`, or from a cart. The answer is on disk before it is sent: the units are held and payment is under way.
/// A retry with the same `Idempotency-Key` gets the same answer, whatever happened in between. Bring a buyer's token to
/// collect several orders under it, or be given one.
#[utoipa::path(post, path = "/api/v1/orders", tag = "orders", request_body = NewOrder, security((), ("buyer" = [])),
    params(("Idempotency-Key" = String, Header, description = "Your own unguessable name for this order; the same on every retry."),
        ("X-Cart-Token" = Option<String>, Header, description = "The cart to order, where the body names neither lines nor a cart."),
        ("If-Match" = Option<String>, Header, description = "The cart's `ETag`.")),
    responses((status = 201, description = "The order, with its `Location`. `Idempotency-Replayed: true` on a retry.", body = PlacedOrder)))]
pub(super) async fn place(State(app): State<App>, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    place_order(&app, &parts.headers, body).await
}

/// The same without the router around it.
pub(in crate::edge) async fn place_order<B>(app: &App, headers: &HeaderMap, body: B) -> Answer
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let key = idempotency::key(headers, &app.settings.idempotency)?;
    let bytes = body::read(headers, body, &app.settings).await?;
    let NewOrder { lines, cart, customer, payment } = body::parse(&bytes, &app.settings.limits)?;
    if customer.as_ref().is_some_and(|customer| looks_like_card_number(customer.as_str())) {
        return Err(card_number("/customer"));
    }
    let payment_token = payment_token(&payment)?;
    let source = source(app, headers, lines, cart)?;
    let key_digest = token::order_key_digest(customer.as_ref(), key);
    let buyer = match Caller::of(headers, app) {
        Caller::Buyer(token) => token,
        Caller::Anonymous | Caller::Admin => BuyerToken::derived(app.secret()?, key_digest),
        Caller::Unknown => return Err(unauthorized()),
    };
    let buyer_id = buyer.id();
    let fingerprint = token::fingerprint(buyer_id, customer.as_ref(), &source, &payment_token);
    let request = CheckoutRequest { key_digest, buyer: buyer_id, customer, source, payment_token, fingerprint };
    let outcome =
        app.commerce()?.checkout(request).await.map_err(|error| refused(error, &bytes, &app.settings.limits))?;
    let placement = outcome.order.placement().ok_or_else(|| Problem::new(Kind::Internal))?;
    let id = outcome.order.id();
    let answer = reply::written(StatusCode::CREATED, PlacedOrder::new(id, placement, buyer.reveal()).to_json());
    let answer = located(answer, address(id));
    Ok(if outcome.replayed { reply::with(answer, REPLAYED, TRUE) } else { answer })
}

/// Where the order is read.
fn address(id: OrderId) -> String {
    const ORDERS: &str = "/api/v1/orders/";
    let mut path = String::with_capacity(ORDERS.len() + OrderId::TEXT_BYTES);
    path.push_str(ORDERS);
    id.append_to(&mut path);
    path
}

/// Where the lines come from: exactly one of the two.
fn source(
    app: &App,
    headers: &HeaderMap,
    lines: Option<Vec<NewLine>>,
    cart: Option<String>,
) -> Result<CheckoutSource, Problem> {
    let invalid = |field: &str, detail: String| Problem::new(Kind::InvalidRequest).field(field, detail);
    // One that cannot be read is refused, also where there is no cart for it to be about.
    let if_match = IfMatch::of(headers)?;
    match (lines, cart) {
        (Some(_), Some(_)) => Err(invalid("/cart", "give lines or a cart, not both".to_owned())),
        (Some(lines), None) if lines.is_empty() => Err(invalid("/lines", "an order has at least one line".to_owned())),
        (Some(lines), None) if lines.len() > app.settings.limits.order_lines => {
            Err(invalid("/lines", format!("at most {}, not {}", app.settings.limits.order_lines, lines.len())))
        }
        (Some(lines), None) => {
            Ok(CheckoutSource::Lines(lines.into_iter().map(|line| (line.sku, line.quantity)).collect()))
        }
        (None, cart) => {
            let token = cart.as_deref().or_else(|| headers.get(CART_TOKEN)?.to_str().ok());
            let token = token.ok_or_else(|| invalid("/lines", "an order needs lines or a cart".to_owned()))?;
            let expected_version = if_match.version('c')?;
            Ok(CheckoutSource::Cart { cart: cart_token(token)?.id(), expected_version })
        }
    }
}

/// The payment token; anything like a card number is refused before anything else is said about it.
fn payment_token(payment: &NewPayment) -> Result<PaymentToken, Problem> {
    if looks_like_card_number(&payment.token) {
        return Err(card_number("/payment/token"));
    }
    PaymentToken::parse(&payment.token).map_err(|error| match error {
        PaymentTokenError::CardNumber => card_number("/payment/token"),
        error => Problem::new(Kind::InvalidRequest).field("/payment/token", error.to_string()),
    })
}

fn card_number(field: &str) -> Problem {
    Problem::new(Kind::CardNumber).field(field, "this looks like a card number: send the gateway's token instead")
}

/// The problem of a refused checkout. A SKU that is not there is a fault of the request, not of the address; only then the body is
/// parsed again, to name the line.
fn refused(error: CheckoutError, body: &[u8], limits: &LimitSettings) -> Problem {
    let CheckoutError::Command(CommandError::Rejected(
        Rejection::Product { sku, rejection: ProductRejection::NotFound }
        | Rejection::Stock { sku, rejection: StockRejection::NotFound },
    )) = &error
    else {
        return Problem::from(error);
    };
    let lines = body::parse(body, limits).ok().and_then(|order: NewOrder| order.lines).unwrap_or_default();
    let field = match lines.iter().position(|line| line.sku == *sku) {
        Some(line) => format!("/lines/{line}/sku"),
        None => "/cart".to_owned(),
    };
    Problem::new(Kind::InvalidRequest).field(field, "not in the catalog").member("sku", sku.as_str())
}
