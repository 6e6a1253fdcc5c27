//! A checkout, from the request to the placed order.
//!
//! All lines in one shard: one request to it, one turn, one durable write. Lines in several: those elsewhere are held
//! first, in parallel, under deterministic ids with a time to live; then the home shard (that of the first line) holds its
//! own and places the order. If anything refuses, what was held is given back; if this node dies in between, it lapses.
//!
//! From a cart, the cart is locked for this order first and completed or opened again after.

use std::sync::Arc;

use futures_util::future::join_all;
use holdfast_core::{
    BuyerId, CartId, CustomerId, Entity, HoldId, OrderId, Quantity, SkuId, Timestamp,
    cart::{Cart, CartCommand, CartLine, CartRejection, CartState},
    order::{Order, OrderRejection, PaymentToken},
    stock::{SalePolicy, StockRejection},
};
use tokio::sync::oneshot;

use crate::{
    background::Background,
    clock::Clock,
    error::{CommandError, Rejection, Unavailable},
    key::{KeyGuard, KeysInFlight},
    message::{Message, Place, PlaceLine, Reply, Request},
    reads,
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
    /// Digest of the request's content: the same key with another is refused.
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

/// Why there is no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckoutError {
    /// A request of the same key is under way.
    #[error("a request with this idempotency key is under way")]
    KeyInFlight,
    /// The key made an order of another request.
    #[error("this idempotency key was used for another request")]
    KeyReused,
    /// Nothing to order.
    #[error("an order needs at least one line")]
    NoLines,
    /// More lines than one order may have.
    #[error("an order has at most {limit} lines, not {given}")]
    TooManyLines {
        /// The limit.
        limit: usize,
        /// Lines asked for, after those of one SKU were added up.
        given: usize,
    },
    /// The lines of one SKU add up to more than a line may have.
    #[error("{sku}: a line holds at most {max} units", max = Quantity::MAX)]
    QuantityTooLarge {
        /// Which SKU.
        sku: SkuId,
    },
    /// A line's price is not in the cart's currency.
    #[error("a line is priced in another currency than the cart")]
    MixedCurrencies,
    /// The command did not succeed.
    #[error(transparent)]
    Command(#[from] CommandError),
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
                self.detached(|checkout| async move { checkout.place_apart(request, lines, deadline, guard).await })
                    .await
            }
            CheckoutSource::Cart { .. } => {
                self.detached(|checkout| async move { checkout.place_cart(request, guard).await }).await
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
        let reason = Unavailable::StorageFailed;
        let unknown = CommandError::Unavailable { reason, retry_after_ms: self.settings.retry_after_ms };
        outcome.await.unwrap_or(Err(CheckoutError::Command(unknown)))
    }

    async fn place_here(
        &self,
        request: CheckoutRequest,
        lines: Vec<PlaceLine>,
        deadline: Timestamp,
        guard: KeyGuard,
    ) -> Result<CheckoutOutcome, CheckoutError> {
        let order = self.order_of(&request, &lines)?;
        if let Some(refusal) = self.sold_out(&request, order, &lines) {
            return Err(refusal.into());
        }
        self.place(request, order, lines, deadline, Some(guard)).await
    }

    async fn place_cart(&self, request: CheckoutRequest, guard: KeyGuard) -> Result<CheckoutOutcome, CheckoutError> {
        let CheckoutSource::Cart { cart, expected_version } = request.source else {
            return Err(CheckoutError::NoLines);
        };
        // An order of this key decides alone: the cart may have been changed, merged or gone since.
        if let Some(order) = self.views.order_of_key(request.key_digest) {
            let outcome = self.replay(order, request.fingerprint).await?;
            self.tell_cart(cart, CartCommand::CompleteCheckout { order }).await;
            return Ok(outcome);
        }
        let until = self.deadline();
        let (contents, order, deadline) = loop {
            let read = ask(self.router.as_ref(), cart.slot(), Request::ReadCart(cart), None).await?;
            let Reply::Cart(contents) = read else { return Err(CommandError::from(CartRejection::NotFound).into()) };
            let first = contents.lines().first().ok_or(CommandError::from(CartRejection::Empty))?;
            let order = OrderId::from_key(request.key_digest, first.sku.slot());
            // The version read here, unless the client named one: the order is of the lines just read or of none.
            let version = expected_version.or(Some(contents.version()));
            let lock = CartCommand::BeginCheckout { order, deadline: until, expected_version: version };
            match ask(self.router.as_ref(), cart.slot(), Request::Cart { cart, command: lock }, None).await {
                // An earlier attempt of this key may hold the lock: its deadline is then this attempt's too, so that no
                // order can come to be after the cart has opened again.
                Ok(Reply::Cart(locked)) => match locked.state() {
                    CartState::CheckingOut { deadline, .. } => break (contents, order, deadline),
                    _ => break (contents, order, until),
                },
                Ok(_) => break (contents, order, until),
                // This key's order exists but was not yet in the views, or an earlier attempt of it still holds the lock.
                Err(CommandError::Rejected(Rejection::Cart(CartRejection::Converted { order: made })))
                    if made == order =>
                {
                    return self.replay(order, request.fingerprint).await;
                }
                // It changed since it was read a moment ago, and the client did not say which version it meant.
                Err(CommandError::Rejected(Rejection::Cart(CartRejection::StaleVersion { .. })))
                    if expected_version.is_none() && self.clock.now() < until => {}
                Err(error) => return Err(error.into()),
            }
        };
        let outcome = self.place_cart_lines(request, &contents, deadline, guard).await;
        match &outcome {
            Ok(_) => self.tell_cart(cart, CartCommand::CompleteCheckout { order }).await,
            // Unknown: the order may yet come to be. The cart stays locked until the attempt's deadline and asks then.
            Err(CheckoutError::Command(CommandError::Unavailable { .. } | CommandError::Panicked(_))) => {}
            Err(_) => self.tell_cart(cart, CartCommand::AbandonCheckout { order }).await,
        }
        outcome
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
        self.place_apart(request, add_up(&lines, self.settings.max_order_lines)?, deadline, guard).await
    }

    /// Holds what lives in other shards, then places the order at home. The key stays taken until what was held for
    /// nothing is on its way back, so that a retry does not take over a hold that is about to go.
    async fn place_apart(
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
                Ok(_) => return self.replay(order, request.fingerprint).await,
                Err(CommandError::Rejected(Rejection::Order(OrderRejection::NotFound))) => {}
                Err(error) => return Err(error.into()),
            }
            self.hold_elsewhere(order, request.customer.as_ref(), &mut lines).await?;
        }
        let held = held_elsewhere(order, &lines);
        let outcome = self.place(request, order, lines, deadline, None).await;
        // Unknown: if the order came to be it needs its holds; if not, they lapse by themselves.
        let is_unknown = |error: &CheckoutError| {
            matches!(error, CheckoutError::Command(CommandError::Unavailable { .. } | CommandError::Panicked(_)))
        };
        if outcome.as_ref().is_err_and(|error| !is_unknown(error)) {
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
                (Ok(_), _) => refusal = refusal.or(Some(CommandError::DeadlineExceeded)),
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
        placed(outcome)
    }

    async fn replay(&self, order: OrderId, fingerprint: u128) -> Result<CheckoutOutcome, CheckoutError> {
        match ask(self.router.as_ref(), order.slot(), Request::ReadOrder(order), None).await? {
            Reply::Order(order) if order.placement().is_some_and(|placed| placed.fingerprint == fingerprint) => {
                Ok(CheckoutOutcome { order: *order, replayed: true })
            }
            _ => Err(CheckoutError::KeyReused),
        }
    }

    /// The refusal of a one-line order whose units are gone, from the durable view: in a sold-out sale nearly every request
    /// ends here, without a turn of the shard.
    ///
    /// It is what the shard would have said when it last made a batch durable: whatever anybody has been told of by then is
    /// in the view. A key that has made an order gets that order, and a SKU with a sale window or limits gets the shard's
    /// own answer, since those refusals come first.
    fn sold_out(&self, request: &CheckoutRequest, order: OrderId, lines: &[PlaceLine]) -> Option<CommandError> {
        let [line] = lines else { return None };
        // While its shard recovers the view is not whole. The order lives where its first line does.
        let home = self.router.shards().shard_of(order.slot());
        self.router.local(home).filter(|mailbox| mailbox.is_open())?;
        let stock = self.views.stock(&line.sku)?;
        let (available, requested) = (stock.level.available(), line.quantity.get());
        if stock.policy != SalePolicy::default() || available >= u64::from(requested) {
            return None;
        }
        if self.views.order_of_key(request.key_digest).is_some() || self.views.product(&line.sku).is_none() {
            return None;
        }
        // The shard may have gone to another node while the view was read.
        if !self.router.shows(home) {
            return None;
        }
        Some(CommandError::stock(line.sku.clone(), StockRejection::Insufficient { available, requested }))
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

    fn give_back(&self, held: Vec<Message>) {
        for message in held {
            if let Message::ReleaseHold { sku, .. } = &message {
                let shard = self.router.shards().shard_of(sku.slot());
                self.router.send(shard, message);
            }
        }
    }

    async fn tell_cart(&self, cart: CartId, command: CartCommand) {
        let told = ask(self.router.as_ref(), cart.slot(), Request::Cart { cart, command }, None).await;
        if let Err(error) = told {
            // Its own deadline makes the cart ask what became of the order.
            tracing::debug!(%cart, %error, "a cart was not told of its checkout");
        }
    }

    fn deadline(&self) -> Timestamp {
        self.clock.now().saturating_add_millis(self.settings.checkout_deadline_ms)
    }
}

