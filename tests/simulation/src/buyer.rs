//! A buyer: checks out under one key until there is an answer, asks again under it later, sometimes uses it for something
//! else, sometimes cancels. What was answered once must be answered again.

use holdfast_actors::{CheckoutError, CheckoutOutcome, CheckoutRequest, CheckoutSource, CommandError, Rejection};
use holdfast_core::{
    BuyerId, CartId, CustomerId, OrderId, Quantity, SkuId,
    cart::CartRejection,
    order::{CancelReason, OrderStatus, PaymentToken, Placement},
};

use crate::{cart, dice::mixed, gateway::low, merchant, outside::Outside, violation::Promise};

/// What a buyer wants, and how they are.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "habits, each by itself")]
pub(crate) struct Plan {
    pub(crate) number: u64,
    pub(crate) arrives_ms: i64,
    pub(crate) lines: Vec<(SkuId, Quantity)>,
    pub(crate) customer: Option<CustomerId>,
    pub(crate) declined: bool,
    /// How long a request may take, in milliseconds.
    pub(crate) patience_ms: i64,
    /// How often they try before they go.
    pub(crate) attempts: u32,
    pub(crate) cancels: bool,
    pub(crate) returns: bool,
    pub(crate) misuses: bool,
    /// They fill a cart first.
    pub(crate) has_cart: bool,
}

/// How a checkout ended.
enum Ended {
    Placed(OrderId),
    Refused,
    GaveUp,
}

impl Plan {
    /// A cart's id is a digest to the node: here the buyer's number, well mixed.
    pub(crate) fn cart(&self) -> CartId {
        CartId::from_u128(u128::from(mixed(self.number ^ 0xcafe)) | (u128::from(self.number) << 64))
    }

    fn request(&self) -> Option<CheckoutRequest> {
        let token = if self.declined { "tok_decline" } else { "tok_ok" };
        Some(CheckoutRequest {
            key_digest: u128::from(mixed(self.number.wrapping_add(77))) << 16,
            buyer: BuyerId::from_u128(u128::from(self.number)),
            customer: self.customer.clone(),
            source: CheckoutSource::Lines(self.lines.clone()),
            payment_token: PaymentToken::parse(token).ok()?,
            fingerprint: if self.has_cart { u128::from(self.number) << 1 | 1 } else { Placement::OF_LINES },
        })
    }
}

/// The life of a buyer.
pub(crate) async fn live(outside: Outside, plan: Plan) {
    outside.tasks.wait(plan.arrives_ms).await;
    let Some(mut request) = plan.request() else { return };
    let mut plan = plan;
    outside.trace.note("buyer: arrives", plan.number, plan.lines.len() as u64);
    if plan.has_cart {
        let Some((lines, version)) = cart::fill(&outside, &plan).await else { return };
        outside.count(|figures| figures.carts += 1);
        plan.lines = lines;
        let expected_version = outside.dice.coin().then_some(version);
        request.source = CheckoutSource::Cart { cart: plan.cart(), expected_version };
    }
    let Ended::Placed(order) = check_out(&outside, &plan, &request).await else { return };
    outside.count(|figures| figures.orders += 1);
    if plan.has_cart {
        outside.book.open().converted.push((plan.cart(), order));
    }
    outside.start(merchant::see_to(outside.clone(), order));
    if plan.cancels {
        outside.pause(0, 900_000).await;
        cancel(&outside, order).await;
    }
    if plan.misuses {
        outside.pause(0, 30_000).await;
        misuse(&outside, &plan, &request, order).await;
    }
    if plan.returns {
        outside.pause(1_000, 1_800_000).await;
        if let Ended::Placed(again) = check_out(&outside, &plan, &request).await {
            outside.count(|figures| figures.replays += 1);
            if again != order {
                outside.violation(Promise::Acknowledged, format!("one key made {order} and {again}"));
            }
        } else if outside.is_calm() {
            outside.violation(Promise::Acknowledged, format!("{order} was not found again under its key"));
        }
    }
}

