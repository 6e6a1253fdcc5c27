//! What each test token makes the sandbox do, and the reason codes it answers with.

use holdfast_core::order::PaymentToken;

/// The behavior a token asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    /// Authorize with this verdict; capture and refund as asked.
    Authorize(Verdict),
    /// The first authorization times out and did not happen.
    TimeoutBefore,
    /// The first authorization times out and did happen.
    TimeoutAfter,
    /// The authorization happens at once and is answered `late_ms` later.
    Late,
    /// The answer to the authorization is delivered twice.
    Twice,
    /// The authorization happens, but the gateway stored an error for its key and says nothing else to a plain repeat.
    StoredError,
    /// The authorization is not answered until the order is voided.
    Never,
    /// The first capture times out and did happen.
    CaptureTimeoutAfter,
    /// Captures fail.
    CaptureDecline,
    /// Refunds fail.
    RefundDecline,
}

/// Whether something was done, or why not.
pub(super) type Verdict = Result<(), Reason>;

/// The sandbox's reason codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    UnknownToken,
    CardDeclined,
    InsufficientFunds,
    Voided,
    IdempotencyMismatch,
    NotAuthorized,
    AmountNotAuthorized,
    AmountNotCaptured,
    UnknownReference,
    CaptureDeclined,
    RefundDeclined,
}

impl Script {
    /// The behavior `token` asks for. A token nobody knows is declined, so a typo in a test never sells.
    pub(super) fn of(token: &PaymentToken) -> Self {
        match token.as_str() {
            "tok_approve" => Self::Authorize(Ok(())),
            "tok_decline" => Self::Authorize(Err(Reason::CardDeclined)),
            "tok_insufficient_funds" => Self::Authorize(Err(Reason::InsufficientFunds)),
            "tok_timeout_before" => Self::TimeoutBefore,
            "tok_timeout_after" => Self::TimeoutAfter,
            "tok_late" => Self::Late,
            "tok_twice" => Self::Twice,
            "tok_stored_error" => Self::StoredError,
            "tok_never" => Self::Never,
            "tok_capture_timeout_after" => Self::CaptureTimeoutAfter,
            "tok_capture_decline" => Self::CaptureDecline,
            "tok_refund_decline" => Self::RefundDecline,
            _ => Self::Authorize(Err(Reason::UnknownToken)),
        }
    }
}

impl Reason {
    /// The code as the gateway writes it.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::UnknownToken => "unknown_token",
            Self::CardDeclined => "card_declined",
            Self::InsufficientFunds => "insufficient_funds",
            Self::Voided => "voided",
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::NotAuthorized => "not_authorized",
            Self::AmountNotAuthorized => "amount_not_authorized",
            Self::AmountNotCaptured => "amount_not_captured",
            Self::UnknownReference => "unknown_reference",
            Self::CaptureDeclined => "capture_declined",
            Self::RefundDeclined => "refund_declined",
        }
    }
}

/// Tells tokens apart without keeping them: FNV-1a of the text.
pub(super) fn token_digest(token: &PaymentToken) -> u64 {
    token
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
