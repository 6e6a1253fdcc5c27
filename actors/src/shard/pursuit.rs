//! Pursuit: seeing an order's `next_steps` through. Steps of this shard's stock are done inside the turn; others are sent
//! out once, after the gate, and asked again only when their answer fails or stays away.
//!
//! Nothing here is durable: after a restart every order is asked for its steps anew, and every step has a deterministic id.

use holdfast_core::{
    EntityId, OrderId, SkuId, Timestamp,
    order::{GatewayCall, GatewayKey, Order, OrderCommand, SettlementOutcome, Step, StockAction},
    stock::{StockCommand, StockItem},
};

use super::{Shard, agenda::DUE_PER_TURN};
use crate::{
    message::{Message, Reply},
    outbound::Outgoing,
    payment::GatewayRequest,
};

/// What has been asked for one order and not answered.
#[derive(Debug, Default)]
pub(crate) struct Pursuit {
    asked: Vec<StepId>,
    /// Whether an earlier life of this process, or a failed attempt, may have asked the gateway already.
    asked_before: bool,
    /// Failed gateway attempts in a row: sets the delay of the next.
    failures: u32,
    retry_at: Option<Timestamp>,
}

/// Tells the steps of one order apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StepId {
    Stock(u16, StockAction),
    Gateway(GatewayCall),
}

impl StepId {
    fn of(step: &Step) -> Self {
        match step {
            Step::Stock { hold, action, .. } => Self::Stock(hold.line, *action),
            Step::Gateway { key, .. } => Self::Gateway(key.call),
        }
    }
}

impl Shard {
    /// Gives an order a command that is not a client's; a refusal means it was answered before.
    pub(super) fn order_command(&mut self, order: OrderId, command: OrderCommand) {
        if let Some(pursuit) = self.pursuits.get_mut(&order) {
            // Answered: if the order should ever owe the same call again, it is asked again.
            pursuit.asked.retain(|step| !matches!(step, StepId::Gateway(call) if is_answer_to(&command, *call)));
        }
        let takes = command == OrderCommand::RecordCapture(SettlementOutcome::Done);
        match self.decide::<Order>(&order, command) {
            Ok(events) => {
                self.commit::<Order>(&order, events);
                self.pursue(order);
            }
            Err(rejection) if takes => {
                tracing::error!(%order, %rejection, "the gateway took money that the order cannot account for");
            }
            Err(rejection) => tracing::debug!(%order, %rejection, "an answer came too late or twice"),
        }
    }

    /// Does what the order is owed here and asks for what it is owed elsewhere.
    pub(super) fn pursue(&mut self, order: OrderId) {
        loop {
            let Some(entity) = self.tables.orders.get(&order) else { return };
            let steps = entity.next_steps();
            if steps.is_empty() {
                self.end_pursuit(order);
                return;
            }
            let mut progressed = false;
            for step in steps {
                match step {
                    Step::Stock { sku, hold, action } if self.is_here_and_ready(&sku) => {
                        let answer = self.stock_step(&sku, hold, action);
                        if let Ok(events) = self.decide::<Order>(&order, answer) {
                            progressed |= !events.is_empty();
                            self.commit::<Order>(&order, events);
                        }
                    }
                    step => self.ask_once(order, step),
                }
            }
            if !progressed {
                return;
            }
        }
    }

    /// Pursues an order whose steps may have been asked for before this shard came (back) to life, or before a panic took
    /// back what had been asked.
    pub(super) fn pursue_again(&mut self, order: OrderId) {
        self.end_pursuit(order);
        let owes = self.tables.orders.get(&order).is_some_and(|entity| !entity.next_steps().is_empty());
        if owes {
            self.pursuits.insert(order, Pursuit { asked_before: true, ..Pursuit::default() });
            self.pursue(order);
        }
    }

    /// Pursues an order in one of the next turns, as one that may have been asked for before.
    pub(super) fn pursue_soon(&mut self, order: OrderId) {
        self.end_pursuit(order);
        self.pursuits.insert(order, Pursuit { asked_before: true, ..Pursuit::default() });
        self.retry_at(order, self.now);
    }

    /// Lets stock do a step and says what the order is to hear.
    pub(super) fn stock_step(&mut self, sku: &SkuId, hold: holdfast_core::HoldId, action: StockAction) -> OrderCommand {
        let command = match action {
            StockAction::Allocate => StockCommand::Allocate { hold },
            StockAction::Release => StockCommand::Release { hold },
            StockAction::Fulfill => StockCommand::Fulfill { hold },
        };
        let line = hold.line;
        match (self.decide::<StockItem>(sku, command), action) {
            (Ok(events), action) => {
                self.commit::<StockItem>(sku, events);
                match action {
                    StockAction::Allocate => OrderCommand::LineAllocated { line },
                    StockAction::Release => OrderCommand::LineReleased { line },
                    StockAction::Fulfill => OrderCommand::LineFulfilled { line },
                }
            }
            (Err(_), StockAction::Allocate) => OrderCommand::LineLost { line },
            // Stock that is gone or holds nothing of the order has nothing left to give back or let go.
            (Err(_), StockAction::Release) => OrderCommand::LineReleased { line },
            (Err(_), StockAction::Fulfill) => OrderCommand::LineFulfilled { line },
        }
    }

