//! The settings of a data directory. Units are in the names; unknown names are refused.

use std::path::PathBuf;

use holdfast_core::ShardCount;
use serde::{Deserialize, Serialize};

use crate::{journal::JournalOptions, snapshot::SnapshotOptions};

/// Settings of a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreOptions {
    /// Number of shards, 1 to 1,024: fixed when the directory is made, and one that has another number is refused. 0: the number it
    /// has, or `shards_of_new`.
    pub shards: u16,
    /// How many shards a directory that is made gets where `shards` is 0.
    pub shards_of_new: u16,
    /// The journal's settings.
    pub journal: JournalOptions,
    /// The snapshot store's settings.
    pub snapshots: SnapshotOptions,
    /// A copy of the secret of an earlier directory, for one that is made anew; without it the secret is random.
    pub secret_file: Option<PathBuf>,
}

/// A setting is outside its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {given}: {min} to {max} are allowed")]
pub struct OptionError {
    /// The setting's name.
    pub setting: &'static str,
    /// What was given.
    pub given: u64,
    /// The smallest value allowed.
    pub min: u64,
    /// The largest value allowed, given the other settings.
    pub max: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            shards: 16,
            shards_of_new: 16,
            journal: JournalOptions::default(),
            snapshots: SnapshotOptions::default(),
            secret_file: None,
        }
    }
}

impl StoreOptions {
    /// Checks the settings against their ranges and each other.
    ///
    /// # Errors
    /// [`OptionError`] naming the first setting that is out of range.
    pub fn validate(&self) -> Result<(), OptionError> {
        let most = u64::from(ShardCount::MAX);
        OptionError::check("shards", u64::from(self.shards), 0, most)?;
        OptionError::check("shards_of_new", u64::from(self.shards_of_new), 1, most)?;
        self.journal.validate()?;
        self.snapshots.validate()
    }

    /// The number of shards of a directory that is made.
    ///
    /// # Errors
    /// [`OptionError`] when the setting it follows from is out of range.
    pub fn shards_for_new(&self) -> Result<ShardCount, OptionError> {
        let (setting, given) =
            if self.shards == 0 { ("shards_of_new", self.shards_of_new) } else { ("shards", self.shards) };
        let range = |_| OptionError { setting, given: given.into(), min: 1, max: ShardCount::MAX.into() };
        ShardCount::new(given).map_err(range)
    }

    /// Whether a store with so many shards is another one than is asked for.
    pub(super) const fn refuses(&self, found: ShardCount) -> bool {
        self.shards != 0 && self.shards != found.get()
    }
}

impl OptionError {
    pub(crate) const fn check(setting: &'static str, given: u64, min: u64, max: u64) -> Result<(), Self> {
        if given < min || given > max {
            return Err(Self { setting, given, min, max });
        }
        Ok(())
    }
}
