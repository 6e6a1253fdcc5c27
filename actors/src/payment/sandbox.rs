//! A payment gateway inside the process, for demos, benchmarks and tests: no network, no account, no real money.
//!
//! What it does is chosen by test token; every other token is declined with `unknown_token`.
//!
//! | token | behavior |
//! |---|---|
//! | `tok_approve` | approved; capture and refund succeed |
//! | `tok_decline` | declined, `card_declined` |
//! | `tok_insufficient_funds` | declined, `insufficient_funds` |
//! | `tok_timeout_before` | the first authorization times out and did not happen; the repeat is approved |
//! | `tok_timeout_after` | the first authorization times out but did happen; the repeat gets the stored answer |
//! | `tok_late` | approved at once, answered `late_ms` later |
//! | `tok_twice` | approved, and the answer is delivered a second time |
//! | `tok_stored_error` | approved, but a plain repeat only gets the stored error; looking up finds the approval |
//! | `tok_never` | not answered until the order is voided, then declined, `voided` |
//! | `tok_capture_timeout_after` | the first capture times out but did happen |
//! | `tok_capture_decline` | the capture fails, `capture_declined` |
//! | `tok_refund_decline` | refunds fail, `refund_declined` |
//!
//! Invariant: the same key is carried out once and answered the same every time; the same key with another amount or token
//! is refused with `idempotency_mismatch` and changes nothing.

use std::{io, time::Duration};

use async_trait::async_trait;
use holdfast_core::{
    HexDigits, OrderId,
    order::{AuthorizationOutcome, GatewayCall, OrderCommand, SettlementOutcome},
};
use tokio::sync::Notify;

use super::{
    account::{Account, Settled},
    book::Book,
    ledger::Ledger,
    port::{GatewayError, GatewayRequest, PaymentGateway, VoidOutcome},
    script::{Reason, Script, Verdict, token_digest},
    settings::SandboxSettings,
};

/// Where the second delivery of an answer goes: the order and the command it makes. Called in the gateway call itself,
/// just before that is answered, so the copy may overtake the original.
pub type OnDuplicate = Box<dyn Fn(OrderId, OrderCommand) + Send + Sync>;

/// The gateway. See the module for its tokens.
pub struct SandboxGateway {
    ledger: Ledger,
    late: Duration,
    voided: Notify,
    on_duplicate: Option<OnDuplicate>,
}

/// What is to be done with the verdict on an authorization.
enum Delivery {
    Now(Verdict),
    Late(Verdict),
    Twice(Verdict),
    TimedOut,
    WhenVoided,
}

impl SandboxGateway {
    /// A gateway with an empty ledger.
    pub fn new(settings: &SandboxSettings) -> Self {
        Self {
            ledger: Ledger::new(settings.max_orders.get()),
            late: Duration::from_millis(settings.late_ms),
            voided: Notify::new(),
            on_duplicate: None,
        }
    }

    /// The same, with what its book says was asked of it before, if the settings name a book.
    ///
    /// # Errors
    /// When the book cannot be read or written, or is no book.
    pub fn open(settings: &SandboxSettings) -> io::Result<Self> {
        let mut gateway = Self::new(settings);
        if let Some(path) = &settings.book {
            let (book, calls) = Book::open(path)?;
            for request in &calls {
                gateway.ask_again(request);
            }
            gateway.ledger.keep(book);
        }
        Ok(gateway)
    }

    /// Makes a call that was made before, for what it leaves in the ledger.
    fn ask_again(&self, request: &GatewayRequest) {
        match request.key.call {
            GatewayCall::Authorize => drop(self.ledger.open(request, |account| authorize(account, request))),
            GatewayCall::Capture => drop(self.ledger.find(request, |account| capture(account, request))),
            GatewayCall::Void => drop(self.ledger.open(request, void)),
            GatewayCall::Refund(_) => drop(self.ledger.find(request, |account| refund(account, request))),
        }
    }

    /// The same, with a place where second deliveries go. Without one `tok_twice` is answered once.
    #[must_use]
    pub fn with_duplicates(mut self, on_duplicate: OnDuplicate) -> Self {
        self.on_duplicate = Some(on_duplicate);
        self
    }

    /// The books.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Forgets all idempotency keys, as real gateways do after a day. What was done is then found only by a request that
    /// says it was asked before.
    pub fn forget_keys(&self) {
        self.ledger.forget_keys();
    }

