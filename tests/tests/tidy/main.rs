//! The rules of the house that no compiler checks. Each test names the file and the rule, so that a failure is a to-do.
#![expect(clippy::expect_used, reason = "a rule that cannot be checked is broken")]

mod crates;
mod files;
mod manual;
mod planted;

use std::path::{Path, PathBuf};

/// The repository's root.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in a workspace")
}

/// Every Rust source file of the repository.
fn sources() -> Vec<PathBuf> {
    let mut sources = Vec::new();
    for folder in ["core", "persistence", "actors", "cluster", "api", "benches", "tests", "xtask"] {
        collect(&root().join(folder), &mut sources);
    }
    assert!(sources.len() > 50, "only {} source files found", sources.len());
    sources
}

fn collect(folder: &Path, sources: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, sources);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            sources.push(path);
        }
    }
}

/// A file's text.
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
