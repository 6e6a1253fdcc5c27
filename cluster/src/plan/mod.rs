//! Where every shard shall be, and making it so.
//!
//! Read in this order: [`placement`] computes where shards go; [`document`] is the plan, [`edit`] what changes it.
//!
//! Invariant: the plan is a wish. Who owns a shard is said by the last epoch record of its stream alone, so a plan that is
//! old, lost or read twice costs time and never a record.

mod calls;
pub mod control;
pub mod decide;
pub mod document;
pub mod edit;
pub mod here;
pub mod knowledge;
pub mod placement;
pub mod ports;
pub mod reconcile;
