//! What the layer shall do at which call. The text form is read by `tests/preload/rules.c`.

use std::{fmt, time::Duration};

/// The input/output error: what a failing device gives.
const EIO: u8 = 5;
/// No space left on device.
const ENOSPC: u8 = 28;

/// A kind of call that rules can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleCall {
    /// Writing to a file.
    Write,
    /// Syncing a file.
    Sync,
    /// Syncing a folder.
    SyncDirectory,
    /// Giving a file another name.
    Rename,
    /// Deleting a file.
    Unlink,
    /// Taking room for a file.
    Allocate,
    /// Sending an answer.
    Send,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Tear,
    Lie,
    Fail(u8),
    Delay(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Anywhere,
    Head,
    Body,
}

/// One rule: an action at a call on the files a pattern names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    action: Action,
    is_after: bool,
    call: RuleCall,
    files: String,
    nth: u64,
    onward: bool,
    place: Place,
}

impl Rule {
    fn new(action: Action, call: RuleCall, files: &str) -> Self {
        Self { action, is_after: false, call, files: files.to_owned(), nth: 1, onward: false, place: Place::Anywhere }
    }

    /// `kill -9` just before such a call.
    pub fn kill_before(call: RuleCall, files: &str) -> Self {
        Self::new(Action::Kill, call, files)
    }

    /// `kill -9` just after such a call.
    pub fn kill_after(call: RuleCall, files: &str) -> Self {
        Self { is_after: true, ..Self::new(Action::Kill, call, files) }
    }

    /// Writes the first half only, and then `kill -9`.
    pub fn tear(files: &str) -> Self {
        Self::new(Action::Tear, RuleCall::Write, files)
    }

    /// Claims that such calls succeeded, and does nothing.
    pub fn lie(call: RuleCall, files: &str) -> Self {
        Self { onward: true, ..Self::new(Action::Lie, call, files) }
    }

    /// Fails such calls with an input/output error.
    pub fn io_error(call: RuleCall, files: &str) -> Self {
        Self { onward: true, ..Self::new(Action::Fail(EIO), call, files) }
    }

    /// Fails such calls because the disk is full.
    pub fn no_space(call: RuleCall, files: &str) -> Self {
        Self { onward: true, ..Self::new(Action::Fail(ENOSPC), call, files) }
    }

    /// Makes such calls take `by` longer.
    pub fn delay(call: RuleCall, files: &str, by: Duration) -> Self {
        Self { onward: true, ..Self::new(Action::Delay(by), call, files) }
    }

    /// At the call with this number only, counted from 1 since the panel was armed.
    #[must_use]
    pub fn nth(self, nth: u64) -> Self {
        Self { nth: nth.max(1), onward: false, ..self }
    }

    /// Only writes to the very beginning of a file.
    #[must_use]
    pub fn at_head(self) -> Self {
        Self { place: Place::Head, ..self }
    }

    /// Only writes behind the beginning of a file.
    #[must_use]
    pub fn in_body(self) -> Self {
        Self { place: Place::Body, ..self }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.action {
            Action::Kill => f.write_str("kill")?,
            Action::Tear => f.write_str("tear")?,
            Action::Lie => f.write_str("lie")?,
            Action::Fail(errno) => write!(f, "fail:{errno}")?,
            Action::Delay(by) => write!(f, "delay:{}", by.as_millis())?,
        }
        let when = if self.is_after { "after" } else { "before" };
        let call = match self.call {
            RuleCall::Write => "write",
            RuleCall::Sync => "sync",
            RuleCall::SyncDirectory => "syncdir",
            RuleCall::Rename => "rename",
            RuleCall::Unlink => "unlink",
            RuleCall::Allocate => "allocate",
            RuleCall::Send => "send",
        };
        // The layer's words end at spaces; a pattern matches one with a question mark.
        let files = self.files.replace(' ', "?");
        write!(f, " {when} {call} {files} {}{}", self.nth, if self.onward { "+" } else { "" })?;
        match self.place {
            Place::Anywhere => Ok(()),
            Place::Head => f.write_str(" head"),
            Place::Body => f.write_str(" body"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_written_as_the_layer_reads_it() {
        let rule = Rule::kill_after(RuleCall::Send, "HTTP/1.1 201*").nth(7);
        assert_eq!(rule.to_string(), "kill after send HTTP/1.1?201* 7");
        let rule = Rule::delay(RuleCall::Sync, "journal/*", Duration::from_millis(500));
        assert_eq!(rule.to_string(), "delay:500 before sync journal/* 1+");
        assert_eq!(Rule::tear("a").at_head().to_string(), "tear before write a 1 head");
    }
}
