//! The `holdfast` program: the server, its load generator, its demo and the tools for its data folder.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

// Requests are many small short-lived allocations from several threads. Named here, it is linked, and its `malloc` is the
// program's (ADR 0029).
use mimalloc as _;

fn main() -> ExitCode {
    cli::run()
}