    /// Waits until the order is voided.
    async fn until_voided(&self, order: OrderId) {
        loop {
            // Listen first, then look: a void in between is not missed.
            let mut listening = std::pin::pin!(self.voided.notified());
            listening.as_mut().enable();
            if self.ledger.is_voided(order) {
                return;
            }
            listening.await;
        }
    }
}

#[async_trait]
impl PaymentGateway for SandboxGateway {
    /// But for a book, which is a file.
    fn answers_at_once(&self) -> bool {
        !self.ledger.keeps_book()
    }

    fn look_ahead(&self, requests: &[GatewayRequest]) {
        self.ledger.look_ahead(requests);
    }

    async fn authorize(&self, request: &GatewayRequest) -> Result<AuthorizationOutcome, GatewayError> {
        let order = request.key.order;
        let delivery = self.ledger.open(request, |account| authorize(account, request))?.ok_or_else(ledger_full)?;
        match delivery {
            Delivery::Now(verdict) => Ok(authorization(order, verdict)),
            Delivery::Late(verdict) => {
                tokio::time::sleep(self.late).await;
                Ok(authorization(order, verdict))
            }
            Delivery::Twice(verdict) => {
                if let Some(on_duplicate) = &self.on_duplicate {
                    on_duplicate(order, OrderCommand::RecordAuthorization(authorization(order, verdict)));
                }
                Ok(authorization(order, verdict))
            }
            Delivery::TimedOut => Err(GatewayError::TimedOut),
            Delivery::WhenVoided => {
                self.until_voided(order).await;
                Ok(authorization(order, Err(Reason::Voided)))
            }
        }
    }

    async fn capture(&self, request: &GatewayRequest) -> Result<SettlementOutcome, GatewayError> {
        let settled = self.ledger.find(request, |account| capture(account, request))?;
        settled.unwrap_or(Some(Err(Reason::NotAuthorized))).map(settlement).ok_or(GatewayError::TimedOut)
    }

    async fn void(&self, request: &GatewayRequest) -> Result<VoidOutcome, GatewayError> {
        // A full ledger opens no account for any authorization either, so this order needs no tombstone.
        let outcome = self.ledger.open(request, void)?.unwrap_or(VoidOutcome::Voided);
        if Script::of(&request.token) == Script::Never {
            self.voided.notify_waiters();
        }
        Ok(outcome)
    }

    async fn refund(&self, request: &GatewayRequest) -> Result<SettlementOutcome, GatewayError> {
        let settled = self.ledger.find(request, |account| refund(account, request))?;
        Ok(settlement(settled.unwrap_or(Err(Reason::AmountNotCaptured))))
    }
}

fn ledger_full() -> GatewayError {
    GatewayError::Unavailable { reason: "the sandbox ledger is full (payments.sandbox.max_orders)".to_owned() }
}

/// Decides an authorization and books it.
fn authorize(account: &mut Account, request: &GatewayRequest) -> Delivery {
    if account.authorization.is_none() {
        // A void may have opened the account; what is authorized is this amount.
        account.amount = request.amount;
    }
    if account.token != token_digest(&request.token) || account.amount != request.amount {
        return Delivery::Now(Err(Reason::IdempotencyMismatch));
    }
    let script = Script::of(&request.token);
    if let Some(verdict) = account.authorization.filter(|_| account.finds(request)) {
        account.repeats = account.repeats.saturating_add(1);
        return match script {
            Script::StoredError if !request.asked_before => Delivery::TimedOut,
            _ => Delivery::Now(verdict),
        };
    }
    if account.voided {
        account.authorization = Some(Err(Reason::Voided));
        return Delivery::Now(Err(Reason::Voided));
    }
    let first = !std::mem::replace(&mut account.timed_out, true);
    let (verdict, delivery) = match script {
        Script::Never => return Delivery::WhenVoided,
        Script::TimeoutBefore if first => return Delivery::TimedOut,
        Script::Authorize(verdict) => (verdict, Delivery::Now(verdict)),
        Script::TimeoutAfter | Script::StoredError => (Ok(()), Delivery::TimedOut),
        Script::Late => (Ok(()), Delivery::Late(Ok(()))),
        Script::Twice => (Ok(()), Delivery::Twice(Ok(()))),
        Script::TimeoutBefore | Script::CaptureTimeoutAfter | Script::CaptureDecline | Script::RefundDecline => {
            (Ok(()), Delivery::Now(Ok(())))
        }
    };
    account.authorization = Some(verdict);
    account.authorizations = account.authorizations.saturating_add(u16::from(verdict.is_ok()));
    delivery
}

