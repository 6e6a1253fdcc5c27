//! The load generator: a crowd of buyers over real HTTP, and what the `bench`, the `demo` and the end-to-end tests make
//! of it.
//!
//! Three rules. It is cheap, because it shares the machine with the server it measures: one task per connection, prebuilt
//! requests, one histogram. It is honest: in an open loop latency counts from when a request was due, unanswered requests
//! are counted, and units sold are read back from the server's books. And it knows the server only by HTTP.
//!
//! Read in this order: [`pace`] (when), [`order`] (what), [`connection`] (how), [`crowd`] (who), [`tally`] and [`report`]
//! (with what result), [`flash_sale`], [`echo`] and [`compare`] (the benchmarks), [`shop`] and [`server_process`] (the
//! server seen from outside).

pub mod compare;
pub mod connection;
pub mod crowd;
pub mod echo;
pub mod flash_sale;
pub mod order;
pub mod pace;
pub mod progress;
pub mod report;
pub mod scratch;
pub mod server_process;
pub mod shop;
pub mod stopwatch;
pub mod tally;
pub mod target;
