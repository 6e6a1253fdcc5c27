//! What is wrong with the texts of a body, all of it at once, so that a form can be corrected in one go.

use holdfast_core::card::looks_like_card_number;

use crate::edge::problem::{FieldError, Kind, Problem};

/// Everything found wrong so far.
#[derive(Default)]
pub(crate) struct Findings {
    errors: Vec<FieldError>,
    has_card_number: bool,
}

impl Findings {
    /// Notes that `field` is wrong, and why.
    pub(crate) fn note(&mut self, field: impl Into<String>, detail: impl Into<String>) {
        self.errors.push(FieldError { field: field.into(), detail: detail.into() });
    }

    /// Checks that a text has at most `max_bytes`; says whether it does.
    pub(crate) fn length(&mut self, field: &str, text: &str, max_bytes: usize) -> bool {
        let fits = text.len() <= max_bytes;
        if !fits {
            self.note(field, format!("at most {max_bytes} bytes, not {}", text.len()));
        }
        fits
    }

    /// Checks a text of at most `max_bytes`: no control characters but line breaks and tabs, nothing like a card
    /// number.
    pub(crate) fn text(&mut self, field: &str, text: &str, max_bytes: usize) {
        if !self.length(field, text, max_bytes) {
            return;
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            self.note(field, "control characters are not allowed");
        }
        self.no_card_number(field, text);
    }

    /// The same for a text that must not be empty.
    pub(crate) fn required_text(&mut self, field: &str, text: &str, max_bytes: usize) {
        if text.trim().is_empty() {
            self.note(field, "must not be empty");
        }
        self.text(field, text, max_bytes);
    }

    /// Checks that nothing in `text` looks like a card number.
    pub(crate) fn no_card_number(&mut self, field: &str, text: &str) {
        if looks_like_card_number(text) {
            self.has_card_number = true;
            self.note(field, "this looks like a card number");
        }
    }

    /// Checks the number of items of a list.
    pub(crate) fn count(&mut self, field: &str, given: usize, max: usize) {
        if given > max {
            self.note(field, format!("at most {max}, not {given}"));
        }
    }

    /// Nothing is wrong, or the problem that says what.
    pub(crate) fn done(self) -> Result<(), Problem> {
        if self.errors.is_empty() {
            return Ok(());
        }
        let kind = if self.has_card_number { Kind::CardNumber } else { Kind::InvalidRequest };
        Err(Problem::new(kind).fields(self.errors))
    }
}
