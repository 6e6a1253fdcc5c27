//! The projection: a follower of the journal that keeps relational tables, entity snapshots and watermarks in PostgreSQL.
//!
//! Read in this order: `table` and [`row`](self) say what is written and how; `value` and [`key`] are what the columns hold;
//! `fold` takes records in, `touch` keeps when what happened, `derive` makes rows of states; `batch` is what they make together, `transaction` writes it, `session` one connection's worth of
//! them, `projector` the thread that never gives up, `trail` what it must find when it comes back, `pace` what it leaves to
//! the sale, `lag` how far it is behind; `rebuild` and `status` are for operators.
//!
//! Invariants: PostgreSQL is an exact copy as of its watermarks, because rows, snapshots and watermarks of a batch are
//! one transaction; a record is contained exactly once, because the watermark only moves from where it was read; doing a batch
//! again changes nothing, because a row gives way only to a newer version.

mod batch;
mod derive;
mod error;
mod fold;
pub mod key;
mod lag;
mod pace;
mod progress;
mod projector;
mod rebuild;
mod row;
mod session;
mod settings;
mod status;
mod table;
mod touch;
mod trail;
mod transaction;
pub(super) mod value;

pub use error::ProjectionError;
pub use fold::FoldError;
pub use progress::ProjectionProgress;
pub use projector::Projection;
pub use rebuild::{RebuildProgress, RebuildSummary, needs_snapshots, rebuild};
pub use settings::ProjectionSettings;
pub use status::{ProjectionStatus, ShardStatus, status};
