//! Leaving together with whoever started this process.
//!
//! A test or a demo that is killed cannot stop the servers it started. It holds the writing end of a pipe that is their
//! standard input, so they see it close.

use std::io::{self, Read as _};

use clap::Args;

/// The flag that ties a server to its parent.
#[derive(Debug, Args)]
pub(crate) struct ParentArguments {
    /// Leave at once when standard input closes. For servers started by a test or the demo.
    #[arg(long, hide = true)]
    leave_with_parent: bool,
}

impl ParentArguments {
    /// Watches standard input, if asked to. Leaving at once is safe: it is no worse than a crash.
    pub(crate) fn watch(&self) {
        if self.leave_with_parent {
            std::thread::spawn(|| {
                let mut sink = [0; 64];
                let mut input = io::stdin().lock();
                while input.read(&mut sink).is_ok_and(|bytes| bytes > 0) {}
                std::process::exit(0);
            });
        }
    }
}
