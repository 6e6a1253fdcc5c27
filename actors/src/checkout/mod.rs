//! A checkout, from the request to the placed order.
//!
//! All lines in one shard: one request to it, one turn, one durable write. Lines in several: those elsewhere are held
//! first, in parallel, under deterministic ids with a time to live; then the home shard (that of the first line) holds its
//! own and places the order. If anything refuses, what was held is given back; if this node dies in between, it lapses.
//!
//! From a cart, the cart is locked for this order first and completed or opened again after.

mod cart;
mod error;
mod lines;
mod remote_holds;
mod sold_out;

use std::sync::Arc;

use holdfast_core::{
    BuyerId, CartId, CustomerId, OrderId, Quantity, SkuId, Timestamp,
    order::{Order, OrderRejection, PaymentToken, Placement},
};
use tokio::sync::oneshot;

pub use self::error::CheckoutError;
use self::lines::add_up;
use crate::{
    background::Background,
    clock::Clock,
    error::{CommandError, Rejection, Unavailable},
    key::{KeyGuard, KeysInFlight},
    message::{Place, PlaceLine, Reply, Request, named},
    router::{Router, ask},
    settings::RuntimeSettings,
    view::Views,
};

/// What a buyer asks for.
#[derive(Debug, Clone)]
pub struct CheckoutRequest {
    /// Digest of the idempotency key and its scope. Its low 16 bits do not count.
    pub key_digest: u128,
    /// Who may read the order.
    pub buyer: BuyerId,
    /// Who per-customer limits count for.
    pub customer: Option<CustomerId>,
    /// What is to be ordered.
    pub source: CheckoutSource,
    /// How it is paid.
    pub payment_token: PaymentToken,
    /// Digest of a request for a cart's lines: the same key with another is refused. [`Placement::OF_LINES`] where it names its lines,
    /// which are compared themselves.
    pub fingerprint: u128,
}

/// Where the lines of an order come from.
#[derive(Debug, Clone)]
pub enum CheckoutSource {
    /// From the request itself. Lines of one SKU are added up.
    Lines(Vec<(SkuId, Quantity)>),
    /// From a cart, which becomes this order and no other.
    Cart {
        /// Which cart.
        cart: CartId,
        /// The version an `If-Match` saw.
        expected_version: Option<u64>,
    },
}

/// A placed order.
#[derive(Debug)]
pub struct CheckoutOutcome {
    /// The order, as of its last durable change that this request saw.
    pub order: Order,
    /// Whether an earlier request of the same key had placed it.
    pub replayed: bool,
}

/// Runs checkouts.
#[derive(Clone)]
pub(crate) struct Checkout {
    pub(crate) router: Arc<dyn Router>,
    pub(crate) views: Arc<Views>,
    pub(crate) keys: KeysInFlight,
    pub(crate) clock: Clock,
    pub(crate) settings: Arc<RuntimeSettings>,
    pub(crate) background: Arc<dyn Background>,
}

impl Checkout {
    pub(crate) async fn run(&self, request: CheckoutRequest) -> Result<CheckoutOutcome, CheckoutError> {
        let guard = self.keys.take(request.key_digest).ok_or(CheckoutError::KeyInFlight)?;
        match &request.source {
            CheckoutSource::Lines(lines) => {
                let lines = add_up(lines, self.settings.max_order_lines)?;
                let deadline = self.deadline();
                if self.is_one_shard(&lines) {
                    return self.place_here(request, lines, deadline, guard).await;
                }
                let place = |checkout: Self| async move {
                    checkout.place_with_remote_holds(request, lines, deadline, guard).await
                };
                self.detached(place).await
            }
            CheckoutSource::Cart { cart, expected_version } => {
                let (cart, expected_version) = (*cart, *expected_version);
                let place =
                    |checkout: Self| async move { checkout.place_cart(request, cart, expected_version, guard).await };
                self.detached(place).await
            }
        }
    }

    /// Runs what takes several steps to its end even when the client hangs up, so that no step is left half done.
    async fn detached<F>(&self, steps: impl FnOnce(Self) -> F) -> Result<CheckoutOutcome, CheckoutError>
    where
        F: Future<Output = Result<CheckoutOutcome, CheckoutError>> + Send + 'static,
    {
        let steps = steps(self.clone());
        let (sender, outcome) = oneshot::channel();
        self.background.run(Box::pin(async move {
            // A client that hung up needs no outcome.
            let _ = sender.send(steps.await);
        }));
        // Gone without a word, by a panic or the end of the process: what it did stands.
        outcome.await.unwrap_or_else(|_| Err(self.unknown().into()))
    }

