//! What a shard says to a request, and where it says it.

use holdfast_core::{Money, Timestamp, cart::Cart, order::Order};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{
    error::CommandError,
    key::KeyGuard,
    mailbox::Permit,
    view::{ProductView, StockView},
};

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
    Order(Order),
    /// The order was placed (or had been before).
    Placed {
        /// The order.
        order: Order,
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

impl ReplyPort {
    /// Gives the reply.
    pub(crate) fn answer(self, outcome: Outcome) {
        let Self { sender, _permit, guard } = self;
        drop(guard);
        // A caller that hung up needs no answer; what was decided stays decided.
        let _ = sender.send(outcome);
    }
}

/// A line held for an order of another shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLine {
    /// The price of a unit when it was held.
    pub unit_price: Money,
    /// When the hold lapses. Every attempt under a key sets it anew, so it also says whose hold it is.
    pub expires_at: Timestamp,
}
