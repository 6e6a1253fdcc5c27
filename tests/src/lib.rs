//! The rig of the end-to-end tests: the real binary, started on a folder of its own, seen over HTTP only.
//!
//! Read in this order: [`binary`] builds and finds the program, [`house`] is a running server with its folder, [`purchase`] is a
//! single buyer's order, [`wire`] a request written by hand, [`books`] is what must add up, [`gateway_book`] what the gateway took;
//! [`shoppers`] keep them, and ask at a [`counter`]. Then what goes wrong: [`fault`] underneath the server, [`power`] is what a
//! power cut leaves, [`campaign`] kills it at every step, [`strain`] wears it down. [`database`] is a shop with a PostgreSQL, and
//! [`relational`] holds its tables to the journal; [`outage`] takes the database away. [`linearizability`] checks recorded
//! histories. [`dice`] is the chance in all of it. Load comes from the project's own generator, `holdfast_api::load`.
#![forbid(unsafe_code)]

pub mod binary;
pub mod books;
pub mod campaign;
pub mod counter;
pub mod database;
pub mod dice;
pub mod fault;
pub mod gateway_book;
pub mod house;
pub mod linearizability;
pub mod outage;
pub mod power;
pub mod purchase;
pub mod relational;
pub mod shoppers;
pub mod strain;
pub mod wire;

pub use house::House;
