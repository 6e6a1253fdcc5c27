//! What a shard does with each request and each message from another shard.

use std::sync::Arc;

use holdfast_core::{
    CartId, CustomerId, Entity, EntityId, HoldId, OrderId, Quantity, SkuId, Timestamp,
    cart::{Cart, CartCommand, CartRejection, CartState},
    order::{Order, OrderCommand, OrderRejection},
    product::{Product, ProductCommand, ProductDetails, ProductRejection},
    stock::{SalePolicy, StockCommand, StockItem, StockRejection},
};

use super::Shard;
use crate::{
    error::CommandError,
    message::{HeldLine, Internal, Message, NewProduct, Outcome, Reply, Request},
    outbound::Outgoing,
    view::{ProductView, StockView},
};

impl Shard {
    pub(super) fn serve(&mut self, request: Request) -> Outcome {
        match request {
            Request::Place(place) => self.place(&place),
            Request::HoldLine { hold, sku, quantity, customer } => self.hold_line(hold, &sku, quantity, customer),
            Request::Stock { sku, command } => {
                self.stock_command(&sku, command)?;
                self.show_stock(&sku)
            }
            Request::CreateProduct(new) => self.create_product(*new),
            Request::UpdateProduct { sku, details, policy, expected_version } => {
                self.update_product(&sku, *details, policy, expected_version)
            }
            Request::Product { sku, command } => {
                self.product_command(&sku, *command)?;
                Ok(Reply::Done)
            }
            Request::Cart { cart, command } => {
                let events = self.decide::<Cart>(&cart, command)?;
                self.commit::<Cart>(&cart, events);
                self.show_cart(cart)
            }
            Request::Order { order, command } => {
                let events = self.decide::<Order>(&order, command)?;
                self.commit::<Order>(&order, events);
                self.pursue(order);
                self.show_order(order)
            }
            Request::ReadCart(cart) => self.show_cart(cart),
            Request::ReadOrder(order) => self.show_order(order),
            Request::ReadProduct(sku) => self.show_product(&sku),
        }
    }

    /// Takes in what another shard or the payment driver says. May come twice and in any order.
    pub(super) fn hear(&mut self, message: Message) {
        match message {
            Message::StockStep { hold, sku, action } => {
                let command = self.stock_step(&sku, hold, action);
                self.tell_order(hold.order, command);
            }
            Message::OrderAnswer { order, command } => self.order_command(order, command),
            Message::GatewayFailed { order, call } => self.gateway_failed(order, call),
            Message::ReleaseHold { sku, hold, expires_at } => self.give_back(&sku, hold, expires_at),
            Message::ResolveCheckout { cart, order, deadline } => self.resolve_checkout(cart, order, deadline),
            Message::CheckoutResolved { cart, order, deadline, placed } => {
                self.end_checkout(cart, order, deadline, placed);
            }
        }
    }

    /// Says whether a cart's order came to be. Until the attempt is over here too, only that it did can be said.
    fn resolve_checkout(&mut self, cart: CartId, order: OrderId, deadline: Timestamp) {
        let placed = self.tables.orders.get(&order).is_some();
        if placed || self.now >= deadline {
            let to = self.parts.shards.shard_of(cart.slot());
            let message = Message::CheckoutResolved { cart, order, deadline, placed };
            self.staged.output.outgoing.push(Outgoing::Message { to, message });
        }
    }

    /// Completes or opens a cart. An answer about an earlier attempt opens nothing: the one under way may place the order.
    fn end_checkout(&mut self, cart: CartId, order: OrderId, deadline: Timestamp, placed: bool) {
        let state = self.tables.carts.get(&cart).map(Cart::state);
        let command = match state {
            _ if placed => CartCommand::CompleteCheckout { order },
            Some(CartState::CheckingOut { deadline: current, .. }) if current == deadline => {
                CartCommand::AbandonCheckout { order }
            }
            _ => return,
        };
        if let Ok(events) = self.decide::<Cart>(&cart, command) {
            self.commit::<Cart>(&cart, events);
        }
    }

