//! One idempotency key, one request at a time. A [`KeyGuard`] travels with its request through mailboxes and batches, so a
//! client that hangs up does not free its key while its first request is still being decided.

use std::sync::Arc;

use crate::id_map::SharedIdMap;

/// The idempotency keys under way on this node, by digest.
#[derive(Debug, Clone, Default)]
pub struct KeysInFlight(Arc<SharedIdMap<u128, ()>>);

/// The right to act under a key; given back when dropped.
#[derive(Debug)]
pub struct KeyGuard {
    keys: KeysInFlight,
    digest: u128,
}

impl KeysInFlight {
    /// Takes the key, or `None` while another request has it.
    pub fn take(&self, digest: u128) -> Option<KeyGuard> {
        let before = self.0.insert(digest, ());
        before.is_none().then(|| KeyGuard { keys: self.clone(), digest })
    }
}

impl Drop for KeyGuard {
    fn drop(&mut self) {
        self.keys.0.remove(&self.digest);
    }
}

#[cfg(test)]
mod tests {
    use super::KeysInFlight;

    #[test]
    fn a_key_is_free_again_once_its_guard_is_gone() {
        let keys = KeysInFlight::default();
        let guard = keys.take(7);
        assert!(guard.is_some());
        assert!(keys.take(7).is_none(), "the key is taken");
        assert!(keys.take(8).is_some(), "another key is free");
        drop(guard);
        assert!(keys.take(7).is_some());
    }
}
