//! The facade the edge uses: every operation of the shop, as one call. It finds the shard, asks it, and hands back what the
//! gate let out; reads of listings come from the durable views.

use std::sync::Arc;

use holdfast_core::{
    CartId, Currency, Money, OrderId, Quantity, SkuId, Timestamp,
    cart::{Cart, CartCommand, CartRejection},
    order::{CancelReason, Order, OrderCommand, OrderRejection},
    product::{ProductCommand, ProductDetails, ProductRejection},
    stock::{SalePolicy, StockCommand, StockRejection},
};

use crate::{
    background::Background,
    checkout::{Checkout, CheckoutError, CheckoutOutcome, CheckoutRequest},
    clock::Clock,
    error::{CommandError, Unavailable},
    key::KeysInFlight,
    message::{Message, NewProduct, Reply, Request},
    reads,
    router::{Router, ask},
    settings::RuntimeSettings,
    view::{ProductView, StockView, Views},
};
use tokio::sync::watch;

/// The shop. Cheap to clone.
#[derive(Clone)]
pub struct Commerce {
    router: Arc<dyn Router>,
    views: Arc<Views>,
    clock: Clock,
    settings: Arc<RuntimeSettings>,
    checkout: Checkout,
}

impl Commerce {
    pub(crate) fn new(
        router: Arc<dyn Router>,
        views: Arc<Views>,
        keys: KeysInFlight,
        clock: Clock,
        settings: Arc<RuntimeSettings>,
        background: Arc<dyn Background>,
    ) -> Self {
        let checkout = Checkout {
            router: Arc::clone(&router),
            views: Arc::clone(&views),
            keys,
            clock: clock.clone(),
            settings: Arc::clone(&settings),
            background,
        };
        Self { router, views, clock, settings, checkout }
    }

    /// The durable read views.
    pub fn views(&self) -> &Views {
        &self.views
    }

    /// Whether the node is cut off from most of the others, and so answers nothing from memory.
    pub fn is_isolated(&self) -> bool {
        self.router.is_isolated()
    }

    /// The node's time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Shows a product with its stock, as it is at its owner; listings in the views may be a moment behind.
    ///
    /// # Errors
    /// Rejected when it is not in the catalog.
    pub async fn product(&self, sku: &SkuId) -> Result<ProductView, CommandError> {
        reads::product(self.router.as_ref(), &self.views, sku).await
    }

    /// The units of a product as they change, see [`Views::watch_stock`]. One that this node has not heard of yet is asked for
    /// at its owner.
    ///
    /// # Errors
    /// Rejected when it is not in the catalog; otherwise its owner could not be asked, or the node shuts down.
    pub async fn watch_stock(&self, sku: &SkuId) -> Result<watch::Receiver<StockView>, CommandError> {
        if let Some(stock) = self.views.watch_stock(sku) {
            return Ok(stock);
        }
        self.views.learn(self.product(sku).await?);
        let retry_after_ms = self.settings.retry_after_ms;
        let draining = CommandError::Unavailable { reason: Unavailable::Draining, retry_after_ms };
        self.views.watch_stock(sku).ok_or(draining)
    }

    /// Puts a SKU into the catalog with its first units and its sale policy.
    ///
    /// # Errors
    /// Rejected when it is there already, or the policy or price contradict themselves.
    pub async fn create_product(
        &self,
        sku: SkuId,
        details: ProductDetails,
        policy: SalePolicy,
        units: u64,
    ) -> Result<ProductView, CommandError> {
        let slot = sku.slot();
        let new = Box::new(NewProduct { sku: sku.clone(), details, policy, units });
        self.product_reply(&sku, ask(self.router.as_ref(), slot, Request::CreateProduct(new), None).await?)
    }

    /// Replaces what is said about a SKU and, if given, its sale policy.
    ///
    /// # Errors
    /// Rejected when it is not in the catalog or `expected_version` is stale.
    pub async fn update_product(
        &self,
        sku: SkuId,
        details: ProductDetails,
        policy: Option<SalePolicy>,
        expected_version: Option<u64>,
    ) -> Result<ProductView, CommandError> {
        let (slot, details) = (sku.slot(), Box::new(details));
        let request = Request::UpdateProduct { sku: sku.clone(), details, policy, expected_version };
        self.product_reply(&sku, ask(self.router.as_ref(), slot, request, None).await?)
    }