    /// A gateway call of this order got no answer: forget that it was asked, and ask again after a while.
    pub(super) fn gateway_failed(&mut self, order: OrderId, call: GatewayCall) {
        let Some(pursuit) = self.pursuits.get_mut(&order) else { return };
        pursuit.asked.retain(|step| *step != StepId::Gateway(call));
        pursuit.asked_before = true;
        pursuit.failures = pursuit.failures.saturating_add(1);
        let delay_ms = self.parts.backoff.delay_ms(GatewayKey { order, call }, pursuit.failures);
        let at = self.now.saturating_add_millis(i64::try_from(delay_ms).unwrap_or(i64::MAX));
        self.retry_at(order, at);
    }

    /// Pursues the orders whose time has come again, up to a limit: most of them record nothing, and only ask.
    pub(super) fn run_retries(&mut self) {
        for _ in 0..DUE_PER_TURN {
            let Some((due, order)) = self.retries.first().copied() else { break };
            if due > self.now || self.is_half_full() {
                break;
            }
            self.retries.pop_first();
            if let Some(pursuit) = self.pursuits.get_mut(&order) {
                pursuit.retry_at = None;
                pursuit.asked.retain(|step| matches!(step, StepId::Gateway(_)));
                let handled = self.guarded(EntityId::Order(order), |shard| {
                    shard.pursue(order);
                    Ok(Reply::Done)
                });
                if let Err(error) = handled {
                    tracing::error!(%order, %error, "an order could not be pursued");
                    let again = self.now.saturating_add_millis(self.parts.settings.step_retry_ms);
                    self.retry_at(order, again);
                }
            }
        }
    }

    /// What a panic has kept from leaving was not asked: it is asked for again after a while.
    pub(super) fn forget_asked(&mut self, unsent: &[Outgoing]) {
        for item in unsent {
            let (order, step) = match item {
                Outgoing::Gateway(request) => (request.key.order, StepId::Gateway(request.key.call)),
                Outgoing::Message { message: Message::StockStep { hold, action, .. }, .. } => {
                    (hold.order, StepId::Stock(hold.line, *action))
                }
                _ => continue,
            };
            if let Some(pursuit) = self.pursuits.get_mut(&order) {
                pursuit.asked.retain(|asked| *asked != step);
                let again = self.now.saturating_add_millis(self.parts.settings.step_retry_ms);
                self.retry_at(order, again);
            }
        }
    }

    fn ask_once(&mut self, order: OrderId, step: Step) {
        let id = StepId::of(&step);
        let pursuit = self.pursuits.entry(order).or_default();
        if pursuit.asked.contains(&id) {
            return;
        }
        pursuit.asked.push(id);
        match step {
            Step::Stock { sku, hold, action } => {
                let to = self.home_of(&sku);
                self.staged
                    .output
                    .outgoing
                    .push(Outgoing::Message { to, message: Message::StockStep { hold, sku, action } });
                let again = self.now.saturating_add_millis(self.parts.settings.step_retry_ms);
                self.retry_at(order, again);
            }
            step @ Step::Gateway { .. } => {
                let request = GatewayRequest::from_step(step, pursuit.asked_before);
                self.staged.output.outgoing.extend(request.map(Outgoing::Gateway));
            }
        }
    }

    fn retry_at(&mut self, order: OrderId, at: Timestamp) {
        let Some(pursuit) = self.pursuits.get_mut(&order) else { return };
        if let Some(before) = pursuit.retry_at.replace(at) {
            self.retries.remove(&(before, order));
        }
        self.retries.insert((at, order));
    }

    fn end_pursuit(&mut self, order: OrderId) {
        if let Some(at) = self.pursuits.remove(&order).and_then(|pursuit| pursuit.retry_at) {
            self.retries.remove(&(at, order));
        }
    }

    fn is_here_and_ready(&self, sku: &SkuId) -> bool {
        self.home_of(sku) == self.parts.id && self.tables.stock.is_ready(sku)
    }
}

/// Whether a command may be the answer to a gateway call.
fn is_answer_to(command: &OrderCommand, call: GatewayCall) -> bool {
    match command {
        OrderCommand::RecordAuthorization(_) => call == GatewayCall::Authorize,
        // To a void too: what is captured cannot be voided.
        OrderCommand::RecordCapture(SettlementOutcome::Done) => {
            matches!(call, GatewayCall::Capture | GatewayCall::Void)
        }
        OrderCommand::RecordCapture(SettlementOutcome::Failed { .. }) => call == GatewayCall::Capture,
        OrderCommand::RecordVoid => call == GatewayCall::Void,
        OrderCommand::RecordRefund { refund, .. } => call == GatewayCall::Refund(*refund),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_void_is_answered_by_what_was_captured_and_not_by_a_capture_that_failed() {
        let failed = SettlementOutcome::Failed { reason: String::from("capture_declined") };
        assert!(is_answer_to(&OrderCommand::RecordCapture(SettlementOutcome::Done), GatewayCall::Void));
        assert!(is_answer_to(&OrderCommand::RecordCapture(SettlementOutcome::Done), GatewayCall::Capture));
        assert!(!is_answer_to(&OrderCommand::RecordCapture(failed), GatewayCall::Void));
        assert!(!is_answer_to(&OrderCommand::RecordVoid, GatewayCall::Capture));
    }
}
