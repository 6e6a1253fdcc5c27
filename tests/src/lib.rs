//! The rig of the end-to-end tests: the real binary, started on a folder of its own, seen over HTTP only.
//!
//! Read in this order: [`binary`] builds and finds the program, [`house`] is a running server with its folder,
//! [`purchase`] is a single buyer's order, [`books`] is what must add up, [`fault`] is what goes wrong underneath, [`power`]
//! is what a power cut leaves, [`campaign`] kills at every step. Load comes from the project's own generator, `holdfast_api::load`.
#![forbid(unsafe_code)]

pub mod binary;
pub mod books;
pub mod campaign;
pub mod fault;
pub mod house;
pub mod power;
pub mod purchase;

pub use house::House;
