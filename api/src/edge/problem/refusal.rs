//! From what the runtime says to what the client reads: every refusal and fault of a command has exactly one problem.

use holdfast_actors::{CheckoutError, CommandError, Effect, Rejection, Unavailable};
use holdfast_core::{
    SkuId, cart::CartRejection, order::OrderRejection, product::ProductRejection, stock::StockRejection,
};

use super::{Kind, Problem};
use crate::edge::instant;

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Rejected(rejection) => Self::from(rejection),
            CommandError::Overloaded { retry_after_ms } => Self::new(Kind::Overloaded)
                .detail("as many requests as allowed are waiting")
                .retry_after_ms(retry_after_ms),
            CommandError::Unavailable { reason, retry_after_ms } => Self::from(reason).retry_after_ms(retry_after_ms),
            CommandError::Quarantined(entity) => {
                tracing::error!(%entity, "a request for an entity in quarantine was refused");
                Self::new(Kind::Internal).detail("this entity is out of service until an operator has looked at it")
            }
            CommandError::Panicked(entity) => {
                tracing::error!(%entity, "a turn panicked; nothing of it was kept");
                Self::new(Kind::Internal)
            }
            CommandError::DeadlineExceeded => Self::new(Kind::DeadlineExceeded),
        }
    }
}

impl From<CheckoutError> for Problem {
    fn from(error: CheckoutError) -> Self {
        match error {
            CheckoutError::KeyInFlight => Self::new(Kind::IdempotencyKeyInFlight).retry_after_ms(1_000),
            CheckoutError::KeyReused => Self::new(Kind::IdempotencyKeyReused),
            CheckoutError::NoLines => Self::new(Kind::InvalidRequest).field("/lines", "an order has at least one line"),
            CheckoutError::TooManyLines { .. } => Self::new(Kind::InvalidRequest).field("/lines", error.to_string()),
            CheckoutError::QuantityTooLarge { .. } => {
                Self::new(Kind::InvalidRequest).detail(error.to_string()).field("/lines", error.to_string())
            }
            CheckoutError::MixedCurrencies => {
                Self::new(Kind::InvalidRequest).field("/lines", "all lines of an order must be in one currency")
            }
            CheckoutError::Command(error) => Self::from(error),
        }
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Stock { sku, rejection } => of_stock(&sku, rejection),
            Rejection::Product { sku, rejection } => of_product(&sku, rejection),
            Rejection::Cart(rejection) => of_cart(rejection),
            Rejection::Order(rejection) => of_order(rejection),
        }
    }
}

impl From<Unavailable> for Problem {
    fn from(reason: Unavailable) -> Self {
        let kind = match reason.effect() {
            Effect::None => Kind::Unavailable,
            Effect::Unknown => Kind::OutcomeUnknown,
        };
        Self::new(kind).detail(match reason {
            Unavailable::Recovering => "the server is recovering",
            Unavailable::Draining => "the server is shutting down",
            Unavailable::StorageFull => "the journal's disk is full; reads go on",
            Unavailable::StorageFailed => "the journal failed; whether this was committed is known after the restart",
            Unavailable::StorageUnreachable => "the journal's servers do not answer; nothing was done, reads go on",
            Unavailable::Moving => "the shard is changing hands; nothing was done",
            Unavailable::Isolated => "this node is cut off from the others; nothing was done",
            Unavailable::Leaving => "the journal failed, and the server leaves; nothing was done",
            Unavailable::Unknown => {
                "the shard did not answer; whether this was done is not known: read before a repeat"
            }
        })
    }
}

