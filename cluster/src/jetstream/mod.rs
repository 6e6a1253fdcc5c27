//! The journal in NATS `JetStream`: a stream per shard, a message per group of batches, every append a compare-and-set on the stream's
//! end. With three servers, three replicas and `sync_interval: always` an acknowledged batch survives the loss of any server
//! and a power cut of all.
//!
//! Read in this order: [`settings`] is `[nats]`; `connect` reaches the servers and refuses those that are not fit; `streams`
//! sets the streams up and takes shards over; `connection` begins the journal on them, `journal` puts it together; `log` is one shard as it is known here, and `tenure`
//! takes it over and lets it go; `lane` appends, with what is on its way in `flight`, and `verdict` finds out what became of it; `reader` reads a stream in order, for
//! `replay`, `follow` and the `tail` of what others commit, which `hint` wakes; `purge` lets old messages go, and `archive` has
//! what was in them, where there is no `PostgreSQL`; `watch` looks for
//! other owners; `requests` is the protocol, with what nodes tell one another in [`control`], and `blocking` waits for it.
//!
//! Invariants: epochs are safety. A shard's messages carry the epoch of their owner, a takeover begins the next one, and no
//! message of an earlier epoch can come behind it. A batch is reported durable only when it is known to be in the stream.

mod archive;
mod blocking;
mod confirm;
mod connect;
mod connection;
pub mod control;
mod error;
mod flight;
mod follow;
mod hint;
mod journal;
mod lane;
mod log;
mod purge;
mod reader;
mod replay;
mod requests;
pub mod settings;
mod shared;
mod streams;
mod tail;
mod takeover;
mod tenure;
mod verdict;
mod watch;

pub use archive::{Archive, Archivist};
pub use async_nats::Client as NatsClient;
pub use connect::connect_link;
pub use connection::JetStream;
pub use error::{NatsError, RequestError};
pub use journal::JetStreamJournal;
pub use requests::{Appended, Requests, Stored};
pub use settings::{NatsSettingError, NatsSettings};
pub use tail::{Tail, TailSink};
pub use tenure::{Acquired, Released};