/// Decides a capture and books it. `None`: it times out.
fn capture(account: &mut Account, request: &GatewayRequest) -> Option<Verdict> {
    if account.token != token_digest(&request.token) {
        return Some(Err(Reason::IdempotencyMismatch));
    }
    if let Some(settled) = account.moved().capture.filter(|_| account.finds(request)) {
        return Some(repeat(account, settled, request));
    }
    let script = Script::of(&request.token);
    let verdict = if account.voided {
        Err(Reason::Voided)
    } else if account.authorization != Some(Ok(())) {
        Err(Reason::NotAuthorized)
    } else if request.reference.as_deref() != Some(reference(request.key.order).as_str()) {
        Err(Reason::UnknownReference)
    } else if !fits(request, account.amount.minor(), account) {
        Err(Reason::AmountNotAuthorized)
    } else if script == Script::CaptureDecline {
        Err(Reason::CaptureDeclined)
    } else {
        let moved = account.moved_mut();
        moved.captures = moved.captures.saturating_add(1);
        moved.captured = moved.captured.saturating_add(request.amount.minor());
        Ok(())
    };
    account.moved_mut().capture = Some(Settled { amount: request.amount, verdict });
    (script != Script::CaptureTimeoutAfter).then_some(verdict)
}

/// Releases the reservation, or refuses the one to come. Money that was captured stays: that is what a refund is for.
fn void(account: &mut Account) -> VoidOutcome {
    if account.moved().captured > 0 {
        return VoidOutcome::Captured;
    }
    if account.voided {
        account.repeats = account.repeats.saturating_add(1);
    }
    account.voided = true;
    VoidOutcome::Voided
}

/// Decides a refund and books it.
fn refund(account: &mut Account, request: &GatewayRequest) -> Verdict {
    let GatewayCall::Refund(number) = request.key.call else { return Err(Reason::IdempotencyMismatch) };
    if account.token != token_digest(&request.token) {
        return Err(Reason::IdempotencyMismatch);
    }
    let stored = account.moved().refunds.iter().find(|(stored, _)| *stored == number).map(|(_, settled)| *settled);
    if let Some(settled) = stored.filter(|_| account.finds(request)) {
        return repeat(account, settled, request);
    }
    let verdict = if !fits(request, account.moved().captured.saturating_sub(account.moved().refunded), account) {
        Err(Reason::AmountNotCaptured)
    } else if Script::of(&request.token) == Script::RefundDecline {
        Err(Reason::RefundDeclined)
    } else {
        let moved = account.moved_mut();
        moved.refunded = moved.refunded.saturating_add(request.amount.minor());
        Ok(())
    };
    account.moved_mut().refunds.push((number, Settled { amount: request.amount, verdict }));
    verdict
}

/// The stored answer, if the repeat asks for the same.
fn repeat(account: &mut Account, settled: Settled, request: &GatewayRequest) -> Verdict {
    if settled.amount != request.amount {
        return Err(Reason::IdempotencyMismatch);
    }
    account.repeats = account.repeats.saturating_add(1);
    settled.verdict
}

/// Whether the amount is positive, in the order's currency, and at most `limit` minor units.
fn fits(request: &GatewayRequest, limit: i64, account: &Account) -> bool {
    request.amount.currency() == account.amount.currency() && (1..=limit).contains(&request.amount.minor())
}

/// The gateway's name for an order's authorization.
fn reference(order: OrderId) -> String {
    ["sbx_", HexDigits::of(order.as_u128()).as_str()].concat()
}

fn authorization(order: OrderId, verdict: Verdict) -> AuthorizationOutcome {
    match verdict {
        Ok(()) => AuthorizationOutcome::Approved { reference: reference(order) },
        Err(reason) => AuthorizationOutcome::Declined { reason: reason.code().to_owned() },
    }
}

fn settlement(verdict: Verdict) -> SettlementOutcome {
    match verdict {
        Ok(()) => SettlementOutcome::Done,
        Err(reason) => SettlementOutcome::Failed { reason: reason.code().to_owned() },
    }
}
