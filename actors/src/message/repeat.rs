//! Which requests may be asked again where the answer was lost. Every command is named here: a new one must say what it is.

use holdfast_core::{cart::CartCommand, order::OrderCommand, stock::StockCommand};

use super::Request;

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
