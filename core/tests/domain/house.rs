//! A house to try orders in: real stock, a real order, and a gateway that remembers what it did under each key. It can be
//! told to answer late, twice, or never.

use std::collections::BTreeMap;

use holdfast_core::{
    HoldId, SkuId, Timestamp,
    order::{
        AuthorizationOutcome, CapturePolicy, GatewayCall, GatewayKey, Order, OrderCommand, SettlementOutcome, Step,
        StockAction,
    },
    stock::{StockCommand, StockItem, StockRejection},
};

use crate::given::{ORDER, at, placement, tell, units};

/// What the gateway is going to say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    pub(crate) approves: bool,
    pub(crate) captures: bool,
    pub(crate) refunds: bool,
}

impl Script {
    pub(crate) const KIND: Self = Self { approves: true, captures: true, refunds: true };
}

#[derive(Debug)]
pub(crate) struct Gateway {
    script: Script,
    answers: BTreeMap<GatewayKey, OrderCommand>,
    pub(crate) authorized: bool,
    pub(crate) voided: bool,
    pub(crate) captures: u32,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
}

#[derive(Debug)]
pub(crate) struct House {
    pub(crate) order: Order,
    pub(crate) stock: BTreeMap<SkuId, StockItem>,
    pub(crate) gateway: Gateway,
    pub(crate) now: i64,
    /// Whether every line was allocated when the money was taken.
    pub(crate) captured_unallocated: bool,
}

impl Gateway {
    const fn new(script: Script) -> Self {
        let answers = BTreeMap::new();
        Self { script, answers, authorized: false, voided: false, captures: 0, captured: 0, refunded: 0 }
    }

    /// Does what the call asks, once per key; a repeat hears the same answer.
    fn call(&mut self, key: GatewayKey, amount: i64) -> OrderCommand {
        if let Some(answer) = self.answers.get(&key) {
            return answer.clone();
        }
        let answer = self.act(key.call, amount);
        self.answers.insert(key, answer.clone());
        answer
    }

    fn act(&mut self, call: GatewayCall, amount: i64) -> OrderCommand {
        let refused = || String::from("refused");
        let settled = |done: bool| {
            if done { SettlementOutcome::Done } else { SettlementOutcome::Failed { reason: refused() } }
        };
        match call {
            GatewayCall::Authorize => {
                self.authorized = self.script.approves && !self.voided;
                OrderCommand::RecordAuthorization(if self.authorized {
                    AuthorizationOutcome::Approved { reference: "auth_1".into() }
                } else {
                    AuthorizationOutcome::Declined { reason: refused() }
                })
            }
            GatewayCall::Capture => {
                let done = self.script.captures && self.authorized && !self.voided;
                if done {
                    self.captures += 1;
                    self.captured += amount;
                }
                OrderCommand::RecordCapture(settled(done))
            }
            // What was captured cannot be voided: the answer says so.
            GatewayCall::Void if self.captured > 0 => OrderCommand::RecordCapture(SettlementOutcome::Done),
            GatewayCall::Void => {
                self.voided = true;
                OrderCommand::RecordVoid
            }
            GatewayCall::Refund(refund) => {
                if self.script.refunds {
                    self.refunded += amount;
                }
                OrderCommand::RecordRefund { refund, outcome: settled(self.script.refunds) }
            }
        }
    }
}

impl House {
    /// An order placed at 0 and payable until 100, its units held until `holds_until`.
    pub(crate) fn with_order(capture: CapturePolicy, script: Script, holds_until: i64) -> Self {
        let mut order = Order::new(ORDER);
        tell(&mut order, OrderCommand::Place(placement(capture).into()), at(0)).unwrap();
        let mut stock = BTreeMap::new();
        for (line, sold) in (0..).zip(placement(capture).lines) {
            let mut item = StockItem::new(sold.sku.clone());
            let receive = StockCommand::Receive { quantity: units(5), expected_version: None };
            tell(&mut item, receive, at(0)).unwrap();
            let hold = HoldId { order: ORDER, line };
            let hold =
                StockCommand::Hold { hold, quantity: sold.quantity, expires_at: at(holds_until), customer: None };
            tell(&mut item, hold, at(0)).unwrap();
            stock.insert(sold.sku, item);
        }
        Self { order, stock, gateway: Gateway::new(script), now: 0, captured_unallocated: false }
    }

    pub(crate) fn time(&self) -> Timestamp {
        at(self.now)
    }

    /// Does what one step asks of others and returns their answer, which nobody has told the order yet.
    pub(crate) fn perform(&mut self, step: &Step) -> OrderCommand {
        let now = self.time();
        match step {
            Step::Gateway { key, amount, .. } => {
                let before = self.gateway.captured;
                let answer = self.gateway.call(*key, amount.minor());
                self.captured_unallocated |= self.gateway.captured > before && !self.all_lines_promised();
                answer
            }
            Step::Stock { sku, hold, action } => {
                let (hold, line) = (*hold, hold.line);
                let stock = self.stock.get_mut(sku).unwrap();
                match action {
                    StockAction::Allocate => match tell(stock, StockCommand::Allocate { hold }, now) {
                        Ok(_) => OrderCommand::LineAllocated { line },
                        Err(StockRejection::HoldGone) => OrderCommand::LineLost { line },
                        Err(other) => panic!("{other}"),
                    },
                    StockAction::Release => {
                        tell(stock, StockCommand::Release { hold }, now).unwrap();
                        OrderCommand::LineReleased { line }
                    }
                    StockAction::Fulfill => {
                        tell(stock, StockCommand::Fulfill { hold }, now).unwrap();
                        OrderCommand::LineFulfilled { line }
                    }
                }
            }
        }
    }

    /// Tells the order, which may refuse.
    pub(crate) fn tell(&mut self, command: OrderCommand) -> bool {
        let now = self.time();
        tell(&mut self.order, command, now).is_ok()
    }

    pub(crate) fn lapse(&mut self) {
        let now = self.time();
        for stock in self.stock.values_mut() {
            tell(stock, StockCommand::Lapse, now).unwrap();
        }
    }

    /// Performs and answers every step until none is left, and fails when that takes for ever.
    pub(crate) fn settle(&mut self) {
        for _ in 0..20 {
            let steps = self.order.next_steps();
            if steps.is_empty() {
                return;
            }
            for step in steps {
                let answer = self.perform(&step);
                assert!(self.tell(answer.clone()), "{answer:?} refused");
            }
        }
        panic!("steps that never end: {:?}", self.order.next_steps());
    }

    /// What the buyer has paid, in minor units.
    pub(crate) const fn charged(&self) -> i64 {
        self.gateway.captured - self.gateway.refunded
    }

    /// Whether every line is allocated or out of the house.
    pub(crate) fn all_lines_promised(&self) -> bool {
        (0..)
            .zip(self.stock_in_order())
            .all(|(line, stock)| stock.is_allocated(&HoldId { order: ORDER, line }) || stock.level().fulfilled > 0)
    }

    /// Units still tied to the order, and units it took out of the house.
    pub(crate) fn units(&self) -> (u64, u64) {
        let levels = self.stock.values().map(StockItem::level);
        levels.fold((0, 0), |(tied, gone), level| (tied + level.held + level.allocated, gone + level.fulfilled))
    }

    fn stock_in_order(&self) -> impl Iterator<Item = &StockItem> {
        let lines = &self.order.placement().unwrap().lines;
        lines.iter().map(|line| &self.stock[&line.sku])
    }
}
