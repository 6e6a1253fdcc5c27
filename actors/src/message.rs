//! What a shard can be asked, and what it answers. Requests from clients carry a permit and a reply port; messages between
//! shards carry neither: they have ids, may arrive twice, and are deduplicated by the receiver's state.

use holdfast_core::{
    BuyerId, CartId, CustomerId, EntityId, HoldId, Money, OrderId, Quantity, SkuId, Timestamp,
    cart::{Cart, CartCommand},
    order::{GatewayCall, Order, OrderCommand, OrderLine, PaymentToken, StockAction},
    product::{ProductCommand, ProductDetails},
    stock::{SalePolicy, StockCommand},
};
use holdfast_persistence::{EntityState, Record};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{
    error::CommandError,
    key::KeyGuard,
    mailbox::Permit,
    view::{ProductView, StockView},
};

/// What a shard is asked to do, in one turn.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Put a SKU into the catalog with its first units and sale policy: product and stock together.
    CreateProduct(Box<NewProduct>),
    /// Replace a product's details and, if given, its sale policy.
    UpdateProduct {
        /// Which.
        sku: SkuId,
        /// The new details, whole.
        details: Box<ProductDetails>,
        /// The new policy; unchanged when `None`.
        policy: Option<SalePolicy>,
        /// The version the caller saw.
        expected_version: Option<u64>,
    },
    /// One command to a product.
    Product {
        /// Which.
        sku: SkuId,
        /// What.
        command: Box<ProductCommand>,
    },
    /// One command to a SKU's stock.
    Stock {
        /// Which.
        sku: SkuId,
        /// What.
        command: StockCommand,
    },
    /// Hold one line of an order that lives in another shard, and say what a unit costs.
    HoldLine {
        /// The hold.
        hold: HoldId,
        /// What.
        sku: SkuId,
        /// How many.
        quantity: Quantity,
        /// Who limits count for.
        customer: Option<CustomerId>,
    },
    /// One command to a cart.
    Cart {
        /// Which.
        cart: CartId,
        /// What.
        command: CartCommand,
    },
    /// One command to an order.
    Order {
        /// Which.
        order: OrderId,
        /// What.
        command: OrderCommand,
    },
    /// Hold the lines of this shard and place the order: one turn, one batch, one durable write.
    Place(Box<Place>),
    /// Show a cart.
    ReadCart(CartId),
    /// Show an order.
    ReadOrder(OrderId),
    /// Show a product with its stock.
    ReadProduct(SkuId),
}

impl Request {
    /// Whether the same request carried out twice, at any two moments and perhaps by two owners of the shard one after the
    /// other, leaves what it leaves when it is carried out once. So it may be asked again where the first answer was lost.
    ///
    /// It is about what the shop is like after, not about the answer: the second answer may say that the order was there
    /// already, or that the cart is in a later version. A request is *not* repeatable when its second run could change
    /// something again (units added twice), undo what somebody else did in between (a quantity set back), or be refused
    /// because of the first run (a version that is no longer current, a product that exists by now), since then the client
    /// would be told that nothing was done.
    pub fn is_repeatable(&self) -> bool {
        match self {
            // Beside reads: an order id is made once, and the same hold twice is one hold.
            Self::ReadCart(_) | Self::ReadOrder(_) | Self::ReadProduct(_) | Self::Place(_) | Self::HoldLine { .. } => {
                true
            }
            Self::CreateProduct(_) | Self::UpdateProduct { .. } | Self::Product { .. } => false,
            Self::Stock { command, .. } => is_repeatable_by_stock(command),
            Self::Cart { command, .. } => is_repeatable_by_cart(command),
            Self::Order { command, .. } => is_repeatable_by_order(command),
        }
    }
}

fn is_repeatable_by_stock(command: &StockCommand) -> bool {
    match command {
        StockCommand::Receive { .. } | StockCommand::Adjust { .. } | StockCommand::SetPolicy(_) => false,
        // Each names its hold, which takes every step once; one that was given back in between lapses by itself.
        StockCommand::Hold { .. }
        | StockCommand::Release { .. }
        | StockCommand::Allocate { .. }
        | StockCommand::Fulfill { .. }
        | StockCommand::Lapse => true,
    }
}

