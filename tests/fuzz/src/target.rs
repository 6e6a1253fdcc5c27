//! What is fuzzed, and how much memory each may use.

use allocation_counter::measure;

use crate::targets;

/// One thing that reads bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// The frame decoder of the journal.
    Frame,
    /// The record decoders of the journal: every event of every entity.
    Record,
    /// A whole segment file: header, frames and records together, as a start surveys them.
    Segment,
    /// The snapshots of every entity.
    Snapshot,
    /// Every body a request can have.
    Body,
    /// Whole requests: method, path, query, headers, body.
    Request,
    /// The settings: TOML files and overrides.
    Settings,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Frame, Self::Record, Self::Segment, Self::Snapshot, Self::Body, Self::Request, Self::Settings];

    /// Its name on the command line, and its folder in the corpus.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Record => "record",
            Self::Segment => "segment",
            Self::Snapshot => "snapshot",
            Self::Body => "body",
            Self::Request => "request",
            Self::Settings => "settings",
        }
    }

    /// The target of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Runs it on `bytes`.
    ///
    /// # Panics
    /// When something does not hold.
    pub fn run(self, bytes: &[u8]) {
        let used = measure(|| match self {
            Self::Frame => targets::frame::run(bytes),
            Self::Record => targets::record::run(bytes),
            Self::Segment => targets::segment::run(bytes),
            Self::Snapshot => targets::snapshot::run(bytes),
            Self::Body => targets::body::run(bytes),
            Self::Request => targets::request::run(bytes),
            Self::Settings => targets::settings::run(bytes),
        });
        let allowed = self.allowance(bytes.len() as u64);
        assert!(used.bytes_max <= allowed, "{} bytes of memory for {} bytes given", used.bytes_max, bytes.len());
    }

    /// The most memory it may use at once for so many bytes, in bytes. A decoder that trusts a length it reads passes any
    /// of these; the constants leave room for what the target itself needs to check the result.
    const fn allowance(self, len: u64) -> u64 {
        let (fixed, per_byte) = match self {
            Self::Frame => (4 << 10, 8),
            // serde believes a list's length up to a mebibyte ahead of its bytes, and lists stand in lists; segments are
            // read a mebibyte at a time.
            Self::Record | Self::Snapshot | Self::Segment => (4 << 20, 64),
            Self::Body => (64 << 10, 128),
            Self::Request => (256 << 10, 128),
            Self::Settings => (1 << 20, 1_024),
        };
        fixed + len * per_byte
    }

    /// Texts that a mutation may put in: what the decoder looks for.
    pub const fn words(self) -> &'static [&'static [u8]] {
        match self {
            Self::Frame | Self::Record | Self::Segment | Self::Snapshot => &[
                b"\xfb\xff\xff",
                b"\xfc\xff\xff\xff\xff",
                b"\xfd\xff\xff\xff\xff\xff\xff\xff\xff",
                b"\xfe",
                b"EUR",
                b"\0\0\0\0",
                b"\xff\xff\xff\xff",
                b"\xff\xff\xff\xff\xff\xff\xff\xff",
                b"HFSEGMT\0",
            ],
            Self::Body => targets::body::WORDS,
            Self::Request => targets::request::WORDS,
            Self::Settings => targets::settings::WORDS,
        }
    }
}
