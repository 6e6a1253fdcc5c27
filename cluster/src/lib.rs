//! Where a shard is, and how a request gets there.
//!
//! On one node every shard is here, and [`LocalRouter`] is all there is. Among others [`ClusterRouter`] is in the same place:
//! requests to other nodes' shards travel over NATS, and nothing above or below changes.
//!
//! [`jetstream`] is the journal of a store that is not on one disk: a stream per shard in NATS. Whose a shard is, its stream
//! says ([`owners`]); [`members`] are the nodes that live, and [`plan`] is where every shard shall be and makes it so.
//! [`replica`] follows the shards of others, [`link`] takes requests to them and [`wire`] is how those travel. [`cluster`]
//! puts a node's part together; [`operator`] is what people are told and may ask for.
//!
//! Invariant: no business rule lives here.
#![forbid(unsafe_code)]

pub mod boot;
pub mod cluster;
pub mod jetstream;
pub mod link;
pub mod local;
pub mod members;
pub mod operator;
pub mod owners;
pub mod plan;
pub mod replica;
pub mod settings;
pub mod wire;

pub use boot::BootId;
pub use cluster::{Cluster, ClusterError, ClusterParts};
pub use holdfast_actors::Router;
pub use jetstream::{
    Acquired, Archive, Archivist, JetStream, JetStreamJournal, NatsError, NatsSettings, Released, Requests, Tail,
    TailSink,
};
pub use link::{ClusterRouter, Link, LinkParts, Living};
pub use local::LocalRouter;
pub use owners::{Owners, Ownership};
pub use settings::ClusterSettings;