    async fn place_here(
        &self,
        request: CheckoutRequest,
        lines: Vec<PlaceLine>,
        deadline: Timestamp,
        guard: KeyGuard,
    ) -> Result<CheckoutOutcome, CheckoutError> {
        let order = self.order_here(&request, &lines)?;
        if let Some(refusal) = self.sold_out(&request, order, &lines) {
            return Err(refusal.into());
        }
        self.place(request, order, lines, deadline, Some(guard)).await
    }

    async fn place(
        &self,
        request: CheckoutRequest,
        order: OrderId,
        lines: Vec<PlaceLine>,
        deadline: Timestamp,
        guard: Option<KeyGuard>,
    ) -> Result<CheckoutOutcome, CheckoutError> {
        let place = Place {
            order,
            buyer: request.buyer,
            customer: request.customer,
            lines,
            payment_token: request.payment_token,
            fingerprint: request.fingerprint,
            deadline,
        };
        let outcome = ask(self.router.as_ref(), order.slot(), Request::Place(Box::new(place)), guard).await;
        match outcome {
            Ok(Reply::Placed { order, replayed }) => Ok(CheckoutOutcome { order, replayed }),
            Ok(_) => Err(self.unknown().into()),
            Err(CommandError::Rejected(Rejection::Order(OrderRejection::FingerprintMismatch))) => {
                Err(CheckoutError::KeyReused)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The order that the request's key has made, if that was for the same: these lines, where it names any.
    async fn replay(
        &self,
        order: OrderId,
        request: &CheckoutRequest,
        lines: &[PlaceLine],
    ) -> Result<CheckoutOutcome, CheckoutError> {
        let CheckoutRequest { buyer, customer, payment_token, fingerprint, .. } = request;
        let is_same =
            |placed: &Placement| placed.is_for(*buyer, customer.as_ref(), payment_token, *fingerprint, named(lines));
        match ask(self.router.as_ref(), order.slot(), Request::ReadOrder(order), None).await? {
            Reply::Order(order) if order.placement().is_some_and(is_same) => {
                Ok(CheckoutOutcome { order, replayed: true })
            }
            _ => Err(CheckoutError::KeyReused),
        }
    }

    /// The order this request makes, all in one shard. Where all shards are of this node, its shard will see itself whether the key has
    /// made another ([`reused_keys`](crate::reused_keys)); where they move, another node may not have heard of that one yet.
    fn order_here(&self, request: &CheckoutRequest, lines: &[PlaceLine]) -> Result<OrderId, CheckoutError> {
        if !self.router.has_every_shard() {
            return self.order_of(request, lines);
        }
        let first = lines.first().ok_or(CheckoutError::NoLines)?;
        Ok(OrderId::from_key(request.key_digest, first.sku.slot()))
    }

    /// The order this request makes; refused when its key has made one that lives elsewhere.
    fn order_of(&self, request: &CheckoutRequest, lines: &[PlaceLine]) -> Result<OrderId, CheckoutError> {
        let first = lines.first().ok_or(CheckoutError::NoLines)?;
        let order = OrderId::from_key(request.key_digest, first.sku.slot());
        match self.views.order_of_key(request.key_digest) {
            Some(made) if made != order => Err(CheckoutError::KeyReused),
            _ => Ok(order),
        }
    }

    fn is_one_shard(&self, lines: &[PlaceLine]) -> bool {
        if lines.len() <= 1 {
            return true;
        }
        let shards = self.router.shards();
        let mut homes = lines.iter().map(|line| shards.shard_of(line.sku.slot()));
        let first = homes.next();
        homes.all(|home| Some(home) == first)
    }

    /// Nobody can say whether it was done.
    fn unknown(&self) -> CommandError {
        CommandError::Unavailable { reason: Unavailable::Unknown, retry_after_ms: self.settings.retry_after_ms }
    }

    fn deadline(&self) -> Timestamp {
        self.clock.now().saturating_add_millis(self.settings.checkout_deadline_ms)
    }
}
