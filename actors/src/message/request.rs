//! A client's request to one shard, decided in one turn.

use holdfast_core::{
    BuyerId, CartId, CustomerId, EntityId, HoldId, Money, OrderId, Quantity, SkuId, Timestamp,
    cart::CartCommand,
    order::{OrderCommand, OrderLine, PaymentToken, Placement},
    product::{ProductCommand, ProductDetails},
    stock::{SalePolicy, StockCommand},
};
use serde::{Deserialize, Serialize};

use super::HeldLine;

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
    /// Whether it may change anything: refused while the journal has no room.
    pub fn writes(&self) -> bool {
        !matches!(self, Self::ReadCart(_) | Self::ReadOrder(_) | Self::ReadProduct(_))
    }

    /// The entity it is about. One that places an order also changes the stock of its lines.
    pub(crate) fn entity(&self) -> EntityId {
        match self {
            Self::Place(place) => EntityId::Order(place.order),
            Self::Order { order, .. } | Self::ReadOrder(order) => EntityId::Order(*order),
            Self::Cart { cart, .. } | Self::ReadCart(cart) => EntityId::Cart(*cart),
            Self::Stock { sku, .. } | Self::HoldLine { sku, .. } => EntityId::Stock(sku.clone()),
            Self::UpdateProduct { sku, .. } | Self::Product { sku, .. } | Self::ReadProduct(sku) => {
                EntityId::Product(sku.clone())
            }
            Self::CreateProduct(new) => EntityId::Product(new.sku.clone()),
        }
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
    /// Digest of a request that named a cart; [`Placement::OF_LINES`] otherwise.
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

impl Place {
    /// Whether `placement` is of an order that was placed for the same request.
    pub(crate) fn is_repeat_of(&self, placement: &Placement) -> bool {
        placement.is_for(self.buyer, self.customer.as_ref(), &self.payment_token, self.fingerprint, named(&self.lines))
    }
}

/// What the lines name.
pub(crate) fn named(lines: &[PlaceLine]) -> impl Iterator<Item = (&SkuId, Quantity)> {
    lines.iter().map(|line| (&line.sku, line.quantity))
}

impl PlaceLine {
    /// The line with its frozen price.
    pub(crate) fn priced(&self, unit_price: Money) -> OrderLine {
        OrderLine { sku: self.sku.clone(), quantity: self.quantity, unit_price }
    }
}
