//! Maps from ids, with a hash that costs a third of the standard library's.
//!
//! `SipHash` defends against clients who choose keys that collide. Ours cannot: order, cart and buyer ids are digests,
//! SKUs come from the catalog, and customers' names meet a seed that differs in every process. The order of iteration is
//! arbitrary, as in any hash map: nothing that is journaled may depend on it.

use std::collections::HashMap;

use dashmap::DashMap;

/// Hashes ids.
pub(crate) type IdHasher = foldhash::quality::RandomState;

/// A map from ids.
pub(crate) type IdMap<K, V> = HashMap<K, V, IdHasher>;

/// A map from ids that many threads share.
pub(crate) type SharedIdMap<K, V> = DashMap<K, V, IdHasher>;
