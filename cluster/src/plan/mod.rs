//! Where every shard shall be, and making it so.
//!
//! Read in this order: [`placement`] computes where shards go, with `load` counting; [`document`] is the plan, [`edit`] what
//! changes it, [`control`] where it is kept. [`knowledge`] is what a node knows, [`proof`] what it must know before it answers
//! for a shard, and [`decide`] the step that follows. [`reconcile`] brings what is heard and begins the steps, which go as
//! `steps` says; `voice` says the beats. It sees the node and the journal through [`ports`], as [`here`] has them. `calls` are
//! the operators'; [`followers`] tells whoever purges what the living have not read.
//!
//! Invariant: the plan is a wish. Who owns a shard is said by the last epoch record of its stream alone, so a plan that is
//! old, lost or read twice costs time and never a record.

mod calls;
pub mod control;
pub mod decide;
pub mod document;
pub mod edit;
pub mod followers;
pub mod here;
pub mod knowledge;
mod load;
pub mod placement;
pub mod ports;
pub mod proof;
pub mod reconcile;
mod steps;
mod voice;
