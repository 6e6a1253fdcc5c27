//! The groups of tests, and what each runs. Nothing outside cargo is needed, except by `deny`, which says so.
//!
//! Everything is selected by target and never by package: cargo unifies features over the packages it is given, so a
//! selection by package would build the dependencies anew with other features, and test another program.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::Context as _;
use clap::ValueEnum;

/// One group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// The code is formatted.
    Fmt,
    /// Clippy has nothing to say, in any crate, tests and benches included.
    Clippy,
    /// The rules of the house: file headers and lengths, the crate graph, licenses, banned crates, the README's commands.
    Tidy,
    /// Every test within the crates but the HTTP interface's.
    Unit,
    /// The HTTP interface over a real socket.
    Api,
    /// The real node through simulated worlds that go wrong: a fixed number of seeds, and those that once found a bug.
    Simulate,
    /// The simulation finds every planted bug, in the one build that has them.
    Planted,
    /// The real server killed, stopped, starved and overloaded; the acceptance tests.
    Crash,
    /// Every fuzz target, shortly: its corpus, then mutations from a fixed seed.
    Fuzz,
    /// What needs a PostgreSQL, which the tests start themselves (installed on the way, where apt-get may).
    Postgres,
    /// The journal in NATS on real servers that are killed, cut off and overtaken (nats-server, installed on the way).
    Cluster,
    /// The running server against its `OpenAPI` document (schemathesis, installed on the way).
    Schemathesis,
    /// Every example in the documentation runs.
    Doc,
    /// The documentation builds without a warning.
    Docs,
    /// Bans, licenses and sources of the dependencies, if cargo-deny is installed.
    Deny,
}

/// A cargo command and the variables it needs.
#[derive(Debug)]
pub(crate) struct Step {
    /// Arguments to cargo.
    pub(crate) arguments: Vec<String>,
    /// Variables set for it.
    pub(crate) environment: Vec<(&'static str, &'static str)>,
}

impl Group {
    /// All groups, quick ones first, so that what is easily wrong fails early.
    pub(crate) const ALL: [Self; 15] = [
        Self::Fmt,
        Self::Clippy,
        Self::Tidy,
        Self::Unit,
        Self::Api,
        Self::Simulate,
        Self::Planted,
        Self::Fuzz,
        Self::Crash,
        Self::Postgres,
        Self::Cluster,
        Self::Schemathesis,
        Self::Doc,
        Self::Docs,
        Self::Deny,
    ];

    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Tidy => "tidy",
            Self::Unit => "unit",
            Self::Api => "api",
            Self::Simulate => "simulate",
            Self::Planted => "planted",
            Self::Fuzz => "fuzz",
            Self::Crash => "crash",
            Self::Postgres => "postgres",
            Self::Cluster => "cluster",
            Self::Schemathesis => "schemathesis",
            Self::Doc => "doc",
            Self::Docs => "docs",
            Self::Deny => "deny",
        }
    }

    /// The cargo command it is, in the repository at `root`. `None` for the one group that is not one, schemathesis.
    pub(crate) fn step(self, root: &Path) -> anyhow::Result<Option<Step>> {
        let step = match self {
            Self::Fmt => Step::cargo("fmt --all --check"),
            Self::Clippy => Step::cargo("clippy --workspace --all-targets --locked -- -D warnings"),
            Self::Tidy => Step::tests(["tidy".to_owned()]),
            Self::Unit => {
                let names = test_names(root, &["core", "persistence", "actors", "cluster"])?;
                Step::tests(names.into_iter().filter(|name| !needs_postgres(name))).and(["--lib", "--bins"])
            }
            Self::Api => Step::tests(test_names(root, &["api"])?.into_iter().filter(|name| !needs_postgres(name))),
            Self::Simulate => Step::tests(test_names(root, &["tests/simulation"])?),
            Self::Planted => {
                Step::cargo("test --workspace --locked --features holdfast-simulation/planted --test planted")
            }
            Self::Crash => {
                let names = test_names(root, &["tests"])?;
                Step::tests(names.into_iter().filter(|name| name != "tidy" && !needs_postgres(name)))
            }
            Self::Postgres => {
                let names = test_names(root, &["persistence", "actors", "cluster", "api", "tests", "tests/servers"])?;
                Step::tests(names.into_iter().filter(|name| needs_postgres(name)))
            }
            Self::Cluster => Step::tests(test_names(root, &["tests/cluster"])?),
            Self::Fuzz => Step::tests(test_names(root, &["tests/fuzz"])?),
            Self::Schemathesis => return Ok(None),
            Self::Doc => Step::cargo("test --workspace --locked --doc"),
            Self::Docs => {
                let environment = vec![("RUSTDOCFLAGS", "-D warnings")];
                Step { environment, ..Step::cargo("doc --workspace --no-deps --locked") }
            }
            Self::Deny => Step::cargo("deny --locked check bans licenses sources"),
        };
        Ok(Some(step))
    }
}

impl Step {
    fn cargo(arguments: &str) -> Self {
        Self { arguments: arguments.split(' ').map(str::to_owned).collect(), environment: Vec::new() }
    }

    fn tests(names: impl IntoIterator<Item = String>) -> Self {
        let mut step = Self::cargo("test --workspace --locked --no-fail-fast");
        step.arguments.extend(names.into_iter().flat_map(|name| ["--test".to_owned(), name]));
        step
    }

    fn and<const N: usize>(mut self, more: [&str; N]) -> Self {
        self.arguments.extend(more.map(str::to_owned));
        self
    }
}

/// Whether a test starts a PostgreSQL: its name begins so.
fn needs_postgres(name: &str) -> bool {
    name.starts_with("postgres")
}

/// The integration tests of the crates in these folders, by name.
fn test_names(root: &Path, folders: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for folder in folders.iter().map(|folder| root.join(folder).join("tests")).filter(|folder| folder.is_dir()) {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            names.extend(test_name(&entry?.path()));
        }
    }
    anyhow::ensure!(!names.is_empty(), "there are no tests in {}", folders.join(", "));
    Ok(names)
}

/// The name of the test that cargo makes of a file or folder, if it makes one.
fn test_name(path: &Path) -> Option<String> {
    let is_test = path.extension().is_some_and(|ending| ending == "rs") || path.join("main.rs").is_file();
    is_test.then(|| path.file_stem()?.to_str().map(str::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_but_schemathesis_is_a_cargo_command() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for group in Group::ALL {
            let step = group.step(root).unwrap();
            assert_eq!(step.is_none(), group == Group::Schemathesis, "{}", group.name());
            assert!(step.is_none_or(|step| step.arguments.len() > 1), "{}", group.name());
        }
    }

    #[test]
    fn tests_that_start_a_postgresql_are_in_their_own_group_only() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for group in Group::ALL {
            let names = group.step(root).unwrap().map(|step| step.arguments).unwrap_or_default();
            let some = names.iter().any(|name| needs_postgres(name));
            assert_eq!(some, group == Group::Postgres, "{}: {names:?}", group.name());
        }
    }

    #[test]
    fn tests_are_found_as_files_and_as_folders() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let names = test_names(root, &["cluster", "tests"]).unwrap();
        assert!(names.contains("node") && names.contains("tidy"), "{names:?}");
    }
}
