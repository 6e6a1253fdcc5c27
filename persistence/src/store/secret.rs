//! The directory's secret: 32 random bytes from which bearer tokens are derived. Readable by its owner only, and never
//! made anew once the directory exists: what is derived from it would change.

use std::{io, path::Path};

use super::{SecretOrigin, StoreError, atomic_file};

/// The secret's file name.
pub(super) const FILE: &str = "secret";

/// Makes the secret of a new directory: a copy of `given`, or a random one.
pub(super) fn create(dir: &Path, given: Option<&Path>) -> Result<SecretOrigin, StoreError> {
    let (secret, origin): ([u8; 32], _) = match given {
        Some(file) => {
            let bytes = std::fs::read(file).map_err(super::io_error("read", file))?;
            let bad = |_| StoreError::BadSecretFile { path: file.to_path_buf() };
            (bytes.try_into().map_err(bad)?, SecretOrigin::File)
        }
        None => (random(&dir.join(FILE))?, SecretOrigin::New),
    };
    atomic_file::write(dir, FILE, &secret, 0o600)?;
    Ok(origin)
}

/// The secret of a directory that is restored: the one that is there, or as for a new one.
pub(super) fn keep_or_create(dir: &Path, given: Option<&Path>) -> Result<SecretOrigin, StoreError> {
    match read(dir) {
        Ok(_) => Ok(SecretOrigin::Found),
        Err(StoreError::BadSecret { .. }) => create(dir, given),
        Err(error) => Err(error),
    }
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
