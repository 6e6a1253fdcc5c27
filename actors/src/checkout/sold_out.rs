//! Sold out, said from the durable view: no turn of the shard, so that a refusal is as quick as a sale.

use holdfast_core::{OrderId, stock::StockRejection};

use super::{Checkout, CheckoutRequest};
use crate::{error::CommandError, message::PlaceLine};

impl Checkout {
    /// The refusal of a one-line order whose units are gone, from the durable view: in a sold-out sale nearly every request
    /// ends here, without a turn of the shard.
    ///
    /// It is what the shard would have said when it last made a batch durable: whatever anybody has been told of by then is
    /// in the view. A key that has made an order gets that order, and a SKU with a sale window or limits gets the shard's
    /// own answer, since those refusals come first.
    pub(super) fn sold_out(
        &self,
        request: &CheckoutRequest,
        order: OrderId,
        lines: &[PlaceLine],
    ) -> Option<CommandError> {
        let [line] = lines else { return None };
        // While its shard recovers the view is not whole. The order lives where its first line does.
        let home = self.router.shards().shard_of(order.slot());
        self.router.local(home).filter(|mailbox| mailbox.is_open())?;
        let requested = line.quantity.get();
        let available = self.views.available_if_short(&line.sku, requested.into())?;
        if self.views.order_of_key(request.key_digest).is_some() {
            return None;
        }
        // The shard may have gone to another node while the view was read.
        if !self.router.shows(home) {
            return None;
        }
        Some(CommandError::stock(line.sku.clone(), StockRejection::Insufficient { available, requested }))
    }
}
