//! How much memory a server has resident, and had at most, as the system counts it.

use std::fs;

use anyhow::Context as _;

/// What resets the peak of a process, written to its `clear_refs` (proc(5)).
const RESET_PEAK: &str = "5";

/// The resident memory of process `pid`, in bytes. Linux only.
///
/// # Errors
/// When there is no such process.
pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// How much more is resident now than `before`, in mebibytes, rounded up.
///
/// # Errors
/// When there is no such process.
pub fn grown_mib(pid: u32, before: u64) -> anyhow::Result<u64> {
    Ok(mib_above(resident_bytes(pid)?, before))
}

/// Begins a peak of what process `pid` has resident anew. What is resident now, in bytes.
///
/// # Errors
/// When there is no such process.
pub fn forget_peak(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, RESET_PEAK).with_context(|| format!("cannot write {path}"))?;
    resident_bytes(pid)
}

/// How much more than `before` was resident at most since the peak was forgotten, in mebibytes, rounded up: also what was given
/// back before anybody looked.
///
/// # Errors
/// When there is no such process.
pub fn peaked_mib(pid: u32, before: u64) -> anyhow::Result<u64> {
    Ok(mib_above(status_bytes(pid, "VmHWM:")?, before))
}

fn mib_above(bytes: u64, before: u64) -> u64 {
    bytes.saturating_sub(before).div_ceil(1 << 20)
}

fn status_bytes(pid: u32, field: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes: u64 = line.and_then(|line| line.split_whitespace().next()).context("no such field")?.parse()?;
    Ok(kibibytes << 10)
}
