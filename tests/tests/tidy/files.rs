//! Source files: each says what it is, none grows out of hand, none hides an unfinished thought.

use crate::{read, root, sources};

/// The longest source file, in lines.
const MAX_LINES: usize = 500;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "helper", "helpers", "common", "manager"];

#[test]
fn every_source_file_opens_by_saying_what_it_is() {
    for path in sources() {
        assert!(read(&path).starts_with("//! "), "{} does not open with `//! ` and what it is", path.display());
    }
}

#[test]
fn no_source_file_grows_out_of_hand() {
    for path in sources() {
        let lines = read(&path).lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines: look for the noun that wants out", path.display());
    }
}

#[test]
fn files_are_named_after_what_is_in_them() {
    for path in sources() {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        assert!(!EMPTY_NAMES.contains(&name), "{} is named after nothing", path.display());
    }
}

#[test]
fn nothing_is_ignored_or_left_for_later() {
    // Put together here, so that this file does not find itself.
    let unfinished = [["#[ign", "ore"], ["TO", "DO"], ["FIX", "ME"], ["todo", "!("], ["unimplemented", "!("]];
    for path in sources() {
        let text = read(&path);
        for parts in unfinished {
            let word = parts.concat();
            assert!(!text.contains(&word), "{} has {word}: finish it or file an issue", path.display());
        }
    }
}

#[test]
fn both_licenses_are_there() {
    assert!(read(&root().join("LICENSE-MIT")).starts_with("MIT License"));
    assert!(read(&root().join("LICENSE-APACHE")).contains("Version 2.0, January 2004"));
}