fn is_repeatable_by_cart(command: &CartCommand) -> bool {
    match command {
        // The second run is refused: the cart exists, or has another version, or no such line any more.
        CartCommand::Create { .. }
        | CartCommand::AddItem { .. }
        | CartCommand::ChangeQuantity { .. }
        | CartCommand::RemoveItem { .. }
        // The cart may have been merged into the same one again in between.
        | CartCommand::Reopen { .. }
        // A later attempt under the same key locks the cart for the same order; it would be opened under it.
        | CartCommand::AbandonCheckout { .. } => false,
        // Each names the other cart or the order, and that happens to the cart once. An attempt that was abandoned in between
        // and is begun again runs out at its deadline.
        CartCommand::TakeIn { .. }
        | CartCommand::MergeInto { .. }
        | CartCommand::BeginCheckout { .. }
        | CartCommand::CompleteCheckout { .. }
        | CartCommand::Expire => true,
    }
}

fn is_repeatable_by_order(command: &OrderCommand) -> bool {
    match command {
        // Done once, whoever asks again is told so; but with a version that is no longer current the second run is refused.
        OrderCommand::Cancel { expected_version, .. }
        | OrderCommand::Ship { expected_version }
        | OrderCommand::Deliver { expected_version } => expected_version.is_none(),
        // A refund under the digest of its own key; answers, as they come at least once anyway.
        OrderCommand::Refund { .. }
        | OrderCommand::Place(_)
        | OrderCommand::RecordAuthorization(_)
        | OrderCommand::LineAllocated { .. }
        | OrderCommand::LineLost { .. }
        | OrderCommand::LineReleased { .. }
        | OrderCommand::LineFulfilled { .. }
        | OrderCommand::RecordCapture(_)
        | OrderCommand::RecordVoid
        | OrderCommand::RecordRefund { .. }
        | OrderCommand::Expire => true,
    }
}

/// A SKU to put into the catalog.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewProduct {
    /// Its name.
    pub sku: SkuId,
    /// What is said about it.
    pub details: ProductDetails,
    /// When and how much may be sold.
    pub policy: SalePolicy,
    /// Units received with it; none at zero.
    pub units: u64,
}

/// An order to place at its home shard.
#[derive(Debug, Serialize, Deserialize)]
pub struct Place {
    /// The order.
    pub order: OrderId,
    /// Who may read it.
    pub buyer: BuyerId,
    /// Who limits count for.
    pub customer: Option<CustomerId>,
    /// Every line, in order; those of other shards are held already.
    pub lines: Vec<PlaceLine>,
    /// How it is paid.
    pub payment_token: PaymentToken,
    /// Digest of the request.
    pub fingerprint: u128,
    /// The attempt is void from this instant on.
    pub deadline: Timestamp,
}

/// One line of an order to place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlaceLine {
    /// What.
    pub sku: SkuId,
    /// How many.
    pub quantity: Quantity,
    /// What another shard said when it held the line; `None` for lines of the home shard.
    pub held: Option<HeldLine>,
}

/// A line held for an order of another shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLine {
    /// The price of a unit when it was held.
    pub unit_price: Money,
    /// When the hold lapses. Every attempt under a key sets it anew, so it also says whose hold it is.
    pub expires_at: Timestamp,
}

impl PlaceLine {
    /// The line with its frozen price.
    pub(crate) fn priced(&self, unit_price: Money) -> OrderLine {
        OrderLine { sku: self.sku.clone(), quantity: self.quantity, unit_price }
    }
}

/// What a shard answers when it does not refuse.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// It is done; there is nothing to show.
    Done,
    /// The product with its stock.
    Product(Box<ProductView>),
    /// The stock.
    Stock(Box<StockView>),
    /// The cart.
    Cart(Box<Cart>),
    /// The order.
    Order(Box<Order>),
    /// The order was placed (or had been before).
    Placed {
        /// The order.
        order: Box<Order>,
        /// Whether an earlier request of the same key had placed it.
        replayed: bool,
    },
    /// The line is held.
    Held(HeldLine),
}

