//! What the fault layer wrote down: every change of the watched files, every sync, every answer, in one order.
//!
//! The format is that of `tests/preload/recorder.c`. A record that was cut short by a kill ends the recording.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

const MAGIC: u32 = 0x4846_4c52;
const HEAD_BYTES: usize = 40;

/// Something the program did. Files are named by the layer's numbers, which stay through renames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file or folder was opened, and made if it is new.
    Open {
        /// Its number.
        file: u32,
        /// Its name below the watched folder.
        name: String,
        /// Whether it was not there before.
        is_new: bool,
        /// Whether it is a folder.
        is_folder: bool,
    },
    /// Bytes were written.
    Write {
        /// Where to.
        file: u32,
        /// From which byte on.
        offset: u64,
        /// The bytes.
        data: Vec<u8>,
    },
    /// The file's length was set.
    Truncate {
        /// Whose.
        file: u32,
        /// In bytes.
        bytes: u64,
    },
    /// Room was taken: the file is at least so long, with zeros where nothing was written.
    Allocate {
        /// For which file.
        file: u32,
        /// Its least length, in bytes.
        bytes: u64,
    },
    /// A sync of a file or folder began: it covers what came before.
    SyncBegin {
        /// Of what.
        file: u32,
        /// The sync's number.
        sync: u64,
    },
    /// A sync returned without an error.
    SyncEnd {
        /// The sync's number.
        sync: u64,
    },
    /// A name was changed.
    Rename {
        /// The old name.
        from: String,
        /// The new one.
        to: String,
    },
    /// A name was removed.
    Unlink {
        /// Which.
        name: String,
    },
    /// A folder was made.
    MakeFolder {
        /// Its name.
        name: String,
    },
    /// An answer is about to be sent.
    Answer {
        /// Its bytes, head and body.
        bytes: Vec<u8>,
    },
}

/// Everything one process did.
#[derive(Debug)]
pub struct Recording {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
}

impl Recording {
    /// Reads the record at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or is no record.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let (mut entries, mut rest) = (Vec::new(), bytes.as_slice());
        while let Some((entry, after)) = parse(rest)? {
            entries.push(entry);
            rest = after;
        }
        ensure!(!entries.is_empty(), "{} is empty: the fault layer recorded nothing", path.display());
        Ok(Self { entries, bytes })
    }

    /// What was done, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Keeps the record at `path`, to be read again.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, &self.bytes).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The first record of `bytes`, and what follows; none if it is cut short.
fn parse(bytes: &[u8]) -> anyhow::Result<Option<(Entry, &[u8])>> {
    let Some((head, rest)) = bytes.split_at_checked(HEAD_BYTES) else { return Ok(None) };
    let small = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let large = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    ensure!(small(0) == MAGIC, "the record is not one of the fault layer");
    let (kind, file, name_bytes) = (small(4), small(8), usize::try_from(small(12))?);
    let (a, b, data_bytes) = (large(16), large(24), usize::try_from(large(32))?);
    let Some((name, rest)) = rest.split_at_checked(name_bytes) else { return Ok(None) };
    let Some((data, rest)) = rest.split_at_checked(data_bytes) else { return Ok(None) };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let entry = match kind {
        1 => Entry::Open { file, name: text(name), is_new: a != 0, is_folder: b != 0 },
        2 => Entry::Write { file, offset: a, data: data.to_vec() },
        3 => Entry::Write { file, offset: a, data: vec![0; usize::try_from(b)?] },
        4 => Entry::Truncate { file, bytes: a },
        5 => Entry::Allocate { file, bytes: a + b },
        6 => Entry::SyncBegin { file, sync: a },
        7 => Entry::SyncEnd { sync: a },
        8 => Entry::Rename { from: text(name), to: text(data) },
        9 => Entry::Unlink { name: text(name) },
        10 => Entry::MakeFolder { name: text(name) },
        11 => Entry::Answer { bytes: data.to_vec() },
        other => bail!("the fault layer recorded something of kind {other}"),
    };
    Ok(Some((entry, rest)))
}

impl Entry {
    /// The body of an answer with status 201: something was acknowledged.
    ///
    /// # Errors
    /// When the answer was recorded in pieces.
    pub fn acknowledged(&self) -> anyhow::Result<Option<Value>> {
        let Self::Answer { bytes } = self else { return Ok(None) };
        if !bytes.starts_with(b"HTTP/1.1 201") {
            return Ok(None);
        }
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n").context("an answer without its end of head")?;
        serde_json::from_slice(&bytes[end + 4..]).map(Some).context("an answer without its whole body")
    }
}