    /// Takes a SKU out of the catalog. Its stock and its orders stay.
    ///
    /// # Errors
    /// Rejected when it is not in the catalog or `expected_version` is stale.
    pub async fn remove_product(&self, sku: SkuId, expected_version: Option<u64>) -> Result<(), CommandError> {
        let slot = sku.slot();
        let command = Box::new(ProductCommand::Remove { expected_version });
        ask(self.router.as_ref(), slot, Request::Product { sku, command }, None).await.map(drop)
    }

    /// Adds `delta` units to a SKU's stock, or takes them when negative: never below what is held and allocated.
    ///
    /// # Errors
    /// Rejected when there is no such stock, too little of it is available, or `expected_version` is stale.
    pub async fn adjust_stock(
        &self,
        sku: SkuId,
        delta: i64,
        reason: String,
        expected_version: Option<u64>,
    ) -> Result<StockView, CommandError> {
        let command = StockCommand::Adjust { delta, reason, expected_version };
        let slot = sku.slot();
        match ask(self.router.as_ref(), slot, Request::Stock { sku: sku.clone(), command }, None).await? {
            Reply::Stock(view) => Ok(*view),
            _ => Err(CommandError::stock(sku, StockRejection::NotFound)),
        }
    }

    /// Begins an empty cart.
    ///
    /// # Errors
    /// Rejected when the id is taken.
    pub async fn create_cart(&self, cart: CartId, currency: Currency) -> Result<Cart, CommandError> {
        self.cart_command(cart, CartCommand::Create { currency, expires_at: self.cart_expiry() }).await
    }

    /// Shows a cart.
    ///
    /// # Errors
    /// Rejected when there is none.
    pub async fn cart(&self, cart: CartId) -> Result<Cart, CommandError> {
        cart_reply(ask(self.router.as_ref(), cart.slot(), Request::ReadCart(cart), None).await?)
    }

    /// Adds units of a SKU to a cart.
    ///
    /// # Errors
    /// Rejected when the SKU is not in the catalog, the cart is locked, full or gone, or `expected_version` is stale.
    pub async fn add_item(
        &self,
        cart: CartId,
        sku: SkuId,
        quantity: Quantity,
        expected_version: Option<u64>,
    ) -> Result<Cart, CommandError> {
        let product = self.product(&sku).await?;
        same_currency(&self.cart(cart).await?, product.details.price.currency())?;
        let expires_at = self.cart_expiry();
        self.cart_command(cart, CartCommand::AddItem { sku, quantity, expires_at, expected_version }).await
    }

    /// Sets a line's quantity.
    ///
    /// # Errors
    /// As [`Commerce::add_item`], and when there is no such line.
    pub async fn change_item(
        &self,
        cart: CartId,
        item: u32,
        quantity: Quantity,
        expected_version: Option<u64>,
    ) -> Result<Cart, CommandError> {
        let expires_at = self.cart_expiry();
        self.cart_command(cart, CartCommand::ChangeQuantity { item, quantity, expires_at, expected_version }).await
    }

    /// Takes a line out.
    ///
    /// # Errors
    /// As [`Commerce::change_item`].
    pub async fn remove_item(
        &self,
        cart: CartId,
        item: u32,
        expected_version: Option<u64>,
    ) -> Result<Cart, CommandError> {
        let expires_at = self.cart_expiry();
        self.cart_command(cart, CartCommand::RemoveItem { item, expires_at, expected_version }).await
    }

    /// Moves the lines of `from` into `into`, adding up, and closes `from`. Repeating it is harmless.
    ///
    /// # Errors
    /// Rejected when either is gone or locked, the currencies differ, or the lines do not fit; both carts then are as they
    /// were.
    pub async fn merge_cart(&self, from: CartId, into: CartId) -> Result<Cart, CommandError> {
        if from == into {
            return Err(CartRejection::SameCart.into());
        }
        let (source, target) = (self.cart(from).await?, self.cart(into).await?);
        same_currency(&target, source.currency())?;
        // Closed first, so that no line is added to it unseen and no other cart takes it in. It keeps its lines: what is
        // refused opens it again, and where the answer stays away a repeat of the merge goes on from here.
        let closed = self.cart_command(from, CartCommand::MergeInto { into }).await?;
        let lines = closed.lines().to_vec();
        let taken_in =
            self.cart_command(into, CartCommand::TakeIn { from, lines, expires_at: self.cart_expiry() }).await;
        if let Err(CommandError::Rejected(_)) = &taken_in {
            self.cart_command(from, CartCommand::Reopen { into }).await?;
        }
        taken_in
    }

