//! Where a command's product goes: standard output, whole lines. Logs and progress go to standard error, so that a script
//! can read one without the other.

use std::{fmt::Display, io::Write as _};

use anyhow::Context as _;
use serde::Serialize;

/// Writes `line` and a line break.
pub(crate) fn say(line: impl Display) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}").context("cannot write to standard output")
}

/// Writes `value` as one line of JSON.
pub(crate) fn say_json(value: &impl Serialize) -> anyhow::Result<()> {
    say(serde_json::to_string(value).context("cannot write the result as JSON")?)
}

/// Writes the result for scripts or for people.
pub(crate) fn say_either(as_json: bool, json: &impl Serialize, text: impl Display) -> anyhow::Result<()> {
    if as_json { say_json(json) } else { say(text) }
}
