//! The panel shared with the layer: a file of 64-bit words that the layer has mapped, so that what it counted is known even
//! when the process was killed in the middle of a call.
//!
//! The numbers of the words are those of `tests/preload/layer.h`.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

const WORDS: u64 = 512;
const PID: u64 = 0;
const ARMED: u64 = 1;
const CLOCK_MS: u64 = 2;
const CALLS: u64 = 16;
const MATCHED: u64 = 64;
const FIRED: u64 = 128;

/// A kind of call on a watched file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Call {
    /// A file or folder was opened.
    Open = 0,
    /// Bytes were written.
    Write = 1,
    /// A file was synced (`fsync` or `fdatasync`).
    Sync = 2,
    /// A folder was synced.
    SyncDirectory = 3,
    /// `sync_file_range`, which promises nothing.
    SyncRange = 4,
    /// A file got another name.
    Rename = 5,
    /// A file was deleted.
    Unlink = 6,
    /// An answer was sent.
    Send = 9,
    /// The shifted wall clock was read.
    Clock = 11,
    /// Something the layer has no model of.
    Escape = 12,
}

/// The panel of one layer.
#[derive(Debug)]
pub struct Panel {
    file: File,
    path: PathBuf,
}

impl Panel {
    /// Makes a panel of zeros at `path`.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let mut options = File::options();
        options.create(true).truncate(true).read(true).write(true);
        let file = options.open(path).with_context(|| format!("cannot make {}", path.display()))?;
        file.set_len(WORDS * 8)?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Forgets everything, for the next start.
    ///
    /// # Errors
    /// When the panel cannot be written.
    pub fn clear(&self) -> anyhow::Result<()> {
        (0..WORDS).try_for_each(|word| self.set(word, 0))
    }

    /// From now on rules match.
    ///
    /// # Errors
    /// When the panel cannot be written.
    pub fn arm(&self) -> anyhow::Result<()> {
        self.set(ARMED, 1)
    }

    /// From now on no rule matches.
    ///
    /// # Errors
    /// When the panel cannot be written.
    pub fn disarm(&self) -> anyhow::Result<()> {
        self.set(ARMED, 0)
    }

    /// From now on the program's wall clock is this much off, in milliseconds.
    ///
    /// # Errors
    /// When the panel cannot be written.
    pub fn shift_clock(&self, by_ms: i64) -> anyhow::Result<()> {
        self.set(CLOCK_MS, by_ms.cast_unsigned())
    }

    /// The process the layer is active in; 0 if in none.
    ///
    /// # Errors
    /// When the panel cannot be read.
    pub fn pid(&self) -> anyhow::Result<u64> {
        self.get(PID)
    }

    /// How many calls of a kind the layer saw.
    ///
    /// # Errors
    /// When the panel cannot be read.
    pub fn calls(&self, call: Call) -> anyhow::Result<u64> {
        self.get(CALLS + call as u64)
    }

    /// How many calls the rule at `place` matched while armed.
    ///
    /// # Errors
    /// When the panel cannot be read.
    pub fn matched(&self, place: u64) -> anyhow::Result<u64> {
        self.get(MATCHED + place)
    }

    /// How often the rule at `place` acted.
    ///
    /// # Errors
    /// When the panel cannot be read.
    pub fn fired(&self, place: u64) -> anyhow::Result<u64> {
        self.get(FIRED + place)
    }

    fn get(&self, word: u64) -> anyhow::Result<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, word * 8).context("cannot read the fault layer's panel")?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn set(&self, word: u64, value: u64) -> anyhow::Result<()> {
        self.file.write_all_at(&value.to_ne_bytes(), word * 8).context("cannot write the fault layer's panel")
    }
}