fn placed(outcome: crate::message::Outcome) -> Result<CheckoutOutcome, CheckoutError> {
    match outcome {
        Ok(Reply::Placed { order, replayed }) => Ok(CheckoutOutcome { order: *order, replayed }),
        Ok(_) => Err(CommandError::DeadlineExceeded.into()),
        Err(CommandError::Rejected(Rejection::Order(OrderRejection::FingerprintMismatch))) => {
            Err(CheckoutError::KeyReused)
        }
        Err(error) => Err(error.into()),
    }
}

/// One line per SKU, in the order in which each SKU was first named.
fn add_up(lines: &[(SkuId, Quantity)], limit: usize) -> Result<Vec<PlaceLine>, CheckoutError> {
    let mut sums: Vec<PlaceLine> = Vec::with_capacity(lines.len().min(limit));
    for (sku, quantity) in lines {
        if let Some(line) = sums.iter_mut().find(|line| line.sku == *sku) {
            let sum = line.quantity.checked_add(*quantity);
            line.quantity = sum.map_err(|_| CheckoutError::QuantityTooLarge { sku: sku.clone() })?;
        } else if sums.len() < limit {
            sums.push(PlaceLine { sku: sku.clone(), quantity: *quantity, held: None });
        } else {
            return Err(CheckoutError::TooManyLines { limit, given: lines.len() });
        }
    }
    if sums.is_empty() { Err(CheckoutError::NoLines) } else { Ok(sums) }
}

/// What is to be said to give back what was held.
fn held_elsewhere(order: OrderId, lines: &[PlaceLine]) -> Vec<Message> {
    let give_back = |(line, number): (&PlaceLine, u16)| {
        let (sku, hold) = (line.sku.clone(), HoldId { order, line: number });
        line.held.map(|held| Message::ReleaseHold { sku, hold, expires_at: held.expires_at })
    };
    lines.iter().zip(0_u16..).filter_map(give_back).collect()
}
