//! File descriptors: every connection takes one, and many systems give a process 1,024 unless it asks for more.
//!
//! Invariant: connections never take the last ones. A journal that cannot open its next segment stops the shop, so
//! whatever the system does not allow is taken from the buyers' connections; where next to none would be left, the server
//! does not start.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors for everything that is not a connection: listeners, segments, logs. An idle server has about 100, most of
/// them the snapshot store's.
const FILES: u64 = 256;

/// Buyers' connections without which there is no point in starting; fewer only where the settings ask for fewer.
const FEWEST: usize = 16;

/// The system allows too few descriptors to serve anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system allows this process {allowed} file descriptors, and it needs at least {needed}: raise `ulimit -n`")]
pub struct TooFewDescriptors {
    /// What the system allows, in number.
    allowed: u64,
    /// What the server needs for its files, its operators and a few buyers, in number.
    needed: u64,
}

/// Raises the limit to what `buyers` and `operators` connections need, as far as the system lets us. Returns how many
/// buyers' connections can be taken, and says so where it is fewer.
///
/// # Errors
/// [`TooFewDescriptors`] when not even a few can.
pub(crate) fn raise(buyers: usize, operators: usize) -> Result<usize, TooFewDescriptors> {
    let needed = others(operators).saturating_add(buyers as u64);
    let mut limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current.filter(|current| *current < needed) else { return Ok(buyers) };
    let allowed = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    limit.current = Some(allowed);
    let now = if setrlimit(Resource::Nofile, limit).is_ok() { allowed } else { current };
    let taken = affordable(buyers, operators, now)?;
    if taken < buyers {
        tracing::warn!(
            descriptors = now,
            needed,
            connections = taken,
            "limits.connections needs more file descriptors than the system allows (ulimit -n): fewer are taken"
        );
    }
    Ok(taken)
}

/// Descriptors that buyers' connections must leave alone.
fn others(operators: usize) -> u64 {
    FILES.saturating_add(operators as u64)
}

/// How many of the `buyers` connections can be taken with so many descriptors.
fn affordable(buyers: usize, operators: usize, allowed: u64) -> Result<usize, TooFewDescriptors> {
    let others = others(operators);
    let fewest = FEWEST.min(buyers);
    let rest = usize::try_from(allowed.saturating_sub(others)).unwrap_or(usize::MAX);
    if rest < fewest {
        return Err(TooFewDescriptors { allowed, needed: others.saturating_add(fewest as u64) });
    }
    Ok(buyers.min(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buyers_get_what_neither_files_nor_operators_need() {
        assert_eq!(affordable(16_384, 64, 20_000), Ok(16_384));
        assert_eq!(affordable(16_384, 64, 1_024), Ok(704));
        assert_eq!(affordable(16_384, 300, 1_024), Ok(468));
        assert_eq!(affordable(16_384, 64, 336), Ok(FEWEST));
        assert_eq!(affordable(8, 64, 328), Ok(8));
    }

    #[test]
    fn a_server_that_could_take_next_to_no_buyers_does_not_start_and_says_what_it_needs() {
        assert_eq!(affordable(16_384, 64, 335), Err(TooFewDescriptors { allowed: 335, needed: 336 }));
        assert_eq!(affordable(8, 64, 100), Err(TooFewDescriptors { allowed: 100, needed: 328 }));
        let said = affordable(16_384, 64, 100).unwrap_err().to_string();
        assert!(said.contains("100 file descriptors") && said.contains("at least 336"), "{said}");
    }
}
