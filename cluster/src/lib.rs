//! Placement: which node owns a shard, and how a request gets there.
//!
//! On one node there is one owner, and [`LocalRouter`] is all there is. A cluster puts its own [`Router`] in the same place:
//! the shard map then names other nodes, requests to them travel over NATS, and nothing above or below changes.
//!
//! [`jetstream`] is the journal of a store that is not on one disk: a stream per shard in NATS.
//!
//! [`link`] takes requests and messages to the shards of other nodes; [`wire`] is how they travel.
//!
//! Invariant: no business rule lives here.
#![forbid(unsafe_code)]

pub mod boot;
pub mod cluster;
pub mod jetstream;
pub mod link;
pub mod local;
pub mod map;
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
    Acquired, JetStream, JetStreamJournal, NatsError, NatsSettings, Released, Requests, Tail, TailSink,
};
pub use link::{ClusterRouter, Link, LinkParts, Living};
pub use local::LocalRouter;
pub use map::{Owner, ShardMap};
pub use owners::{Owners, Ownership};
pub use settings::ClusterSettings;
