//! Tells what is going on, on standard error: standard output is for the result.

use std::fmt::Display;

use indicatif::{ProgressBar, ProgressStyle};

/// Speaks, or keeps quiet.
#[derive(Debug, Clone, Copy)]
pub struct Narrator {
    /// Nothing is said.
    pub quiet: bool,
}

impl Narrator {
    /// Says one line.
    pub fn say(&self, line: impl Display) {
        if !self.quiet {
            eprintln!("  {line}");
        }
    }

    /// A line that can change; hidden when there is no terminal to change it on.
    pub fn live(&self) -> ProgressBar {
        let bar = if self.quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        let style =
            ProgressStyle::with_template("  {spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        bar.with_style(style)
    }
}
