//! What asks a process to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ServeError;

/// SIGTERM and SIGINT: what asks a server to end, also while it starts.
pub struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndSignals {
    /// Listens from now on. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// When the system does not let it.
    pub fn listen() -> Result<Self, ServeError> {
        let wait_for = |kind| signal(kind).map_err(|source| ServeError::System { what: "a signal handler", source });
        Ok(Self { terminate: wait_for(SignalKind::terminate())?, interrupt: wait_for(SignalKind::interrupt())? })
    }

    /// Waits until one comes.
    pub async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
