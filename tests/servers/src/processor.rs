//! The processor time that a server's processes have used, its children's included: what an order costs, whatever the
//! generator beside it costs. To the clock tick of the system, 10 ms.

use std::{collections::BTreeSet, fs, time::Duration};

/// Processor time of these processes and everything below them so far.
pub fn used(roots: &[u32]) -> Duration {
    let processes: Vec<Process> = read_all();
    let mut family: BTreeSet<u32> = roots.iter().copied().collect();
    loop {
        let below = processes.iter().filter(|process| family.contains(&process.parent)).map(|process| process.pid);
        let grown: BTreeSet<u32> = family.iter().copied().chain(below).collect();
        if grown.len() == family.len() {
            break;
        }
        family = grown;
    }
    let ticks: u64 =
        processes.iter().filter(|process| family.contains(&process.pid)).map(|process| process.ticks).sum();
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_millis(ticks.saturating_mul(1_000) / per_second)
}

/// A line of /proc: who it is, who started it, and its clock ticks with those of children that ended.
struct Process {
    pid: u32,
    parent: u32,
    ticks: u64,
}

fn read_all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)).collect()
}

fn parse(pid: u32, stat: &str) -> Option<Process> {
    // The name, in parentheses, may hold anything. After it come the state and the parent; utime is the 14th field.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Process { pid, parent, ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_a_process_include_those_of_children_that_ended() {
        let line = "7 (a) b) S 3 7 7 0 -1 4194560 1 2 0 0 100 20 3 4 20 0 1 0 5";
        let process = parse(7, line).unwrap();
        assert_eq!((process.parent, process.ticks), (3, 127));
    }

    #[test]
    fn what_this_process_burns_is_counted() {
        let own = [std::process::id()];
        let before = used(&own);
        let mut sum = 0_u64;
        while used(&own) < before + Duration::from_millis(20) {
            sum = std::hint::black_box((0..100_000).fold(sum, u64::wrapping_add));
        }
    }
}
