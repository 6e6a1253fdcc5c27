//! A folder that is gone when its owner is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::order::fresh_run;

/// A fresh folder, removed with all that is in it on drop.
#[derive(Debug)]
pub struct ScratchFolder(PathBuf);

/// No folder could be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the folder {path}")]
pub struct ScratchError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl ScratchFolder {
    /// Makes a folder for `purpose` in `parent`, or where the system keeps temporary files.
    ///
    /// # Errors
    /// [`ScratchError`] naming the folder.
    pub fn new(parent: Option<&Path>, purpose: &str) -> Result<Self, ScratchError> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let path = std::path::absolute(&parent).unwrap_or(parent);
        let name =
            fresh_run().map_err(|source| ScratchError { path: path.clone(), source: io::Error::other(source) })?;
        let path = path.join(format!("holdfast-{purpose}-{name}"));
        fs::create_dir_all(&path).map_err(|source| ScratchError { path: path.clone(), source })?;
        Ok(Self(path))
    }

    /// Where it is; absolute.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // What cannot be removed is in the system's temporary folder, where it is removed some day.
        let _ = fs::remove_dir_all(&self.0);
    }
}
