//! Rows by the million: a list whose items never move, and the table that finds them by their key.
//!
//! Why not a hash map of the rows: whoever adds one to it writes to a random place of a large memory, which is in no cache, and
//! doubling moves them all. Rows in the order they came lie beside the ones before, and the table is 8 bytes a place.

mod chunked;
mod map;
mod positions;

pub(crate) use chunked::Chunked;
pub(crate) use holdfast_core::places::NONE;
pub(crate) use map::RowMap;
pub(crate) use positions::Positions;
