//! Panics that nobody asked for. The node catches a panic in a turn and goes on; a simulation must not overlook it.
//!
//! Invariant: a panic on a simulating thread is remembered there and printed nowhere; on any other thread nothing changes.
//! Panics that the simulation injects unwind without the hook and are not seen here.

use std::{cell::RefCell, panic, sync::Once};

thread_local! {
    static SEEN: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Remembers the panics of this thread while it lives.
pub(crate) struct BugWatch(());

impl BugWatch {
    pub(crate) fn begin() -> Self {
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                let watched = SEEN.try_with(|seen| match seen.borrow_mut().as_mut() {
                    Some(seen) => {
                        seen.push(info.to_string());
                        true
                    }
                    None => false,
                });
                if !watched.unwrap_or(false) {
                    before(info);
                }
            }));
        });
        SEEN.with_borrow_mut(|seen| *seen = Some(Vec::new()));
        Self(())
    }

    /// The first panic since the last call.
    pub(crate) fn take(&self) -> Option<String> {
        SEEN.with_borrow_mut(|seen| {
            let panics = std::mem::take(seen.as_mut()?);
            panics.into_iter().next()
        })
    }
}

impl Drop for BugWatch {
    fn drop(&mut self) {
        SEEN.with_borrow_mut(|seen| *seen = None);
    }
}
