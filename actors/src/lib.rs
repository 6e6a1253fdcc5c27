//! Holdfast's runtime: shards that host entities, and what keeps them alive, durable and reachable.
//!
//! Read in this order: [`commerce`] is the facade; [`checkout`] is how an order comes to be; [`mailbox`] is how a request
//! waits; [`shard`] is where it is decided; `gate` is why nothing leaves before it is durable; [`node`] puts it together.
//!
//! Invariant: nothing here knows HTTP, SQL or a message bus. Where a shard is, is the [`router::Router`]'s; who moves money
//! is the [`payment::PaymentGateway`]'s; what is durable is the journal's.
#![forbid(unsafe_code)]

mod actor;
pub mod background;
mod census;
pub mod checkout;
mod checkpoint_now;
mod chunked_queue;
pub mod clock;
pub mod commerce;
mod effects;
pub mod error;
mod fatal;
mod following;
mod gate;
mod id_map;
pub mod key;
pub mod lease;
pub mod mailbox;
pub mod message;
pub mod node;
pub mod outbound;
pub mod payment;
mod reads;
mod rebuild;
pub mod recovery;
mod releases;
mod retention;
mod reused_keys;
mod role;
pub mod router;
mod rows;
pub mod settings;
pub mod shard;
mod snapshot_writer;
pub mod stepped;
mod supervisor;
pub mod view;

pub use checkout::{CheckoutError, CheckoutOutcome, CheckoutRequest, CheckoutSource};
pub use checkpoint_now::Checkpointed;
pub use clock::Clock;
pub use commerce::Commerce;
pub use error::{CommandError, Effect, Rejection, Unavailable};
pub use following::OwnershipError;
pub use lease::Lease;
pub use mailbox::{Mailbox, Refused};
pub use node::{Node, NodeError, NodeParts, ShardReport};
pub use role::Role;
pub use router::Router;
pub use settings::RuntimeSettings;
pub use view::{OrderQuery, OrderSummary, ProductQuery, ProductView, StockView, Views};
