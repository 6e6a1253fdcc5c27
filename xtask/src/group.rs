//! The groups of tests, and what each runs. Nothing outside cargo is needed, except by `deny`, which says so.
//!
//! Everything is selected by target and never by package: cargo unifies features over the packages it is given, so a
//! selection by package would build the dependencies anew with other features, and test another program.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    num::NonZero,
    path::{Path, PathBuf},
    thread,
};

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
    /// The journal in NATS and a cluster on it: real servers and nodes that are killed, paused, cut off, moved and overtaken
    /// (nats-server, installed on the way; a partition needs root and iproute2).
    Cluster,
    /// The running server against its `OpenAPI` document (schemathesis, installed on the way).
    Schemathesis,
    /// Every criterion suite, once through and small, so that none of them rots.
    Benches,
    /// What the hot paths cost in instructions and allocations, against a baseline (valgrind, installed on the way).
    Instructions,
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
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Group {
    /// All groups, quick ones first, so that what is easily wrong fails early.
    pub(crate) const ALL: [Self; 17] = [
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
        Self::Benches,
        Self::Instructions,
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
            Self::Benches => "benches",
            Self::Instructions => "instructions",
            Self::Doc => "doc",
            Self::Docs => "docs",
            Self::Deny => "deny",
        }
    }

    /// The cargo command it is, in the repository at `root`. `None` for a group that is a chore of its own.
    pub(crate) fn step(self, root: &Path) -> anyhow::Result<Option<Step>> {
        let step = match self {
            Self::Fmt => Step::cargo("fmt --all --check"),
            Self::Clippy => Step::cargo("clippy --workspace --all-targets --locked -- -D warnings"),
            Self::Tidy => Step::tests(["tidy".to_owned()]),
            Self::Unit => {
                let names = test_names(root, &["core", "persistence", "actors", "cluster"])?;
                Step::tests(names).and(["--lib", "--bins"])
            }
            Self::Api => Step::tests(test_names(root, &["api"])?),
            Self::Simulate => Step::tests(test_names(root, &["tests/simulation"])?),
            Self::Planted => {
                Step::cargo("test --workspace --locked --features holdfast-simulation/planted --test planted")
            }
            Self::Crash => Step::tests(test_names(root, &["tests"])?.into_iter().filter(|name| name != "tidy")),
            Self::Postgres => Step::tests(postgres_tests(root)?),
            Self::Cluster => Step::tests(test_names(root, &["tests/cluster"])?).side_by_side(),
            Self::Fuzz => Step::tests(test_names(root, &["tests/fuzz"])?),
            Self::Schemathesis | Self::Instructions => return Ok(None),
            // Without --bench on its own command line a suite runs in criterion's test mode: each measurement once.
            Self::Benches => Step::selecting("--bench", bench_names(root, &["benches"])?),
            Self::Doc => Step::cargo("test --workspace --locked --doc"),
            Self::Docs => {
                let environment = vec![("RUSTDOCFLAGS", "-D warnings".to_owned())];
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
        Self::selecting("--test", names)
    }

    fn selecting(target: &str, names: impl IntoIterator<Item = String>) -> Self {
        let mut step = Self::cargo("test --workspace --locked --no-fail-fast");
        step.arguments.extend(names.into_iter().flat_map(|name| [target.to_owned(), name]));
        step
    }

    /// Twice as many tests at once as there are cores: these wait for servers and for what is overdue more than they compute.
    fn side_by_side(mut self) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        self.environment.push(("RUST_TEST_THREADS", (2 * cores).to_string()));
        self
    }

    fn and<const N: usize>(mut self, more: [&str; N]) -> Self {
        self.arguments.extend(more.map(str::to_owned));
        self
    }
}

/// The integration tests of the crates in these folders, by name, but for those that start a PostgreSQL.
fn test_names(root: &Path, folders: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let mut names = tests(root, folders)?;
    names.retain(|_, starts_postgres| !*starts_postgres);
    Ok(names.into_keys().collect())
}

/// The integration tests that start a PostgreSQL, whosever they are, by name.
fn postgres_tests(root: &Path) -> anyhow::Result<BTreeSet<String>> {
    let folders = ["persistence", "actors", "cluster", "api", "tests", "tests/servers"];
    let mut names = tests(root, &folders)?;
    names.retain(|_, starts_postgres| *starts_postgres);
    Ok(names.into_keys().collect())
}

/// The integration tests of the crates in these folders, and whether they start a PostgreSQL.
fn tests(root: &Path, folders: &[&str]) -> anyhow::Result<BTreeMap<String, bool>> {
    let mut names = BTreeMap::new();
    for (name, path) in targets(root, folders, "tests")? {
        let starts_postgres = names.entry(name).or_insert(false);
        *starts_postgres |= mentions_postgres(&path)?;
    }
    Ok(names)
}

/// The criterion suites of the crates in these folders, by name.
fn bench_names(root: &Path, folders: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    Ok(targets(root, folders, "benches")?.into_iter().map(|(name, _)| name).collect())
}

/// The targets that cargo makes of what lies in `kind` (`tests`, `benches`) of the crates in these folders: names and paths.
fn targets(root: &Path, folders: &[&str], kind: &str) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut names = Vec::new();
    for folder in folders.iter().map(|folder| root.join(folder).join(kind)).filter(|folder| folder.is_dir()) {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            names.extend(test_name(&path).map(|name| (name, path)));
        }
    }
    anyhow::ensure!(!names.is_empty(), "there are no {kind} in {}", folders.join(", "));
    Ok(names)
}

/// Whether a test, a file or a folder of them, uses the server that tests start.
fn mentions_postgres(path: &Path) -> anyhow::Result<bool> {
    if path.is_dir() {
        for entry in fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))? {
            if mentions_postgres(&entry?.path())? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    if path.extension().is_none_or(|ending| ending != "rs") {
        return Ok(false);
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.contains("holdfast_servers") && text.contains("Postgres"))
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
    fn every_group_that_is_no_chore_is_a_cargo_command() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for group in Group::ALL {
            let step = group.step(root).unwrap();
            let is_chore = matches!(group, Group::Schemathesis | Group::Instructions);
            assert_eq!(step.is_none(), is_chore, "{}", group.name());
            assert!(step.is_none_or(|step| step.arguments.len() > 1), "{}", group.name());
        }
    }

    #[test]
    fn tests_that_start_a_postgresql_are_in_their_own_group_only() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let theirs = postgres_tests(root).unwrap();
        assert!(theirs.contains("postgres") && theirs.contains("postgres_server"), "{theirs:?}");
        assert!(!theirs.contains("durability") && !theirs.contains("tidy"), "{theirs:?}");
        for group in Group::ALL {
            let words = group.step(root).unwrap().map(|step| step.arguments).unwrap_or_default();
            let some = words.windows(2).any(|pair| pair[0] == "--test" && theirs.contains(&pair[1]));
            assert_eq!(some, group == Group::Postgres, "{}: {words:?}", group.name());
        }
    }

    #[test]
    fn tests_are_found_as_files_and_as_folders() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let names = test_names(root, &["cluster", "tests"]).unwrap();
        assert!(names.contains("node") && names.contains("tidy"), "{names:?}");
    }
}