/// A reply or the reason there is none.
pub type Outcome = Result<Reply, CommandError>;

/// Where a reply goes. Dropping it unanswered tells the caller that the shard died.
#[derive(Debug)]
pub struct ReplyPort {
    /// The caller.
    pub(crate) sender: oneshot::Sender<Outcome>,
    /// The place in the mailbox, given back with the reply.
    pub(crate) _permit: Permit,
    /// Given back with the reply.
    pub(crate) guard: Option<KeyGuard>,
}

/// What lies in a shard's mailbox.
#[derive(Debug)]
pub enum Envelope {
    /// A client's request.
    Request {
        /// What.
        request: Request,
        /// Where the answer goes.
        port: ReplyPort,
    },
    /// A message from another shard or from the payment driver.
    Message(Message),
    /// Something the shard's own background work reports.
    Internal(Internal),
}

/// What crosses shards: at least once, in any order, deduplicated by the receiver.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// An order asks stock for a step.
    StockStep {
        /// The hold, and so the order and its line.
        hold: HoldId,
        /// Which SKU.
        sku: SkuId,
        /// What to do.
        action: StockAction,
    },
    /// Stock or the payment gateway answers an order.
    OrderAnswer {
        /// Which order.
        order: OrderId,
        /// The answer, as a command.
        command: OrderCommand,
    },
    /// A gateway call did not get an answer: try again later.
    GatewayFailed {
        /// Which order.
        order: OrderId,
        /// Which call.
        call: GatewayCall,
    },
    /// A cart whose checkout attempt ran out asks whether its order came to be.
    ResolveCheckout {
        /// The cart.
        cart: CartId,
        /// Its order.
        order: OrderId,
        /// The attempt's deadline, past by now: whoever has not placed the order under it never will.
        deadline: Timestamp,
    },
    /// The answer to that.
    CheckoutResolved {
        /// The cart.
        cart: CartId,
        /// Its order.
        order: OrderId,
        /// The deadline of the attempt that was asked about. A later attempt is not spoken of.
        deadline: Timestamp,
        /// Whether it exists.
        placed: bool,
    },
    /// Give a hold back: its checkout failed elsewhere.
    ReleaseHold {
        /// Which SKU.
        sku: SkuId,
        /// Which hold.
        hold: HoldId,
        /// When it lapses, as its attempt was told. A later attempt under the same key has taken the hold over and set it
        /// anew: then it is not this one's to give back.
        expires_at: Timestamp,
    },
}

/// What a shard's own background work reports to it.
#[derive(Debug)]
pub enum Internal {
    /// An entity was read from the snapshot store or rebuilt from the journal.
    Loaded {
        /// Which.
        entity: EntityId,
        /// Its state; `None` when it does not exist; the error in words when it could not be read.
        state: Box<Result<Option<EntityState>, String>>,
    },
    /// These entities' snapshots are durable at these versions: they may leave memory.
    Snapshotted(Vec<(EntityId, u64)>),
    /// The shard's watermark is durable.
    Checkpointed {
        /// Every record up to here is in the snapshots.
        watermark: u64,
    },
    /// Write a checkpoint of everything up to now, and say up to where the snapshots then go.
    CheckpointNow(oneshot::Sender<u64>),
    /// Stop taking requests, write everything out, and say so.
    Drain(oneshot::Sender<()>),
    /// Records that another node has made durable, in order; said once they are taken in.
    Followed {
        /// With their sequence numbers.
        records: Vec<(u64, Record)>,
        /// Who waits.
        done: oneshot::Sender<()>,
    },
    /// The shard is this node's from here on, if it has taken in everything up to `head`.
    TakeCharge {
        /// The last sequence number there is.
        head: u64,
        /// Who waits: how far the shard is, if that is not there.
        done: oneshot::Sender<Result<(), u64>>,
    },
    /// Finish what was accepted, and decide nothing more: another node will. Says the last sequence number.
    Yield(oneshot::Sender<u64>),
}
