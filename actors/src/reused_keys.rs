//! The door of a shard: an order whose idempotency key has made another one is turned away, before the turn.
//!
//! An order lives where its first line does, so that under a key with another first line it would be placed beside the one that
//! the key has made, in a shard that does not know of it. The views know. They are asked here, and not where the request came in, because
//! here many are asked about at once: their index is large and in no cache, and waiting for one place after the other took as
//! long as a thirtieth of everything else. In a cluster, where shards move and a view may be behind another node's, they are asked
//! there as well.
//!
//! Two requests of one key do not pass at once: the key is taken until the first has its answer
//! ([`KeysInFlight`](crate::key::KeysInFlight)), and the views know what was answered.

use holdfast_core::{OrderId, order::OrderRejection};

use crate::{
    message::{Envelope, Request},
    view::Views,
};

/// Answers the requests for orders whose keys have made other ones, and takes them out.
pub(crate) fn turn_away(inbox: &mut Vec<Envelope>, views: &Views) {
    if !views.any_key_is_of_another(inbox.iter().filter_map(placed)) {
        return;
    }
    let is_reused = |envelope: &mut Envelope| views.any_key_is_of_another(placed(envelope).into_iter());
    for envelope in inbox.extract_if(.., is_reused) {
        if let Envelope::Request { port, .. } = envelope {
            port.answer(Err(OrderRejection::FingerprintMismatch.into()));
        }
    }
}

/// The order that is to be placed.
fn placed(envelope: &Envelope) -> Option<OrderId> {
    match envelope {
        Envelope::Request { request: Request::Place(place), .. } => Some(place.order),
        _ => None,
    }
}