    pub(super) fn note(&mut self, internal: Internal) {
        match internal {
            // What an earlier life has asked for may be older than what this one has decided.
            Internal::Loaded { life, .. } if life != self.parts.life => {}
            Internal::Loaded { entity, state, .. } => self.install(&entity, *state),
            Internal::Snapshots { life, progress } => self.note_snapshots(life, progress),
            Internal::CheckpointNow(done) => self.checkpointing.demand(done),
            Internal::Drain(done) => self.begin_draining(done),
            Internal::Followed { records, done } => self.follow(records, done),
            Internal::TakeOwnership { head, done } => self.take_ownership(head, done),
            Internal::Yield(done) => self.begin_yield(done),
        }
    }

    /// Gives a hold back to which an attempt gave up its claim; not one that a later attempt has taken over, and that may
    /// be a paid order's by now.
    fn give_back(&mut self, sku: &SkuId, hold: HoldId, expires_at: Timestamp) {
        let known = self.tables.stock.get(sku).and_then(|stock| stock.hold(&hold));
        if known.is_none_or(|known| known.expires_at != expires_at) {
            tracing::debug!(%sku, ?hold, "a hold to give back is gone or another's");
        } else if let Err(error) = self.stock_command(sku, StockCommand::Release { hold }) {
            tracing::debug!(%sku, %error, "a hold could not be given back");
        }
    }

    /// Holds a line for an order of another shard. What an earlier attempt under the same key held is taken over and gets
    /// its full time again: the order's own deadline counts from this attempt.
    fn hold_line(&mut self, hold: HoldId, sku: &SkuId, quantity: Quantity, customer: Option<CustomerId>) -> Outcome {
        let unit_price = self.price_of(sku)?;
        let expires_at = self.remote_hold_expiry();
        self.stock_command(sku, StockCommand::Hold { hold, quantity, expires_at, customer })?;
        Ok(Reply::Held(HeldLine { unit_price, expires_at }))
    }

    fn tell_order(&mut self, order: OrderId, command: OrderCommand) {
        let to = self.parts.shards.shard_of(order.slot());
        self.staged.output.outgoing.push(Outgoing::Message { to, message: Message::OrderAnswer { order, command } });
    }

    /// A line held for an order of another shard outlives that order's own deadline by the length of one attempt, so that
    /// an order paid for in time finds its units.
    fn remote_hold_expiry(&self) -> Timestamp {
        let settings = &self.parts.settings;
        self.now.saturating_add_millis(settings.hold_ttl_ms.saturating_add(settings.checkout_deadline_ms))
    }

    fn stock_command(&mut self, sku: &SkuId, command: StockCommand) -> Result<(), CommandError> {
        let events =
            self.decide::<StockItem>(sku, command).map_err(|rejection| CommandError::stock(sku.clone(), rejection))?;
        self.commit::<StockItem>(sku, events);
        Ok(())
    }

    fn product_command(&mut self, sku: &SkuId, command: ProductCommand) -> Result<(), CommandError> {
        let events =
            self.decide::<Product>(sku, command).map_err(|rejection| CommandError::product(sku.clone(), rejection))?;
        self.commit::<Product>(sku, events);
        Ok(())
    }

    fn create_product(&mut self, new: NewProduct) -> Outcome {
        let NewProduct { sku, details, policy, units } = new;
        // What was fulfilled counts too: nothing is applied before all of it is known to be possible.
        let ever = self.tables.stock.get(&sku).map_or(Some(0), |stock| {
            let level = stock.level();
            level.on_hand.checked_add(level.fulfilled)
        });
        let delta = i64::try_from(units).ok().filter(|_| ever.and_then(|ever| ever.checked_add(units)).is_some());
        let Some(delta) = delta else { return Err(CommandError::stock(sku, StockRejection::Overflow)) };
        let created = self
            .decide::<Product>(&sku, ProductCommand::Create(details))
            .map_err(|rejection| CommandError::product(sku.clone(), rejection))?;
        self.stock_command(&sku, StockCommand::SetPolicy(policy))?;
        if delta > 0 {
            let reason = String::from("initial stock");
            self.stock_command(&sku, StockCommand::Adjust { delta, reason, expected_version: None })?;
        }
        self.commit::<Product>(&sku, created);
        self.show_product(&sku)
    }

    fn update_product(
        &mut self,
        sku: &SkuId,
        details: ProductDetails,
        policy: Option<SalePolicy>,
        expected_version: Option<u64>,
    ) -> Outcome {
        let updated = self
            .decide::<Product>(sku, ProductCommand::Update { details, expected_version })
            .map_err(|rejection| CommandError::product(sku.clone(), rejection))?;
        if let Some(policy) = policy {
            self.stock_command(sku, StockCommand::SetPolicy(policy))?;
        }
        self.commit::<Product>(sku, updated);
        self.show_product(sku)
    }

