//! What the nodes and the gateway service say to each other: JSON over HTTP.
//!
//! ```text
//! POST /v1/capture                       authorize | capture | void | refund
//! Idempotency-Key: ord_0123...:capture   the call's key as it prints itself
//! {"amount_minor": 4990, "currency": "EUR", "token": "tok_...", "reference": "sbx_...", "asked_before": false}
//!
//! 200 {"outcome": "done"}                approved | declined | done | failed | voided | captured
//! ```
//!
//! A call without an outcome is answered with a problem. Only the problems of [`nothing_happened`] say that nothing happened.

use holdfast_actors::payment::{GatewayRequest, VoidOutcome};
use holdfast_core::{
    Currency, Money,
    order::{AuthorizationOutcome, GatewayCall, GatewayKey, PaymentToken, SettlementOutcome},
};
use serde::{Deserialize, Serialize};

use crate::edge::problem::{Kind, TYPE_BASE};

/// The body of a call. Its key is in the header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallBody {
    /// The amount, in minor units of `currency`.
    pub amount_minor: i64,
    /// An ISO 4217 code.
    pub currency: String,
    /// The means of payment.
    pub token: String,
    /// The gateway's name for the authorization, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Whether an earlier call under this key may have reached the gateway.
    pub asked_before: bool,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case", deny_unknown_fields)]
pub enum OutcomeBody {
    /// The amount is reserved.
    Approved {
        /// The gateway's name for it.
        reference: String,
        /// The gateway delivers this answer twice: the second time as if by a webhook.
        #[serde(default)]
        delivered_twice: bool,
    },
    /// The means of payment was refused.
    Declined {
        /// The gateway's reason code.
        reason: String,
    },
    /// The money moved.
    Done,
    /// It will not move.
    Failed {
        /// The gateway's reason code.
        reason: String,
    },
    /// Nothing is reserved, and nothing will be.
    Voided,
    /// A void came too late: the amount was captured.
    Captured,
}

/// The part of the path that says which call it is.
pub const fn path(call: GatewayCall) -> &'static str {
    match call {
        GatewayCall::Authorize => "/v1/authorize",
        GatewayCall::Capture => "/v1/capture",
        GatewayCall::Void => "/v1/void",
        GatewayCall::Refund(_) => "/v1/refund",
    }
}

/// Reads a key as it prints itself. `None`: it is no key.
pub fn read_key(text: &str) -> Option<GatewayKey> {
    let (order, call) = text.split_once(':')?;
    let call = match call {
        "authorize" => GatewayCall::Authorize,
        "capture" => GatewayCall::Capture,
        "void" => GatewayCall::Void,
        refund => GatewayCall::Refund(refund.strip_prefix("refund:")?.parse().ok()?),
    };
    let key = GatewayKey { order: order.parse().ok()?, call };
    // One key has one spelling: "refund:07" would be another key to a reader of logs.
    (key.to_string() == text).then_some(key)
}

/// Whether a problem of this `type` is a promise that nothing happened: the service turned the call away before its ledger,
/// or the ledger could not enter it into its book. Everything else, also what is not known here, promises nothing.
pub fn nothing_happened(problem_type: &str) -> bool {
    let turned_away = [
        Kind::Unavailable,
        Kind::Overloaded,
        Kind::InvalidHeader,
        Kind::InvalidRequest,
        Kind::MalformedJson,
        Kind::BodyTooComplex,
        Kind::UnsupportedMediaType,
        Kind::PayloadTooLarge,
        Kind::IdempotencyKeyMissing,
        Kind::IdempotencyKeyMalformed,
        Kind::NotFound,
        Kind::MethodNotAllowed,
    ];
    problem_type.strip_prefix(TYPE_BASE).and_then(Kind::from_slug).is_some_and(|kind| turned_away.contains(&kind))
}

impl From<&GatewayRequest> for CallBody {
    fn from(request: &GatewayRequest) -> Self {
        Self {
            amount_minor: request.amount.minor(),
            currency: request.amount.currency().code().to_owned(),
            token: request.token.as_str().to_owned(),
            reference: request.reference.clone(),
            asked_before: request.asked_before,
        }
    }
}

impl CallBody {
    /// The request under `key`, or the field that is wrong and why.
    ///
    /// # Errors
    /// A JSON pointer to the field, and what is wrong with it.
    pub fn into_request(self, key: GatewayKey) -> Result<GatewayRequest, (&'static str, String)> {
        let currency = Currency::parse(&self.currency).map_err(|error| ("/currency", error.to_string()))?;
        // Not `parse`: the node let it in once, whatever is taken for a card number today.
        let token = PaymentToken::read_back(&self.token).map_err(|error| ("/token", error.to_string()))?;
        let amount = Money::new(self.amount_minor, currency);
        Ok(GatewayRequest { key, amount, token, reference: self.reference, asked_before: self.asked_before })
    }
}

impl From<AuthorizationOutcome> for OutcomeBody {
    fn from(outcome: AuthorizationOutcome) -> Self {
        match outcome {
            AuthorizationOutcome::Approved { reference } => Self::Approved { reference, delivered_twice: false },
            AuthorizationOutcome::Declined { reason } => Self::Declined { reason },
        }
    }
}

impl From<SettlementOutcome> for OutcomeBody {
    fn from(outcome: SettlementOutcome) -> Self {
        match outcome {
            SettlementOutcome::Done => Self::Done,
            SettlementOutcome::Failed { reason } => Self::Failed { reason },
        }
    }
}

impl From<VoidOutcome> for OutcomeBody {
    fn from(outcome: VoidOutcome) -> Self {
        match outcome {
            VoidOutcome::Voided => Self::Voided,
            VoidOutcome::Captured => Self::Captured,
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::OrderId;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_is_read_as_it_was_written(order: u128, kind in 0..4_u8, refund: u16) {
            let call = match kind {
                0 => GatewayCall::Authorize,
                1 => GatewayCall::Capture,
                2 => GatewayCall::Void,
                _ => GatewayCall::Refund(refund),
            };
            let key = GatewayKey { order: OrderId::from_u128(order), call };
            prop_assert_eq!(read_key(&key.to_string()), Some(key));
        }
    }

    #[test]
    fn another_spelling_of_a_key_is_no_key() {
        let order = OrderId::from_u128(7).to_string();
        for call in ["refund:07", "refund:", "refund:65536", "Capture", "", "capture "] {
            assert_eq!(read_key(&format!("{order}:{call}")), None, "{call}");
        }
        assert_eq!(read_key("capture"), None);
    }

    #[test]
    fn only_a_call_that_was_turned_away_surely_did_nothing() {
        assert!(nothing_happened(Kind::Unavailable.type_uri()));
        assert!(nothing_happened(Kind::Overloaded.type_uri()));
        for kind in [Kind::OutcomeUnknown, Kind::DeadlineExceeded, Kind::Internal, Kind::RequestTimeout] {
            assert!(!nothing_happened(kind.type_uri()), "{kind:?}");
        }
        assert!(!nothing_happened("about:blank") && !nothing_happened("https://elsewhere.dev/problems/unavailable"));
    }
}
