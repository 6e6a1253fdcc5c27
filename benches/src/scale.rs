//! How large a run is: whole for `cargo bench`, small where a suite is only tried out; and how much memory it takes.

use std::{env, fs};

/// Whether this run only tries the suite out, as criterion decides it: no `--bench`, or `--test`.
pub fn is_trial() -> bool {
    let has = |wanted: &str| env::args().any(|argument| argument == wanted);
    !has("--bench") || has("--test")
}

/// `whole` of something, or `few` where the suite is only tried out.
pub fn sized(whole: u64, few: u64) -> u64 {
    if is_trial() { few } else { whole }
}

/// Resident bytes of this process (Linux); 0 elsewhere.
pub fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}
