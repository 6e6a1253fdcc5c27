//! Whose directory this is: a small text file written once, when the directory is made.
//!
//! Invariant: it is renamed into place last, so a directory with a meta file is complete; a directory without one was
//! never opened.

use std::path::{Path, PathBuf};

use holdfast_core::ShardCount;

use super::{StoreError, StoreId, atomic_file};

/// The meta file's name.
pub(super) const FILE: &str = "meta";
const MAGIC: &str = "holdfast data directory";
/// The directory format written and read by this version.
const FORMAT: u32 = 1;

/// What the meta file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    /// Random, made once: ties journal, snapshots and directory together.
    pub(super) store: StoreId,
    /// How many shards the deployment has.
    pub(super) shards: ShardCount,
}

impl Meta {
    /// Reads the meta file of `dir`; `None` when there is none.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = dir.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(StoreError::BadMeta { path }),
            Err(error) => Err(super::io_error("read", &path)(error)),
        }
    }

    /// Writes the meta file of `dir`, atomically and durably.
    pub(super) fn write(self, dir: &Path) -> Result<(), StoreError> {
        atomic_file::write(dir, FILE, self.text().as_bytes(), 0o644)
    }

    fn text(self) -> String {
        use std::fmt::Write as _;
        let mut text = format!("{MAGIC}\nformat {FORMAT}\nstore {}\nshards {}\n", self.store, self.shards.get());
        let crc = crc32c::crc32c(text.as_bytes());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "crc32c {crc:08x}");
        text
    }

    fn parse(text: &str, path: &Path) -> Result<Self, StoreError> {
        let bad = || StoreError::BadMeta { path: path.to_path_buf() };
        let mut lines = text.lines();
        if lines.next() != Some(MAGIC) {
            return Err(bad());
        }
        let mut field = |name: &str| lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let format = field("format").and_then(|value| value.parse().ok()).ok_or_else(bad)?;
        if format != FORMAT {
            return Err(StoreError::UnknownFormat { path: path.to_path_buf(), format, known: FORMAT });
        }
        let store = field("store").and_then(|value| value.parse().ok()).ok_or_else(bad)?;
        let shards = field("shards").and_then(|value| value.parse().ok()).ok_or_else(bad)?;
        let meta = Self { store, shards: ShardCount::new(shards).map_err(|_| bad())? };
        // The checksum line is compared by writing the file again: nothing else may be in it either.
        if meta.text() == text { Ok(meta) } else { Err(bad()) }
    }
}

/// A new id for the store in `dir`.
pub(super) fn new_id(dir: &Path) -> Result<StoreId, StoreError> {
    StoreId::random()
        .map_err(|error| super::io_error("draw random bytes for", &path(dir))(std::io::Error::other(error.to_string())))
}

/// The path of the meta file of `dir`.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}
