//! The directory's secret: 32 random bytes from which bearer tokens are derived. Readable by its owner only, and never
//! made anew once the directory exists: tokens already given out hang on it.

use std::{io, path::Path};

use super::{StoreError, atomic_file};

/// The secret's file name.
pub(super) const FILE: &str = "secret";

/// Makes the secret of a new directory.
pub(super) fn create(dir: &Path) -> Result<(), StoreError> {
    let secret: [u8; 32] = random(&dir.join(FILE))?;
    atomic_file::write(dir, FILE, &secret, 0o600)
}

/// Reads the secret of an existing directory.
pub(super) fn read(dir: &Path) -> Result<[u8; 32], StoreError> {
    let path = dir.join(FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::BadSecret { path }),
        Err(error) => return Err(super::io_error("read", &path)(error)),
    };
    bytes.try_into().map_err(|_| StoreError::BadSecret { path })
}

/// Random bytes from the operating system, meant for the file at `path`.
pub(super) fn random<const N: usize>(path: &Path) -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| super::io_error("draw random bytes for", path)(io::Error::other(error.to_string())))?;
    Ok(bytes)
}
