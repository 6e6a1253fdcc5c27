//! Lines of other shards: held there first, in parallel, before the order is placed at home, and given back when it is not.

use futures_util::future::join_all;
use holdfast_core::{CustomerId, HoldId, OrderId, Timestamp, order::OrderRejection};

use super::{Checkout, CheckoutError, CheckoutOutcome, CheckoutRequest};
use crate::{
    error::{CommandError, Rejection},
    key::KeyGuard,
    message::{Message, PlaceLine, Reply, Request},
    router::ask,
};

impl Checkout {
    /// Holds what lives in other shards (for lines of one shard, nothing), then places the order at home. The key stays taken until what was held for
    /// nothing is on its way back, so that a retry does not take over a hold that is about to go.
    pub(super) async fn place_with_remote_holds(
        &self,
        request: CheckoutRequest,
        mut lines: Vec<PlaceLine>,
        deadline: Timestamp,
        _guard: KeyGuard,
    ) -> Result<CheckoutOutcome, CheckoutError> {
        let order = self.order_of(&request, &lines)?;
        if !self.is_one_shard(&lines) {
            // An order of this key needs no holds; asking first keeps a retry from taking units it would not use.
            match ask(self.router.as_ref(), order.slot(), Request::ReadOrder(order), None).await {
                Ok(_) => return self.replay(order, &request, &lines).await,
                Err(CommandError::Rejected(Rejection::Order(OrderRejection::NotFound))) => {}
                Err(error) => return Err(error.into()),
            }
            self.hold_elsewhere(order, request.customer.as_ref(), &mut lines).await?;
        }
        let held = held_elsewhere(order, &lines);
        let outcome = self.place(request, order, lines, deadline, None).await;
        // Only the home shard knows that there is no order, neither of this attempt nor of an earlier one, whose holds these
        // are as well. Where it did not decide, they lapse by themselves.
        let is_refused = |error: &CheckoutError| matches!(error, CheckoutError::Command(error) if error.is_decision());
        if outcome.as_ref().is_err_and(is_refused) {
            self.give_back(held);
        }
        outcome
    }

    /// Holds every line that lives in another shard, in parallel: all of them or none.
    async fn hold_elsewhere(
        &self,
        order: OrderId,
        customer: Option<&CustomerId>,
        lines: &mut [PlaceLine],
    ) -> Result<(), CheckoutError> {
        let home = self.router.shards().shard_of(order.slot());
        let is_elsewhere = |line: &PlaceLine| self.router.shards().shard_of(line.sku.slot()) != home;
        let requests = lines.iter().zip(0_u16..).filter(|(line, _)| is_elsewhere(line)).map(|(line, number)| {
            let (sku, quantity, customer) = (line.sku.clone(), line.quantity, customer.cloned());
            let slot = sku.slot();
            let request = Request::HoldLine { hold: HoldId { order, line: number }, sku, quantity, customer };
            async move { (number, ask(self.router.as_ref(), slot, request, None).await) }
        });
        let answers = join_all(requests).await;
        let mut refusal = None;
        for (number, answer) in answers {
            match (answer, lines.get_mut(usize::from(number))) {
                (Ok(Reply::Held(held)), Some(line)) => line.held = Some(held),
                (Err(error), _) => refusal = refusal.or(Some(error)),
                (Ok(_), _) => refusal = refusal.or(Some(self.unknown())),
            }
        }
        match refusal {
            None => Ok(()),
            Some(error) => {
                self.give_back(held_elsewhere(order, lines));
                Err(error.into())
            }
        }
    }

    fn give_back(&self, held: Vec<Message>) {
        for message in held {
            if let Message::ReleaseHold { sku, .. } = &message {
                let shard = self.router.shards().shard_of(sku.slot());
                self.router.send(shard, message);
            }
        }
    }
}

/// What is to be said to give back what was held.
fn held_elsewhere(order: OrderId, lines: &[PlaceLine]) -> Vec<Message> {
    let give_back = |(line, number): (&PlaceLine, u16)| {
        let (sku, hold) = (line.sku.clone(), HoldId { order, line: number });
        line.held.map(|held| Message::ReleaseHold { sku, hold, expires_at: held.expires_at })
    };
    lines.iter().zip(0_u16..).filter_map(give_back).collect()
}
