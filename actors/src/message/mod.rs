//! What a shard can be asked, and what it answers. Requests from clients carry a permit and a reply port; messages between
//! shards carry neither: they have ids, may arrive twice, and are deduplicated by the receiver's state.

mod envelope;
mod repeat;
mod reply;
mod request;

pub use envelope::{Envelope, Internal, Message, SnapshotProgress};
pub use reply::{HeldLine, Outcome, Reply, ReplyPort};
pub(crate) use request::named;
pub use request::{NewProduct, Place, PlaceLine, Request};
