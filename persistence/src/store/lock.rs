//! One process per data directory: an advisory lock that the kernel lets go when the process ends, however it ends.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
};

use rustix::fs::FlockOperation;

use super::StoreError;

/// The lock's file name.
pub(super) const FILE: &str = "lock";

/// Held for as long as it lives.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    file: File,
}

impl DirectoryLock {
    /// Takes the lock of `dir` and writes this process's id into it, for whoever finds it taken.
    pub(super) fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let io = |action| super::io_error(action, &path);
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(io("open"))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // The holder's id is a courtesy: without it the refusal stands all the same.
                let _ = file.read_to_string(&mut holder);
                return Err(StoreError::Locked { path, holder: holder.trim().parse().ok() });
            }
            Err(errno) => return Err(io("lock")(errno.into())),
        }
        file.set_len(0).map_err(io("write"))?;
        file.rewind().map_err(io("write"))?;
        writeln!(file, "{}", std::process::id()).map_err(io("write"))?;
        Ok(Self { file })
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing the file is not enough when a child process that was just started still has a copy of it. If it fails,
        // closing it is what is left to do.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}
