//! Small files that are there whole or not at all, also after a power cut: written aside, synced, renamed, and the
//! directory synced.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use super::{StoreError, io_error};

/// Puts `bytes` into the file `name` of `dir` with the permission bits `mode`.
pub(super) fn write(dir: &Path, name: &str, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let path = dir.join(name);
    let aside = dir.join(format!("{name}.new"));
    let io = |action| io_error(action, &path);
    // A leftover of an interrupted attempt may have other permissions.
    let _ = std::fs::remove_file(&aside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&aside).map_err(io("create"))?;
    file.write_all(bytes).map_err(io("write"))?;
    file.sync_all().map_err(io("sync"))?;
    std::fs::rename(&aside, &path).map_err(io("rename into place"))?;
    sync_directory(dir)
}

/// Makes `dir` and what is missing above it, each durable in its parent.
pub(crate) fn create_directory(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_directory(parent)?;
    match std::fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(parent)?.sync_all(),
    }
}

/// Makes the names in `dir` durable.
pub(super) fn sync_directory(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("sync", dir))
}