async fn check_out(outside: &Outside, plan: &Plan, request: &CheckoutRequest) -> Ended {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let wanted = request.clone();
        let answer = outside.ask(plan.patience_ms, |commerce| async move { commerce.checkout(wanted).await }).await;
        match answer {
            Some(Ok(outcome)) => return placed(outside, plan, request, &outcome),
            Some(Err(error)) if is_final(&error) => {
                outside.trace.note("buyer: refused", plan.number, u64::from(attempt));
                outside.count(|figures| figures.refusals += 1);
                return Ended::Refused;
            }
            Some(Err(CheckoutError::KeyReused)) => {
                let what = format!("buyer {} was told that their own key is another's", plan.number);
                outside.violation(Promise::Acknowledged, what);
                return Ended::Refused;
            }
            Some(Err(_)) => outside.count(|figures| figures.put_off += 1),
            None => {}
        }
        if attempt >= plan.attempts && !outside.is_calm() {
            return Ended::GaveUp;
        }
        outside.pause(50, 8_000).await;
    }
}

fn placed(outside: &Outside, plan: &Plan, request: &CheckoutRequest, outcome: &CheckoutOutcome) -> Ended {
    let order = &outcome.order;
    outside.trace.note("buyer: has an order", plan.number, low(order.id()));
    outside.saw_order(order);
    let right = order.placement().is_some_and(|placement| {
        let lines: Vec<_> = placement.lines.iter().map(|line| (line.sku.clone(), line.quantity)).collect();
        placement.buyer == request.buyer && placement.fingerprint == request.fingerprint && lines == plan.lines
    });
    if !right {
        let what = format!("buyer {} asked for {:?} and got {:?}", plan.number, plan.lines, order.placement());
        outside.violation(Promise::Acknowledged, what);
    }
    Ended::Placed(order.id())
}

/// Whether asking again would be answered the same.
fn is_final(error: &CheckoutError) -> bool {
    match error {
        // Locked by an attempt whose outcome is unknown: it opens, or the order is there.
        CheckoutError::Command(CommandError::Rejected(Rejection::Cart(CartRejection::CheckingOut { .. }))) => false,
        CheckoutError::Command(CommandError::Rejected(_)) => true,
        _ => false,
    }
}

async fn cancel(outside: &Outside, order: OrderId) {
    for _ in 0..6 {
        let reason = CancelReason::Buyer;
        let answer =
            outside.ask(10_000, |commerce| async move { commerce.cancel_order(order, reason, None).await }).await;
        match answer {
            Some(Ok(order)) => {
                outside.saw_order(&order);
                outside.count(|figures| figures.cancels += 1);
                let ended = matches!(order.status(), OrderStatus::Canceled | OrderStatus::Expired);
                if !ended {
                    let what = format!("{} was canceled and is {}", order.id(), order.status());
                    outside.violation(Promise::State, what);
                }
                return;
            }
            Some(Err(CommandError::Rejected(_))) => return,
            Some(Err(_)) | None => outside.pause(100, 5_000).await,
        }
    }
}

/// The same key for other goods: refused, and the first order stays alone.
async fn misuse(outside: &Outside, plan: &Plan, request: &CheckoutRequest, order: OrderId) {
    let mut other = request.clone();
    match &mut other.source {
        // Another first line, and so another order, perhaps in another shard; or more of the same.
        CheckoutSource::Lines(lines) if lines.len() > 1 && plan.number.is_multiple_of(2) => lines.rotate_left(1),
        CheckoutSource::Lines(lines) => lines.extend(lines.first().cloned()),
        CheckoutSource::Cart { .. } => other.fingerprint = request.fingerprint.wrapping_add(1),
    }
    let answer = outside.ask(10_000, |commerce| async move { commerce.checkout(other).await }).await;
    match answer {
        Some(Ok(_)) => {
            let what = format!("the key of {order} was taken for another request of buyer {}", plan.number);
            outside.violation(Promise::Acknowledged, what);
        }
        Some(Err(CheckoutError::KeyReused)) => outside.count(|figures| figures.misuses += 1),
        Some(Err(_)) | None => {}
    }
}
