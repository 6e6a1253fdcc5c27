//! Ports on loopback that nobody uses, and that nobody is given by chance while a test has its server down.
//!
//! Invariant: below the range Linux takes ports of outgoing connections from (32,768 and up), so that a stopped server
//! finds its port free when it starts again.

use std::{
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::Context as _;

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port that can be listened on now. Not the same twice in one process.
///
/// # Errors
/// When none is free.
pub fn free() -> anyhow::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run at once begin at different places.
    let start = u16::try_from(process::id().wrapping_mul(257) % u32::from(COUNT))?;
    let ports = (0..COUNT).map(|_| FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT);
    ports.into_iter().find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).context("no port is free")
}
