//! Who the other nodes are and which of them live.
//!
//! Read in this order: [`beat`] is what a node says of itself, [`roster`] what is made of it, [`presence`] how it travels.
//!
//! Invariant: silence is measured by the listener's own clock, from when it heard last, and only while it could have heard.

pub mod beat;
pub mod presence;
pub mod pulse;
pub mod roster;
