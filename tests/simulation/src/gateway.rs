//! The payment gateway: another company's machine. It loses calls before and after it acted, acts late, answers late and
//! twice, reports on its own (webhooks), and forgets idempotency keys after a while. It lives on when the node dies.
//!
//! It is as naive as a gateway may be: under a key it does not know it moves money, whatever it did under others. So a node
//! that changes a key charges twice, and its books show it.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use holdfast_actors::{
    Clock,
    payment::{GatewayError, GatewayRequest, PaymentGateway, VoidOutcome},
};
use holdfast_core::{
    OrderId, Timestamp,
    order::{AuthorizationOutcome, GatewayCall, OrderCommand, SettlementOutcome},
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    book::Book,
    dice::Dice,
    tasks::Tasks,
    trace::Trace,
    violation::{Promise, Violations},
};

/// How bad the gateway is, out of a thousand calls each.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GatewayFaults {
    /// Lost on the way there.
    pub(crate) lost_before: u64,
    /// Carried out, and the answer lost.
    pub(crate) lost_after: u64,
    /// Turned away at once.
    pub(crate) unavailable: u64,
    /// Takes up to a minute there or back.
    pub(crate) late: u64,
    /// Reported by a webhook as well, once or more, before or after the answer.
    pub(crate) webhook: u64,
    /// A key is forgotten after so long, in milliseconds.
    pub(crate) forget_after_ms: i64,
}

/// What the gateway did to its callers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct GatewayFigures {
    pub(crate) calls: u64,
    pub(crate) lost_before: u64,
    pub(crate) lost_after: u64,
    pub(crate) unavailable: u64,
    pub(crate) late: u64,
    pub(crate) webhooks: u64,
    pub(crate) forgotten: u64,
}

/// The money of one order, by the gateway's books.
#[derive(Debug, Clone, Default)]
pub(crate) struct Account {
    answers: BTreeMap<GatewayCall, (Timestamp, Answer)>,
    pub(crate) authorized: i64,
    pub(crate) captured: i64,
    pub(crate) captures: u32,
    pub(crate) refunded: i64,
    pub(crate) voided: bool,
}

/// What the gateway says.
#[derive(Debug, Clone)]
enum Answer {
    Authorization(AuthorizationOutcome),
    Settlement(SettlementOutcome),
    Void(VoidOutcome),
}

/// The gateway. Clones are the same.
#[derive(Clone)]
pub(crate) struct SimGateway {
    state: Arc<Mutex<State>>,
    pub(crate) faults: Arc<Mutex<GatewayFaults>>,
    /// The gateway's own tasks: they outlive the node.
    tasks: Tasks,
    clock: Clock,
    dice: Dice,
    book: Book,
    trace: Trace,
    violations: Violations,
}

#[derive(Default)]
struct State {
    accounts: BTreeMap<OrderId, Account>,
    webhooks: BTreeMap<(Timestamp, u64), (OrderId, OrderCommand)>,
    next: u64,
    figures: GatewayFigures,
}

impl SimGateway {
    pub(crate) fn new(
        tasks: Tasks,
        clock: Clock,
        dice: Dice,
        book: Book,
        trace: Trace,
        violations: Violations,
    ) -> Self {
        Self { state: Arc::default(), faults: Arc::default(), tasks, clock, dice, book, trace, violations }
    }

    pub(crate) fn figures(&self) -> GatewayFigures {
        self.state.lock().figures
    }

    /// Every account, by order.
    pub(crate) fn accounts(&self) -> BTreeMap<OrderId, Account> {
        self.state.lock().accounts.clone()
    }

