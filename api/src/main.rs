//! The `holdfast` program: the server, its load generator, its demo and the tools for its data folder.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

/// Requests are many small short-lived allocations from several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
