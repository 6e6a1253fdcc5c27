//! File descriptors: every connection takes one, and many systems give a process 1,024 unless it asks for more.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors for everything that is not a connection: listeners, segments, snapshots, logs.
const OTHERS: u64 = 128;

/// Raises the limit to what `connections` need, as far as the system lets us, and says so where it does not.
pub(crate) fn raise(connections: usize) {
    let needed = OTHERS.saturating_add(connections as u64);
    let mut limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current.filter(|current| *current < needed) else { return };
    let allowed = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    limit.current = Some(allowed);
    let now = if setrlimit(Resource::Nofile, limit).is_ok() { allowed } else { current };
    if now < needed {
        tracing::warn!(
            descriptors = now,
            needed,
            "limits.connections needs more file descriptors than the system allows (ulimit -n)"
        );
    }
}
