//! A checkout from a cart: the cart is locked for the order first, and completed or opened again after.

use futures_util::future::join_all;
use holdfast_core::{
    CartId, Entity, OrderId, Quantity, SkuId, Timestamp,
    cart::{Cart, CartCommand, CartLine, CartRejection, CartState},
};

use super::{Checkout, CheckoutError, CheckoutOutcome, CheckoutRequest, lines::add_up};
use crate::{
    error::{CommandError, Effect, Rejection},
    key::KeyGuard,
    message::{Reply, Request},
    reads,
    router::ask,
};

/// How locking a cart ended.
enum Lock {
    /// The cart waits for this order.
    Taken(Locked),
    /// The cart is this key's order already.
    Converted(OrderId),
}

/// A cart that is locked for an order.
struct Locked {
    contents: Box<Cart>,
    order: OrderId,
    /// The attempt's end: no order comes to be after it.
    deadline: Timestamp,
    /// Whether an earlier attempt of the same key had locked it, and may have made the order.
    is_shared: bool,
}

impl Checkout {
    /// Makes the cart the order of this request's key, or finds that it is that already.
    pub(super) async fn place_cart(
        &self,
        request: CheckoutRequest,
        cart: CartId,
        expected_version: Option<u64>,
        guard: KeyGuard,
    ) -> Result<CheckoutOutcome, CheckoutError> {
        // An order of this key decides alone: the cart may have been changed, merged or gone since.
        if let Some(order) = self.views.order_of_key(request.key_digest) {
            let outcome = self.replay(order, &request, &[]).await?;
            self.tell_cart(cart, CartCommand::CompleteCheckout { order }).await;
            return Ok(outcome);
        }
        let Locked { contents, order, deadline, is_shared } =
            match self.lock_cart(&request, cart, expected_version).await? {
                Lock::Taken(locked) => locked,
                Lock::Converted(order) => return self.replay(order, &request, &[]).await,
            };
        let outcome = self.place_cart_lines(request, &contents, deadline, guard).await;
        match &outcome {
            Ok(_) => self.tell_cart(cart, CartCommand::CompleteCheckout { order }).await,
            // The order may yet come to be, of this attempt or of the one whose lock it shares. The cart stays locked until
            // the attempt's deadline and asks then.
            Err(error) if is_shared || error.effect() == Effect::Unknown => {}
            Err(_) => self.tell_cart(cart, CartCommand::AbandonCheckout { order }).await,
        }
        outcome
    }

    /// Locks the cart for the order that this request makes of it.
    async fn lock_cart(
        &self,
        request: &CheckoutRequest,
        cart: CartId,
        expected_version: Option<u64>,
    ) -> Result<Lock, CheckoutError> {
        let until = self.deadline();
        loop {
            let read = ask(self.router.as_ref(), cart.slot(), Request::ReadCart(cart), None).await?;
            let Reply::Cart(contents) = read else { return Err(CommandError::from(CartRejection::NotFound).into()) };
            let first = contents.lines().first().ok_or(CommandError::from(CartRejection::Empty))?;
            let order = OrderId::from_key(request.key_digest, first.sku.slot());
            // The version read here, unless the client named one: the order is of the lines just read or of none.
            let version = expected_version.or(Some(contents.version()));
            let lock = CartCommand::BeginCheckout { order, deadline: until, expected_version: version };
            match ask(self.router.as_ref(), cart.slot(), Request::Cart { cart, command: lock }, None).await {
                Ok(reply) => {
                    let deadline = deadline_of(&reply).unwrap_or(until);
                    return Ok(Lock::Taken(Locked { contents, order, deadline, is_shared: deadline != until }));
                }
                // This key's order exists but was not yet in the views, or an earlier attempt of it still holds the lock.
                Err(CommandError::Rejected(Rejection::Cart(CartRejection::Converted { order: made })))
                    if made == order =>
                {
                    return Ok(Lock::Converted(order));
                }
                // It changed since it was read a moment ago, and the client did not say which version it meant.
                Err(CommandError::Rejected(Rejection::Cart(CartRejection::StaleVersion { .. })))
                    if expected_version.is_none() && self.clock.now() < until => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn place_cart_lines(
        &self,
        request: CheckoutRequest,
        contents: &Cart,
        deadline: Timestamp,
        guard: KeyGuard,
    ) -> Result<CheckoutOutcome, CheckoutError> {
        let look = |line: &CartLine| {
            let sku = line.sku.clone();
            async move { reads::product(self.router.as_ref(), &self.views, &sku).await }
        };
        for product in join_all(contents.lines().iter().map(look)).await {
            match product {
                Ok(product) if product.details.price.currency() == contents.currency() => {}
                Ok(_) => return Err(CheckoutError::MixedCurrencies),
                // Its shard says so in the words of the order.
                Err(CommandError::Rejected(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let lines: Vec<(SkuId, Quantity)> =
            contents.lines().iter().map(|line| (line.sku.clone(), line.quantity)).collect();
        self.place_with_remote_holds(request, add_up(&lines, self.settings.max_order_lines)?, deadline, guard).await
    }

    async fn tell_cart(&self, cart: CartId, command: CartCommand) {
        let told = ask(self.router.as_ref(), cart.slot(), Request::Cart { cart, command }, None).await;
        if let Err(error) = told {
            // Its own deadline makes the cart ask what became of the order.
            tracing::debug!(%cart, %error, "a cart was not told of its checkout");
        }
    }
}

/// Until when a locked cart waits. An earlier attempt of the same key may have locked it: its deadline is then this attempt's
/// too, so that no order can come to be after the cart has opened again.
fn deadline_of(locked: &Reply) -> Option<Timestamp> {
    match locked {
        Reply::Cart(cart) => match cart.state() {
            CartState::CheckingOut { deadline, .. } => Some(deadline),
            _ => None,
        },
        _ => None,
    }
}
