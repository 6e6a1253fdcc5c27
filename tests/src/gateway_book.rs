//! The sandbox gateway's book, read while the gateway writes it: what a gateway took is asked of the gateway, as an order only
//! says what it was told.

use std::{fs, path::Path};

use anyhow::Context as _;
use holdfast_actors::payment::{SandboxGateway, SandboxSettings};

/// A gateway that knows what is in `book`.
///
/// # Errors
/// When there is no such book, or it cannot be read.
pub fn read(book: &Path) -> anyhow::Result<SandboxGateway> {
    // A copy: the gateway is writing, and whoever opens a book cuts off a line that is not finished.
    let copy = book.with_extension("copy");
    fs::copy(book, &copy).with_context(|| format!("cannot copy {}", book.display()))?;
    Ok(SandboxGateway::open(&SandboxSettings { book: Some(copy), ..SandboxSettings::default() })?)
}