    fn show_product(&self, sku: &SkuId) -> Outcome {
        let view = self.tables.products.get(sku).zip(self.tables.stock.get(sku));
        match view.and_then(|(product, stock)| view_product(product, stock)) {
            Some(view) => Ok(Reply::Product(Box::new(view))),
            None => Err(CommandError::product(sku.clone(), ProductRejection::NotFound)),
        }
    }

    fn show_stock(&self, sku: &SkuId) -> Outcome {
        match self.tables.stock.get(sku) {
            Some(stock) => Ok(Reply::Stock(Box::new(view_stock(stock)))),
            None => Err(CommandError::stock(sku.clone(), StockRejection::NotFound)),
        }
    }

    fn show_cart(&mut self, cart: CartId) -> Outcome {
        let now = self.now;
        match self.tables.carts.live.get_mut(&cart) {
            Some(live) if live.entity.version() > 0 => {
                live.touched = now;
                Ok(Reply::Cart(Box::new(live.entity.clone())))
            }
            _ => Err(CartRejection::NotFound.into()),
        }
    }

    fn show_order(&mut self, order: OrderId) -> Outcome {
        let now = self.now;
        match self.tables.orders.live.get_mut(&order) {
            Some(live) => {
                live.touched = now;
                Ok(Reply::Order(live.entity.clone()))
            }
            None => Err(OrderRejection::NotFound.into()),
        }
    }

    /// The first entity a message needs that cannot be asked right now.
    pub(super) fn obstacle(&self, envelope: &crate::message::Envelope) -> Option<EntityId> {
        use crate::message::Envelope;
        match envelope {
            Envelope::Request { request, .. } => self.obstacle_of_request(request),
            Envelope::Message(message) => match message {
                Message::StockStep { sku, .. } | Message::ReleaseHold { sku, .. } => self.unready_stock(sku),
                Message::OrderAnswer { order, .. }
                | Message::GatewayFailed { order, .. }
                | Message::ResolveCheckout { order, .. } => self.unready_order(*order),
                Message::CheckoutResolved { cart, .. } => self.unready_cart(*cart),
            },
            Envelope::Internal(_) => None,
        }
    }

    fn obstacle_of_request(&self, request: &Request) -> Option<EntityId> {
        match request {
            Request::Place(place) => self.unready_order(place.order).or_else(|| {
                let here = place.lines.iter().filter(|line| line.held.is_none());
                here.map(|line| &line.sku).find_map(|sku| self.unready_sale(sku))
            }),
            Request::HoldLine { sku, .. }
            | Request::UpdateProduct { sku, .. }
            | Request::Product { sku, .. }
            | Request::Stock { sku, .. }
            | Request::ReadProduct(sku) => self.unready_sale(sku),
            Request::CreateProduct(new) => self.unready_sale(&new.sku),
            Request::Cart { cart, .. } | Request::ReadCart(cart) => self.unready_cart(*cart),
            Request::Order { order, .. } | Request::ReadOrder(order) => self.unready_order(*order),
        }
    }

    fn unready_sale(&self, sku: &SkuId) -> Option<EntityId> {
        let product = !self.tables.products.is_ready(sku);
        self.unready_stock(sku).or_else(|| product.then(|| EntityId::Product(sku.clone())))
    }

    fn unready_stock(&self, sku: &SkuId) -> Option<EntityId> {
        (!self.tables.stock.is_ready(sku)).then(|| EntityId::Stock(sku.clone()))
    }

    fn unready_order(&self, order: OrderId) -> Option<EntityId> {
        (!self.tables.orders.is_ready(&order)).then_some(EntityId::Order(order))
    }

    fn unready_cart(&self, cart: CartId) -> Option<EntityId> {
        (!self.tables.carts.is_ready(&cart)).then_some(EntityId::Cart(cart))
    }
}

fn view_product(product: &Product, stock: &StockItem) -> Option<ProductView> {
    let details = Arc::new(product.details()?.clone());
    Some(ProductView { sku: product.sku().clone(), details, version: product.version(), stock: view_stock(stock) })
}

fn view_stock(stock: &StockItem) -> StockView {
    StockView { sku: stock.sku().clone(), level: stock.level(), policy: *stock.policy(), version: stock.version() }
}
