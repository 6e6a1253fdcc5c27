//! The journal's limits, each a named setting with its unit.

use serde::{Deserialize, Serialize};

use crate::store::OptionError;

/// How much of the journal is checked before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyOnOpen {
    /// Every frame of every segment: damage anywhere refuses to start. Reads the whole journal once.
    #[default]
    Whole,
    /// The segment being written. Damage in older segments is found when they are read.
    Tail,
}

/// Settings of the segment-file journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalOptions {
    /// Size of a new segment file, in bytes.
    pub segment_bytes: u64,
    /// Batches are grouped into one frame up to this many bytes; a larger batch travels alone.
    pub frame_limit_bytes: u64,
    /// After a frame with the batches of several shards, the next waits up to so long for as many to come back, in
    /// microseconds; 0 writes at once.
    pub gather_us: u64,
    /// The largest record, in bytes as encoded.
    pub record_limit_bytes: u64,
    /// When less than this is left in the segment and the disk has no room for the next, writes are refused. Also the
    /// largest batch, in bytes, so that one that was accepted still fits.
    pub reserve_bytes: u64,
    /// How often a full disk is tried again, in milliseconds.
    pub space_retry_ms: u64,
    /// What is checked before the journal is opened.
    pub verify_on_open: VerifyOnOpen,
    /// Threads that decode and apply in a replay; 0 for one per processor.
    pub replay_threads: usize,
    /// While the journal takes more than so many bytes, its oldest segments are deleted once the snapshots contain all they
    /// hold; 0 keeps everything. The segment made ahead is not counted.
    pub retain_bytes: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            frame_limit_bytes: 1 << 20,
            gather_us: 100,
            record_limit_bytes: 256 << 10,
            reserve_bytes: 4 << 20,
            space_retry_ms: 1_000,
            verify_on_open: VerifyOnOpen::Whole,
            replay_threads: 0,
            retain_bytes: 0,
        }
    }
}

impl JournalOptions {
    /// The smallest segment that makes sense, in bytes.
    pub const MIN_SEGMENT_BYTES: u64 = 64 << 10;
    /// The largest segment: offsets within one stay far below 32 bits, in bytes.
    pub const MAX_SEGMENT_BYTES: u64 = 1 << 30;

    /// Checks the settings against each other.
    ///
    /// # Errors
    /// [`OptionError`] naming the setting and what is allowed.
    pub fn validate(&self) -> Result<(), OptionError> {
        let segment = self.segment_bytes;
        OptionError::check("segment_bytes", segment, Self::MIN_SEGMENT_BYTES, Self::MAX_SEGMENT_BYTES)?;
        OptionError::check("reserve_bytes", self.reserve_bytes, 4 << 10, segment / 4)?;
        OptionError::check("frame_limit_bytes", self.frame_limit_bytes, 4 << 10, self.reserve_bytes)?;
        OptionError::check("gather_us", self.gather_us, 0, 10_000)?;
        OptionError::check("record_limit_bytes", self.record_limit_bytes, 1 << 10, self.reserve_bytes)?;
        OptionError::check("space_retry_ms", self.space_retry_ms, 1, 3_600_000)?;
        OptionError::check("replay_threads", self.replay_threads as u64, 0, 1_024)
    }
}
