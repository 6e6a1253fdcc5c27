//! What Holdfast asks of a payment gateway, whichever it is. An adaptor to a real one implements [`PaymentGateway`].
//!
//! Four calls, all idempotent under the request's key, and two ways to fail: the outcome is unknown, or nothing happened.
//! A refusal by the gateway is neither: it is an outcome, and the order decides what follows.
//!
//! Keys are remembered by real gateways for a time only (24 hours is common), and some replay a stored "500" for as long.
//! So a request says whether it was asked before; then the adaptor first looks up by the key, as merchant reference, what
//! became of it, and acts only if nothing did.

use async_trait::async_trait;
use holdfast_core::{
    Money, OrderId,
    order::{AuthorizationOutcome, GatewayCall, GatewayKey, PaymentToken, SettlementOutcome, Step},
    planted,
};

/// One call to a gateway. A repeat carries the same content, but for `asked_before`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayRequest {
    /// The call and its idempotency key: the same in every repeat.
    pub key: GatewayKey,
    /// The amount it is about.
    pub amount: Money,
    /// The means of payment.
    pub token: PaymentToken,
    /// The gateway's name for the authorization, once there is one.
    pub reference: Option<String>,
    /// Whether an earlier call under this key may have reached the gateway: after a time-out, and for every step found by
    /// recovery. The gateway then looks up before it acts.
    pub asked_before: bool,
}

/// Why a gateway gave no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// No answer in time, or one that says nothing: it may have happened or not. Ask again under the same key.
    #[error("the payment gateway did not answer in time: the outcome is unknown")]
    TimedOut,
    /// The gateway was not reached or turned the call away: nothing happened. Ask again later.
    #[error("the payment gateway is unavailable: {reason}")]
    Unavailable {
        /// What it said, for the log.
        reason: String,
    },
}

/// What a gateway said to a void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoidOutcome {
    /// Nothing is reserved, and nothing will be.
    Voided,
    /// The amount had been captured: it is the merchant's, and only a refund gives it back.
    Captured,
}

/// A payment gateway. Every call is idempotent: the same key is carried out once and answered the same every time.
#[async_trait]
pub trait PaymentGateway: Send + Sync + 'static {
    /// Whether its calls are answered at once, without IO and without waiting. Then they are made where a turn's output is let
    /// out; otherwise by a task, behind the clients' answers.
    fn answers_at_once(&self) -> bool {
        false
    }

    /// These calls are about to be made, one after the other. A gateway whose books are in this process's memory may read ahead for
    /// all of them; nothing else follows.
    fn look_ahead(&self, _requests: &[GatewayRequest]) {}

    /// Reserves the amount.
    async fn authorize(&self, request: &GatewayRequest) -> Result<AuthorizationOutcome, GatewayError>;

    /// Takes the reserved amount.
    async fn capture(&self, request: &GatewayRequest) -> Result<SettlementOutcome, GatewayError>;

    /// Lets the reservation go. An authorization of the same order that arrives later is declined: a void is final even if
    /// it overtakes the authorization it is about. What was captured before cannot be let go, and the answer must say so:
    /// the answer to that capture may have been lost.
    async fn void(&self, request: &GatewayRequest) -> Result<VoidOutcome, GatewayError>;

    /// Gives the amount back.
    async fn refund(&self, request: &GatewayRequest) -> Result<SettlementOutcome, GatewayError>;
}

impl GatewayRequest {
    /// The request a step owes, or `None` for a step that is not the gateway's.
    pub fn from_step(step: Step, asked_before: bool) -> Option<Self> {
        match step {
            Step::Gateway { key, amount, token, reference } => {
                let other = planted!(CaptureKeyChanged) && asked_before && key.call == GatewayCall::Capture;
                let key =
                    if other { GatewayKey { order: OrderId::from_u128(!key.order.as_u128()), ..key } } else { key };
                Some(Self { key, amount, token, reference, asked_before })
            }
            Step::Stock { .. } => None,
        }
    }
}
