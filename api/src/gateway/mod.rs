//! The payment gateway the shards ask: the sandbox in this process, or one that is a service of its own.
//!
//! Why a service: nodes that take each other's shards over must ask one ledger. A gateway that dies with its node has
//! forgotten what it took, and the order's next owner would take it again.
//!
//! Read in this order: `wire` is what goes over HTTP; `service` answers it (`holdfast gateway`); `remote` asks it. Invariant:
//! a call's idempotency key travels unchanged, and whatever may have reached the service and was not answered is told as
//! [`GatewayError::TimedOut`](holdfast_actors::payment::GatewayError), never as "nothing happened".

pub mod remote;
pub mod service;
mod sums;
pub mod wire;

use std::{io, sync::Arc};

use holdfast_actors::payment::{PaymentGateway, SandboxGateway, SandboxSettings, sandbox::OnDuplicate};

pub use remote::RemoteGateway;
pub use service::GatewayServer;

/// The gateway that the settings name. An answer that comes a second time goes to `on_duplicate`.
///
/// # Errors
/// When the sandbox's book cannot be used, or the service's address.
pub(crate) fn open(settings: &SandboxSettings, on_duplicate: OnDuplicate) -> io::Result<Arc<dyn PaymentGateway>> {
    if settings.url.is_empty() {
        return Ok(Arc::new(SandboxGateway::open(settings)?.with_duplicates(on_duplicate)));
    }
    Ok(Arc::new(RemoteGateway::new(settings)?.with_duplicates(on_duplicate)))
}
