//! File descriptors: every connection takes one, and many systems give a process 1,024 unless it asks for more.
//!
//! Invariant: connections never take the last ones. A journal that cannot open its next segment stops the shop, so
//! whatever the system does not allow is taken from the connections.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors for everything that is not a buyer's connection: listeners, segments, logs, operators. An idle server has
/// about 100, most of them the snapshot store's.
const OTHERS: u64 = 256;

/// Connections that are taken however few descriptors there are.
const FEWEST: usize = 16;

/// Raises the limit to what `connections` need, as far as the system lets us. Returns how many connections can be taken,
/// and says so where it is fewer.
pub(crate) fn raise(connections: usize) -> usize {
    let needed = OTHERS.saturating_add(connections as u64);
    let mut limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current.filter(|current| *current < needed) else { return connections };
    let allowed = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    limit.current = Some(allowed);
    let now = if setrlimit(Resource::Nofile, limit).is_ok() { allowed } else { current };
    let taken = affordable(connections, now);
    if taken < connections {
        tracing::warn!(
            descriptors = now,
            needed,
            connections = taken,
            "limits.connections needs more file descriptors than the system allows (ulimit -n): fewer are taken"
        );
    }
    taken
}

/// How many of `connections` can be taken with so many descriptors.
fn affordable(connections: usize, descriptors: u64) -> usize {
    let rest = usize::try_from(descriptors.saturating_sub(OTHERS)).unwrap_or(usize::MAX);
    connections.min(rest.max(FEWEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_what_the_rest_of_the_server_does_not_need() {
        assert_eq!(affordable(16_384, 20_000), 16_384);
        assert_eq!(affordable(16_384, 1_024), 768);
        assert_eq!(affordable(16_384, 100), FEWEST);
        assert_eq!(affordable(8, 100), 8);
    }
}