    /// When the next webhook comes.
    pub(crate) fn next_webhook(&self) -> Option<Timestamp> {
        self.state.lock().webhooks.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes a webhook that has come.
    pub(crate) fn take_webhook(&self) -> Option<(OrderId, OrderCommand)> {
        let mut state = self.state.lock();
        let first = state.webhooks.first_entry()?;
        (first.key().0 <= self.clock.now()).then(|| first.remove())
    }

    /// Sends a webhook again, later: nobody took it.
    pub(crate) fn put_off(&self, order: OrderId, command: OrderCommand) {
        let at = self.clock.now().saturating_add_millis(self.dice.millis(1_000, 60_000));
        self.send_webhook(at, order, command);
    }

    fn send_webhook(&self, at: Timestamp, order: OrderId, command: OrderCommand) {
        let mut state = self.state.lock();
        let key = (at, state.next);
        state.next += 1;
        state.webhooks.insert(key, (order, command));
    }

    /// One call, from the node's side. What becomes of it there is decided by a task of the gateway's own.
    async fn call(&self, request: &GatewayRequest) -> Result<Answer, GatewayError> {
        self.check_request(request);
        let faults = *self.faults.lock();
        self.trace.note("gateway: call", low(request.key.order), code(request.key.call));
        self.state.lock().figures.calls += 1;
        if self.dice.permille(faults.unavailable) {
            self.state.lock().figures.unavailable += 1;
            return Err(GatewayError::Unavailable { reason: String::from("simulated") });
        }
        let (sender, answer) = oneshot::channel();
        let (gateway, request) = (self.clone(), request.clone());
        let lost_before = self.dice.permille(faults.lost_before);
        let lost_after = self.dice.permille(faults.lost_after);
        let slow = if self.dice.permille(faults.late) { 60_000 } else { 300 };
        let (there, back) = (self.dice.millis(0, slow), self.dice.millis(0, slow));
        {
            let figures = &mut self.state.lock().figures;
            figures.late += u64::from(slow > 1_000);
            figures.lost_before += u64::from(lost_before);
            figures.lost_after += u64::from(lost_after && !lost_before);
        }
        self.tasks.start(Box::pin(async move {
            gateway.tasks.wait(there).await;
            if lost_before {
                // Held open: the caller finds out by its own time-out.
                gateway.tasks.wait(120_000).await;
                return;
            }
            let answer = gateway.carry_out(&request);
            gateway.tasks.wait(if lost_after { 120_000 } else { back }).await;
            if !lost_after {
                // Nobody listens any more when the node died or gave up.
                let _ = sender.send(answer);
            }
        }));
        answer.await.unwrap_or(Err(GatewayError::TimedOut))
    }

    /// A request that no order owes is a violation, whatever the gateway makes of it.
    fn check_request(&self, request: &GatewayRequest) {
        let state = self.book.open();
        let wrong = |what: &str| {
            self.violations.report(Promise::Money, format!("{}: {what}", request.key));
        };
        let durable = state.durable_versions.contains_key(&holdfast_core::EntityId::Order(request.key.order));
        let Some(order) = state.model.orders.get(&request.key.order).filter(|_| durable) else {
            return wrong("a gateway call for an order that is not durable");
        };
        let Some(placement) = &order.placement else { return wrong("a gateway call for an order that is not placed") };
        if request.token != placement.payment_token {
            wrong("the token is not the order's");
        }
        match request.key.call {
            GatewayCall::Authorize | GatewayCall::Capture | GatewayCall::Void => {
                if request.amount != placement.total {
                    wrong("the amount is not the order's total");
                }
            }
            GatewayCall::Refund(_) => {}
        }
        if request.key.call == GatewayCall::Capture && order.allocated.len() != usize::from(order.lines()) {
            wrong("a capture for units that are not allocated");
        }
    }

    /// The gateway acts, unless it finds that it did before.
    fn carry_out(&self, request: &GatewayRequest) -> Result<Answer, GatewayError> {
        let now = self.clock.now();
        let faults = *self.faults.lock();
        let mut state = self.state.lock();
        let state = &mut *state;
        let account = state.accounts.entry(request.key.order).or_default();
        if let Some((at, answer)) = account.answers.get(&request.key.call) {
            let remembered = faults.forget_after_ms <= 0 || at.saturating_add_millis(faults.forget_after_ms) > now;
            state.figures.forgotten += u64::from(!remembered);
            if remembered || request.asked_before {
                return Ok(answer.clone());
            }
        }
        let answer = account.act(request, &self.dice);
        account.answers.insert(request.key.call, (now, answer.clone()));
        self.trace.note("gateway: act", low(request.key.order), code(request.key.call));
        if account.captures > 1 || account.captured > account.authorized || account.refunded > account.captured {
            self.violations.report(Promise::Money, format!("{}: the gateway's books say {account:?}", request.key));
        }
        let mut copies = 0;
        while copies < 3 && self.dice.permille(faults.webhook) {
            copies += 1;
            let at = now.saturating_add_millis(self.dice.millis(0, 90_000));
            let key = (at, state.next);
            state.next += 1;
            state.figures.webhooks += 1;
            let command = command_of(request.key.call, answer.clone());
            state.webhooks.insert(key, (request.key.order, command));
        }
        Ok(answer)
    }
}

impl Account {
    /// Moves money as asked. Out of a thousand captures and refunds twenty fail.
    fn act(&mut self, request: &GatewayRequest, dice: &Dice) -> Answer {
        let amount = request.amount.minor();
        let failed = |reason: &str| Answer::Settlement(SettlementOutcome::Failed { reason: String::from(reason) });
        match request.key.call {
            GatewayCall::Authorize => {
                let declined = self.voided || request.token.as_str() == "tok_decline";
                Answer::Authorization(if declined {
                    AuthorizationOutcome::Declined { reason: String::from("declined") }
                } else {
                    self.authorized += amount;
                    AuthorizationOutcome::Approved { reference: reference(request.key.order) }
                })
            }
            GatewayCall::Capture => {
                if self.voided || self.authorized == 0 {
                    return failed("not_authorized");
                }
                if request.reference.as_deref() != Some(reference(request.key.order).as_str()) {
                    return failed("unknown_reference");
                }
                if dice.permille(20) {
                    return failed("capture_declined");
                }
                self.captured += amount;
                self.captures += 1;
                Answer::Settlement(SettlementOutcome::Done)
            }
            GatewayCall::Void => {
                if self.captured > 0 {
                    return Answer::Void(VoidOutcome::Captured);
                }
                self.voided = true;
                Answer::Void(VoidOutcome::Voided)
            }
            GatewayCall::Refund(_) => {
                if dice.permille(20) {
                    return failed("refund_declined");
                }
                self.refunded += amount;
                Answer::Settlement(SettlementOutcome::Done)
            }
        }
    }
}

fn reference(order: OrderId) -> String {
    format!("sim_{:032x}", order.as_u128())
}

fn command_of(call: GatewayCall, answer: Answer) -> OrderCommand {
    match (call, answer) {
        (_, Answer::Authorization(outcome)) => OrderCommand::RecordAuthorization(outcome),
        (GatewayCall::Refund(refund), Answer::Settlement(outcome)) => OrderCommand::RecordRefund { refund, outcome },
        (_, Answer::Settlement(outcome)) => OrderCommand::RecordCapture(outcome),
        (_, Answer::Void(VoidOutcome::Voided)) => OrderCommand::RecordVoid,
        (_, Answer::Void(VoidOutcome::Captured)) => OrderCommand::RecordCapture(SettlementOutcome::Done),
    }
}

/// The end of an order's id that tells orders apart in a trace.
pub(crate) fn low(order: OrderId) -> u64 {
    u64::try_from((order.as_u128() >> 16) & u128::from(u64::MAX)).unwrap_or(0)
}

fn code(call: GatewayCall) -> u64 {
    match call {
        GatewayCall::Authorize => 1,
        GatewayCall::Capture => 2,
        GatewayCall::Void => 3,
        GatewayCall::Refund(refund) => 4 + u64::from(refund),
    }
}

#[async_trait]
impl PaymentGateway for SimGateway {
    async fn authorize(&self, request: &GatewayRequest) -> Result<AuthorizationOutcome, GatewayError> {
        match self.call(request).await? {
            Answer::Authorization(outcome) => Ok(outcome),
            _ => Err(GatewayError::TimedOut),
        }
    }

    async fn capture(&self, request: &GatewayRequest) -> Result<SettlementOutcome, GatewayError> {
        match self.call(request).await? {
            Answer::Settlement(outcome) => Ok(outcome),
            _ => Err(GatewayError::TimedOut),
        }
    }

    async fn void(&self, request: &GatewayRequest) -> Result<VoidOutcome, GatewayError> {
        match self.call(request).await? {
            Answer::Void(outcome) => Ok(outcome),
            _ => Err(GatewayError::TimedOut),
        }
    }

    async fn refund(&self, request: &GatewayRequest) -> Result<SettlementOutcome, GatewayError> {
        match self.call(request).await? {
            Answer::Settlement(outcome) => Ok(outcome),
            _ => Err(GatewayError::TimedOut),
        }
    }
}
