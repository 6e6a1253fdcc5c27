//! The money of one order as the sandbox gateway has it: what was asked, what was answered, what moved.

use holdfast_core::Money;

use super::{
    ledger::OrderLedger,
    port::GatewayRequest,
    script::{Verdict, token_digest},
};

/// Everything the gateway knows of one order.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) token: u64,
    pub(super) amount: Money,
    pub(super) authorization: Option<Verdict>,
    moved: Option<Box<Moved>>,
    pub(super) voided: bool,
    /// The one time-out its token asks for has happened.
    pub(super) timed_out: bool,
    /// The answers are no longer found by key, only by looking the order up.
    pub(super) keys_forgotten: bool,
    pub(super) authorizations: u16,
    pub(super) calls: u32,
    pub(super) repeats: u32,
}

/// What was asked of an order's money beyond its authorization: apart, because in a sale most orders never get there, and a
/// ledger grows by the million.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) capture: Option<Settled>,
    pub(super) refunds: Vec<(u16, Settled)>,
    pub(super) captured: i64,
    pub(super) refunded: i64,
    pub(super) captures: u16,
}

static NOTHING_MOVED: Moved = Moved { capture: None, refunds: Vec::new(), captured: 0, refunded: 0, captures: 0 };

/// The stored answer to a capture or refund, and the amount it was about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settled {
    pub(super) amount: Money,
    pub(super) verdict: Verdict,
}

impl Account {
    pub(super) fn new(request: &GatewayRequest) -> Self {
        Self {
            token: token_digest(&request.token),
            amount: request.amount,
            authorization: None,
            moved: None,
            voided: false,
            timed_out: false,
            keys_forgotten: false,
            authorizations: 0,
            calls: 0,
            repeats: 0,
        }
    }

    /// What was captured and refunded.
    pub(super) fn moved(&self) -> &Moved {
        self.moved.as_deref().unwrap_or(&NOTHING_MOVED)
    }

    /// The same, to enter something into it.
    pub(super) fn moved_mut(&mut self) -> &mut Moved {
        self.moved.get_or_insert_default()
    }

    /// Whether a stored answer is found for this request: by its key, or by looking up.
    pub(super) fn finds(&self, request: &GatewayRequest) -> bool {
        request.asked_before || !self.keys_forgotten
    }

    pub(super) fn summary(&self) -> OrderLedger {
        let moved = self.moved();
        OrderLedger {
            currency: self.amount.currency(),
            authorized: if self.authorizations == 0 { 0 } else { self.amount.minor() },
            captured: moved.captured,
            refunded: moved.refunded,
            voided: self.voided,
            authorizations: self.authorizations,
            captures: moved.captures,
            calls: self.calls,
            repeats: self.repeats,
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::OrderId;

    use super::*;

    #[test]
    fn an_entry_takes_no_more_than_the_documentation_says() {
        assert_eq!(size_of::<(OrderId, Account)>(), 64);
        assert_eq!(size_of::<Moved>(), 72);
        assert_eq!(size_of::<(u16, Settled)>(), 32);
    }
}
