//! What the bytes are made from: small files in `corpus/`, one folder a target.
//!
//! They came from the golden bytes of the formats and from real bodies and requests; what a campaign finds that reaches new
//! code is added minimized, and what ever failed is added as it failed, so that it is tried first for good.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::Target;

/// The folder of a target's files in the repository.
pub fn folder(target: Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name())
}

/// The files of a target, by name, in the order of their names.
///
/// # Errors
/// When the folder cannot be read, or is empty.
pub fn read(target: Target) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let folder = folder(target);
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        files.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), bytes));
    }
    anyhow::ensure!(!files.is_empty(), "{} is empty", folder.display());
    files.sort();
    Ok(files)
}
