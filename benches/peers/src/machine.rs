//! What a figure was measured on: without it nobody can read it.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::Path,
    thread,
};

use anyhow::Context as _;
use holdfast_api::load::{report::median, scratch::ScratchFolder, stopwatch::Stopwatch};
use serde::Serialize;

/// How statfs names file systems that are in memory (linux/magic.h): tmpfs and ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
/// Syncs that are timed.
const SYNCS: u64 = 50;
/// What is written before each: about a frame of a sale.
const WRITTEN: usize = 8 * 1_024;

/// A machine and its disk.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    processor: String,
    processors: usize,
    kernel: String,
    /// Whether the data of the contenders lies in memory, where a sync costs nothing and keeps nothing.
    pub(crate) data_in_memory: bool,
    /// What one write of 8 KiB over what is there takes with its `fdatasync`, the middle one of fifty, in microseconds: what no order
    /// that waits for a sync of its own can be quicker than.
    sync_us: f64,
}

impl Machine {
    /// This one; the disk is that of `folder`.
    pub(crate) fn of(folder: &Path) -> anyhow::Result<Self> {
        let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| model(&text).map(str::to_owned));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let kind = rustix::fs::statfs(folder).context("cannot ask what file system the data is on")?.f_type;
        // Of its own: several may ask at once.
        let own = ScratchFolder::new(Some(folder), "sync")?;
        Ok(Self {
            processor: processor.unwrap_or_default(),
            processors: thread::available_parallelism().map_or(1, Into::into),
            kernel: kernel.trim().to_owned(),
            data_in_memory: IN_MEMORY.contains(&kind.cast_unsigned()),
            sync_us: sync_us(&own.path().join("written")).context("cannot time a sync")?,
        })
    }

    /// The same in one line.
    pub(crate) fn line(&self) -> String {
        let Self { processor, processors, kernel, data_in_memory, sync_us } = self;
        let disk = if *data_in_memory {
            "the data is in memory, where a sync keeps nothing: name a folder on a disk in TMPDIR".to_owned()
        } else {
            format!("a write of 8 KiB with its fdatasync takes {sync_us:.0} us")
        };
        format!("{processors} processors ({processor}), Linux {kernel}; {disk}")
    }
}

/// The first processor's name in /proc/cpuinfo.
fn model(cpuinfo: &str) -> Option<&str> {
    cpuinfo.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim()))
}

fn sync_us(path: &Path) -> std::io::Result<f64> {
    let file = File::create(path)?;
    let mut took = Vec::new();
    // As in a journal that is made beforehand: no sync has to note a new length.
    (0..SYNCS).try_for_each(|number| file.write_all_at(&[0; WRITTEN], number * WRITTEN as u64))?;
    file.sync_all()?;
    for number in 0..SYNCS {
        let watch = Stopwatch::start();
        file.write_all_at(&[1; WRITTEN], number * WRITTEN as u64)?;
        file.sync_data()?;
        took.push(watch.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(took))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_has_the_name_that_the_system_gives_it() {
        assert_eq!(model("processor\t: 0\nmodel name\t: AMD EPYC 7763\nmodel name\t: other\n"), Some("AMD EPYC 7763"));
        assert_eq!(model("processor\t: 0\n"), None);
    }

    #[test]
    fn a_machine_tells_what_it_is_and_its_disk_takes_its_time() {
        let machine = Machine::of(&std::env::temp_dir()).unwrap();
        assert!(machine.processors > 0 && !machine.kernel.is_empty() && machine.sync_us > 0.0, "{machine:?}");
    }

    #[test]
    fn data_in_memory_is_said_to_be_there() {
        // Every Linux has this one.
        let machine = Machine::of(Path::new("/dev/shm")).unwrap();
        assert!(machine.data_in_memory && machine.line().contains("keeps nothing"), "{machine:?}");
    }
}
