//! How much memory a server has resident, as the system counts it.

use std::fs;

use anyhow::Context as _;

/// The resident memory of process `pid`, in bytes. Linux only.
///
/// # Errors
/// When there is no such process.
pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes: u64 = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?.parse()?;
    Ok(kibibytes << 10)
}

/// How much more is resident now than `before`, in mebibytes, rounded up.
///
/// # Errors
/// When there is no such process.
pub fn grown_mib(pid: u32, before: u64) -> anyhow::Result<u64> {
    Ok(resident_bytes(pid)?.saturating_sub(before).div_ceil(1 << 20))
}
