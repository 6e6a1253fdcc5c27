//! A value that is compared but never shown.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use subtle::ConstantTimeEq;

/// What is shown in place of a secret.
const REDACTED: &str = "[redacted]";

/// A secret text. Neither `Debug` nor serialization shows it, and comparing takes the same time whatever differs.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// `text` as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether `given` is the secret. Compares digests, so not even the length shows in the time it takes.
    pub fn matches(&self, given: &str) -> bool {
        let (own, given) = (blake3::hash(self.0.as_bytes()), blake3::hash(given.as_bytes()));
        own.as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// Whether it can come as a bearer token and is not taken for a buyer's.
    pub(super) fn is_bearer(&self) -> bool {
        self.0.bytes().all(|byte| byte.is_ascii_graphic()) && !self.0.starts_with("buy_")
    }

    /// Its length, in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is empty, and thereby no secret.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}
