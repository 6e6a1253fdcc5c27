//! Whether the server answers as if every request had happened at one instant between its being sent and its answer.
//!
//! Read in this order: [`model`] is one SKU with its orders as a sequential machine; [`history`] is what clients recorded;
//! [`checker`] searches for an order of the history that the machine accepts; [`scenario`], [`counter`], [`shopper`] and
//! [`pair`] make clients that quarrel over a few units of the real server, through hang-ups and `kill -9`.
//!
//! Why: "sold out", "there is one left" and "canceled" are each promises about all other clients. Sums at the end cannot
//! see an answer that was wrong when it was given; a checked history can.

pub mod checker;
pub mod counter;
pub mod history;
pub mod model;
pub mod pair;
pub mod scenario;
pub mod shopper;
pub mod trial;

pub use checker::{Check, check};
pub use history::{History, Record};
pub use trial::{Trial, TrialReport};
