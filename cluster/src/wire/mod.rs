//! What travels between nodes: a fixed header and a value behind it.
//!
//! Invariants: bytes from elsewhere are a value or an error, never a panic. Nothing here is kept anywhere: nodes of one
//! deployment speak one version, and another one's words are refused, not guessed at.

mod answer;
mod header;

use holdfast_persistence::{CodecError, encode_value};
use serde::Serialize;

pub use answer::Answer;
pub use header::{Header, Kind, Split};

/// The version of everything here. It is the first byte of whatever is asked. Since 2 a request that names its lines has no
/// fingerprint: a node of version 1 would take every such request under one key for the same.
pub const VERSION: u8 = 2;

/// What was received is not of this wire.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// It is of another version, or of none.
    #[error("version {0} of the wire between nodes is not known here")]
    Version(u8),
    /// It ends within its fixed fields.
    #[error("{0} bytes are too few")]
    CutShort(usize),
    /// Its kind or status is unknown.
    #[error("kind {0} is not known here")]
    Kind(u8),
    /// What is behind the fixed fields is no such value.
    #[error(transparent)]
    Body(#[from] CodecError),
}

/// A header with a value behind it.
///
/// # Errors
/// [`WireError::Body`] when the value cannot be written.
pub fn framed<T: Serialize>(header: &Header, body: &T) -> Result<Vec<u8>, WireError> {
    let mut bytes = Vec::with_capacity(Header::BYTES + 128);
    header.write(&mut bytes);
    encode_value(body, &mut bytes)?;
    Ok(bytes)
}
