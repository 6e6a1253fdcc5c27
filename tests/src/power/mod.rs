//! Power cuts under the real program. The fault layer writes down every change of a file, every sync and every answer; from
//! that, what a disk would hold after the power went at any instant is put together, and the program is started on it.
//!
//! Read in this order: [`recording`] is what was written down, [`disk`] is a disk that forgets what was not synced,
//! [`image`] says which of the unsynced changes the cut left behind.

pub mod disk;
pub mod image;
pub mod recording;

pub use disk::Disk;
pub use image::Cut;
pub use recording::{Entry, Recording};
