//! Why a server cannot start, or cannot go on.

use std::{io, net::SocketAddr};

use holdfast_actors::NodeError;
use holdfast_cluster::NatsError;
use holdfast_persistence::{StoreError, postgres::projection::ProjectionError};

use crate::{
    descriptors::TooFewDescriptors, membership::MembershipError, settings::SettingsError, telemetry::TelemetryError,
};

/// Why a server cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting makes no sense.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The system allows too few file descriptors.
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
    /// Logs or metrics cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// An address cannot be listened on.
    #[error("cannot listen on {addr} ({setting}): {}", explain(.source))]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The setting it is from.
        setting: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The data folder cannot be opened.
    #[error("the data folder cannot be opened")]
    Store(#[from] StoreError),
    /// The database's settings cannot be used. That it is down is no reason: it is waited for in the background.
    #[error("PostgreSQL cannot be used")]
    Beside(#[from] ProjectionError),
    /// The journal's servers are not fit, or do not answer.
    #[error("the journal in NATS cannot be opened")]
    Nats(#[from] NatsError),
    /// The node cannot be one of several.
    #[error("the node cannot join its cluster")]
    Membership(#[from] MembershipError),
    /// The payment gateway's book, or its address, is not one.
    #[error("the payment gateway cannot be used (payments.sandbox)")]
    Gateway(#[source] io::Error),
    /// The node cannot start.
    #[error("the shards cannot start")]
    Node(#[from] NodeError),
    /// The operating system gave no randomness, no thread or no signal.
    #[error("the operating system refused {what}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The node could not go on. What was acknowledged is on disk; start again to recover.
    #[error("the node stopped: {0}")]
    Failed(String),
}

fn explain(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there",
        io::ErrorKind::AddrNotAvailable => "this machine does not have the address",
        io::ErrorKind::PermissionDenied => "the port needs more rights",
        _ => "the system refused",
    }
}
