//! The rig of the end-to-end tests: the real binary, started on a folder of its own, seen over HTTP only.
//!
//! Read in this order: [`binary`] builds and finds the program, [`house`] is a running server with its folder,
//! [`purchase`] is a single buyer's order, [`wire`] a request written by hand. [`linearizability`] checks recorded histories,
//! [`strain`] wears the server down. Load comes from the project's own generator, `holdfast_api::load`.
#![forbid(unsafe_code)]

pub mod binary;
pub mod house;
pub mod linearizability;
pub mod purchase;
pub mod strain;
pub mod wire;

pub use house::House;
