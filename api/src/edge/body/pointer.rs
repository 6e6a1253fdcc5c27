//! The JSON pointer (RFC 6901) of the field that a body is refused for.
//!
//! Invariant: the pointer leads to a value of the body, or to a field that is missing from one. Names in it are the client's:
//! where one is too long to be repeated, or looks like a card number, the pointer ends before it.

use holdfast_core::card::looks_like_card_number;
use serde_path_to_error::{Path, Segment};

/// No pointer is longer than this, in bytes.
const MAX_BYTES: usize = 512;

/// The pointer of what `words` of the parser are about. For an unknown, missing or repeated field the parser's path ends at
/// its parent, and the field is in the words.
pub(super) fn of(path: &Path, words: &str) -> String {
    let mut pointer = String::new();
    let mut last = None;
    for segment in path {
        let is_whole = match segment {
            Segment::Seq { index } => push(&mut pointer, &index.to_string()),
            Segment::Map { key } => {
                last = Some(key.as_str());
                push(&mut pointer, key)
            }
            Segment::Enum { variant } => push(&mut pointer, variant),
            Segment::Unknown => true,
        };
        if !is_whole {
            return pointer;
        }
    }
    match field_named(words) {
        Some(field) if last != Some(field) => {
            push(&mut pointer, field);
        }
        _ => {}
    }
    pointer
}

/// Appends a name, if it can be repeated; says whether it could.
fn push(pointer: &mut String, name: &str) -> bool {
    if pointer.len().saturating_add(name.len()) >= MAX_BYTES || looks_like_card_number(name) {
        return false;
    }
    pointer.push('/');
    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
    true
}

/// The field that the parser's words name. It is the client's text: it may hold a backtick, so it ends where the parser's
/// own words go on, and not at the first one.
fn field_named(words: &str) -> Option<&str> {
    if let Some(rest) = words.strip_prefix("unknown field `") {
        let end = rest.rfind("`, expected ").or_else(|| rest.rfind("`, there are no fields"))?;
        return rest.get(..end);
    }
    let rest = words.strip_prefix("missing field `").or_else(|| words.strip_prefix("duplicate field `"))?;
    rest.strip_suffix('`')
}