    /// Places an order. See [`crate::checkout`].
    ///
    /// # Errors
    /// [`CheckoutError`]; whatever it is, no unit stays held beyond the hold's time to live.
    pub async fn checkout(&self, request: CheckoutRequest) -> Result<CheckoutOutcome, CheckoutError> {
        self.checkout.run(request).await
    }

    /// Shows an order.
    ///
    /// # Errors
    /// Rejected when there is none.
    pub async fn order(&self, order: OrderId) -> Result<Order, CommandError> {
        order_reply(ask(self.router.as_ref(), order.slot(), Request::ReadOrder(order), None).await?)
    }

    /// Ends an order before it ships; its units and its money go back.
    ///
    /// # Errors
    /// Rejected when it has shipped or ended otherwise, or `expected_version` is stale.
    pub async fn cancel_order(
        &self,
        order: OrderId,
        reason: CancelReason,
        expected_version: Option<u64>,
    ) -> Result<Order, CommandError> {
        self.order_command(order, OrderCommand::Cancel { reason, expected_version }).await
    }

    /// The goods leave the house.
    ///
    /// # Errors
    /// Rejected unless the order is confirmed, or when `expected_version` is stale.
    pub async fn ship_order(&self, order: OrderId, expected_version: Option<u64>) -> Result<Order, CommandError> {
        self.order_command(order, OrderCommand::Ship { expected_version }).await
    }

    /// The goods arrived.
    ///
    /// # Errors
    /// Rejected unless the order is shipped, or when `expected_version` is stale.
    pub async fn deliver_order(&self, order: OrderId, expected_version: Option<u64>) -> Result<Order, CommandError> {
        self.order_command(order, OrderCommand::Deliver { expected_version }).await
    }

    /// Gives money back: `amount`, or all that is left. `request` is the digest of the request's idempotency key.
    ///
    /// # Errors
    /// Rejected when more than what is left is asked for.
    pub async fn refund_order(
        &self,
        order: OrderId,
        request: u128,
        amount: Option<Money>,
    ) -> Result<Order, CommandError> {
        self.order_command(order, OrderCommand::Refund { request, amount }).await
    }

    /// Takes in what a payment gateway says on its own: a second answer, a late one. What the order knows changes nothing.
    pub fn record_payment(&self, order: OrderId, command: OrderCommand) {
        let shard = self.router.shards().shard_of(order.slot());
        self.router.send(shard, Message::OrderAnswer { order, command });
    }

    async fn cart_command(&self, cart: CartId, command: CartCommand) -> Result<Cart, CommandError> {
        cart_reply(ask(self.router.as_ref(), cart.slot(), Request::Cart { cart, command }, None).await?)
    }

    async fn order_command(&self, order: OrderId, command: OrderCommand) -> Result<Order, CommandError> {
        order_reply(ask(self.router.as_ref(), order.slot(), Request::Order { order, command }, None).await?)
    }

    fn product_reply(&self, sku: &SkuId, reply: Reply) -> Result<ProductView, CommandError> {
        match reply {
            Reply::Product(view) => Ok(*view),
            _ => self.views.product(sku).ok_or_else(|| CommandError::product(sku.clone(), ProductRejection::NotFound)),
        }
    }

    fn cart_expiry(&self) -> Timestamp {
        self.clock.now().saturating_add_millis(self.settings.cart_ttl_ms)
    }
}

/// Refuses what is priced in another currency than the cart's.
fn same_currency(cart: &Cart, other: Currency) -> Result<(), CartRejection> {
    if cart.currency() == other {
        return Ok(());
    }
    Err(CartRejection::CurrencyMismatch { cart: cart.currency(), other })
}

fn cart_reply(reply: Reply) -> Result<Cart, CommandError> {
    match reply {
        Reply::Cart(cart) => Ok(*cart),
        _ => Err(CartRejection::NotFound.into()),
    }
}

fn order_reply(reply: Reply) -> Result<Order, CommandError> {
    match reply {
        Reply::Order(order) => Ok(order),
        _ => Err(OrderRejection::NotFound.into()),
    }
}