fn of_stock(sku: &SkuId, rejection: StockRejection) -> Problem {
    let problem = |kind| Problem::new(kind).member("sku", sku.as_str());
    match rejection {
        // The most frequent answer of a sale that has sold out: no text is made up for it.
        StockRejection::Insufficient { available: 0, requested } => problem(Kind::InsufficientStock)
            .detail("sold out")
            .member("available", 0_u64)
            .member("requested", requested),
        StockRejection::Insufficient { available, requested } => problem(Kind::InsufficientStock)
            .detail(rejection.to_string())
            .member("available", available)
            .member("requested", requested),
        StockRejection::NotOpen { opens_at } => {
            problem(Kind::SaleNotOpen).detail("the sale has not opened").member("opens_at", instant::text(opens_at))
        }
        StockRejection::Closed { closes_at } => {
            problem(Kind::SaleClosed).detail("the sale has closed").member("closes_at", instant::text(closes_at))
        }
        StockRejection::OverOrderLimit { limit, requested } => problem(Kind::OrderLimit)
            .detail(rejection.to_string())
            .member("limit", limit.get())
            .member("requested", requested),
        StockRejection::OverCustomerLimit { limit, taken, requested } => problem(Kind::CustomerLimit)
            .detail(rejection.to_string())
            .member("limit", limit.get())
            .member("taken", taken)
            .member("requested", requested),
        StockRejection::CustomerRequired => {
            problem(Kind::InvalidRequest).detail(rejection.to_string()).field("/customer", rejection.to_string())
        }
        StockRejection::NotFound => problem(Kind::NotFound).detail(rejection.to_string()),
        StockRejection::HoldGone | StockRejection::HoldConflict => {
            problem(Kind::Conflict).detail(rejection.to_string())
        }
        StockRejection::BelowCommitted { available, .. } => {
            problem(Kind::Conflict).detail(rejection.to_string()).member("available", available)
        }
        StockRejection::InvalidPolicy => problem(Kind::InvalidRequest).field("/sale/closes_at", rejection.to_string()),
        StockRejection::Overflow => problem(Kind::InvalidRequest).field("/delta", rejection.to_string()),
        StockRejection::StaleVersion { actual, .. } => problem(Kind::PreconditionFailed).member("version", actual),
    }
}

fn of_product(sku: &SkuId, rejection: ProductRejection) -> Problem {
    let problem = |kind| Problem::new(kind).member("sku", sku.as_str()).detail(rejection.to_string());
    match rejection {
        ProductRejection::NotFound => problem(Kind::NotFound),
        ProductRejection::AlreadyExists => problem(Kind::Conflict),
        ProductRejection::NegativePrice => {
            problem(Kind::InvalidRequest).field("/price/amount_minor", rejection.to_string())
        }
        ProductRejection::StaleVersion { actual, .. } => problem(Kind::PreconditionFailed).member("version", actual),
    }
}

fn of_cart(rejection: CartRejection) -> Problem {
    let problem = |kind| Problem::new(kind).detail(rejection.to_string());
    match rejection {
        CartRejection::NotFound | CartRejection::ItemNotFound { .. } => problem(Kind::NotFound),
        CartRejection::AlreadyExists | CartRejection::NotCheckingOut => problem(Kind::Conflict),
        CartRejection::QuantityTooLarge => problem(Kind::InvalidRequest).field("/quantity", rejection.to_string()),
        CartRejection::TooManyLines => problem(Kind::Conflict).member("limit", holdfast_core::cart::Cart::MAX_LINES),
        CartRejection::Empty => problem(Kind::InvalidRequest).field("/cart", rejection.to_string()),
        CartRejection::CheckingOut { order } => problem(Kind::CartCheckingOut).member("order", order.to_string()),
        CartRejection::Converted { order } => problem(Kind::CartConverted).member("order", order.to_string()),
        CartRejection::CurrencyMismatch { cart, .. } => problem(Kind::Conflict).member("currency", cart.code()),
        CartRejection::SameCart => problem(Kind::InvalidRequest).field("/from", rejection.to_string()),
        CartRejection::StaleVersion { actual, .. } => problem(Kind::PreconditionFailed).member("version", actual),
    }
}

fn of_order(rejection: OrderRejection) -> Problem {
    let problem = |kind| Problem::new(kind).detail(rejection.to_string());
    match rejection {
        OrderRejection::NotFound | OrderRejection::LineNotFound { .. } | OrderRejection::RefundNotFound { .. } => {
            problem(Kind::NotFound)
        }
        OrderRejection::LineCount
        | OrderRejection::MixedCurrencies
        | OrderRejection::Overflow
        | OrderRejection::Total => problem(Kind::InvalidRequest).field("/lines", rejection.to_string()),
        OrderRejection::FingerprintMismatch => problem(Kind::IdempotencyKeyReused),
        OrderRejection::IllegalTransition { status, .. } => {
            problem(Kind::IllegalTransition).member("order_status", status.to_string())
        }
        OrderRejection::NotRefundable { refundable } => {
            problem(Kind::NotRefundable).member("refundable_minor", refundable)
        }
        OrderRejection::TooManyRefunds => problem(Kind::NotRefundable),
        OrderRejection::StaleVersion { actual, .. } => problem(Kind::PreconditionFailed).member("version", actual),
    }
}
