//! The few file operations the journal is made of, behind a seam: tests and the deterministic simulation plug a disk that
//! fails, fills up or forgets what was not synced, and the journal above it stays the real one.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// One directory of segment files.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Where the file `name` is, for messages to people.
    fn path(&self, name: &str) -> PathBuf;
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>>;
    /// Makes an empty file, in place of any of that name, open for reading and writing.
    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>>;
    /// Gives a file another name, atomically.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Deletes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes all names durable.
    fn sync_directory(&self) -> io::Result<()>;
}

/// One segment file.
pub trait SegmentFile: fmt::Debug + Send + Sync {
    /// Its length, in bytes.
    fn bytes(&self) -> io::Result<u64>;
    /// Takes room for `bytes` from the disk, so that running out is found before the data comes.
    fn reserve(&self, bytes: u64) -> io::Result<()>;
    /// Reads at `offset`; fewer bytes than asked for only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the data written so far durable (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;
}

/// A directory of the file system.
#[derive(Debug, Clone)]
pub struct FsDisk {
    dir: PathBuf,
    access: Access,
}

/// How a [`FsDisk`] opens files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// For reading only: nothing can be changed through it.
    Read,
    /// For reading and writing.
    Write,
}

impl FsDisk {
    /// The directory `dir`.
    pub fn new(dir: &Path, access: Access) -> Self {
        Self { dir: dir.to_path_buf(), access }
    }
}

impl Disk for FsDisk {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.dir)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let writable = self.access == Access::Write;
        let file = OpenOptions::new().read(true).write(writable).open(self.path(name))?;
        Ok(Arc::new(FsFile(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        if self.access == Access::Read {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.path(name))?;
        Ok(Arc::new(FsFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

#[derive(Debug)]
struct FsFile(File);

impl SegmentFile for FsFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::empty(), 0, bytes) {
            // Not every file system can; the zeros written next find out the slow way.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            result => Ok(result?),
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
