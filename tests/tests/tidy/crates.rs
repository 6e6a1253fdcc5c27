//! The crate graph runs one way, core is pure, and no banned crate comes in.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

use crate::{read, root};

/// Each crate may use those before it, and none after.
const LINE: [&str; 5] =
    ["holdfast-core", "holdfast-persistence", "holdfast-actors", "holdfast-cluster", "holdfast-api"];

/// Servers that tests start: every crate's tests may use it, and it uses none of them.
const SERVERS: &str = "holdfast-servers";

/// What pure core may use: values and maps of them, nothing that does anything.
const CORE_MAY_USE: [&str; 4] = ["compact_str", "foldhash", "serde", "thiserror"];

/// Features that only tests and benches turn on in crates that the server is made of too. None changes what a server does.
const ONLY_IN_TESTS: [(&str, &str); 4] = [
    ("serde_json", "unbounded_depth"), // one method more, for cargo_metadata
    ("tokio", "parking_lot"),          // its own locks from another crate, for actix
    ("zerocopy", "derive"),            // macros, for criterion
    ("zerocopy", "zerocopy-derive"),
];

fn metadata() -> Metadata {
    let manifest = root().join("Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("cargo metadata")
}

fn uses(package: &Package, kinds: &[DependencyKind]) -> Vec<String> {
    let used = package.dependencies.iter().filter(|dependency| kinds.contains(&dependency.kind));
    used.map(|dependency| dependency.name.clone()).collect()
}

#[test]
fn crates_use_only_crates_to_their_left() {
    let packages: BTreeMap<_, _> =
        metadata().packages.into_iter().map(|package| (package.name.to_string(), package)).collect();
    for (place, name) in LINE.iter().enumerate() {
        let package = packages.get(*name).unwrap_or_else(|| panic!("{name} is not in the workspace"));
        for used in uses(package, &[DependencyKind::Normal, DependencyKind::Build, DependencyKind::Development]) {
            if used.starts_with("holdfast-") {
                let left = LINE.iter().position(|other| **other == *used).is_some_and(|other| other < place);
                let is_test_server = used == SERVERS && !uses(package, &[DependencyKind::Normal]).contains(&used);
                assert!(left || is_test_server, "{name} uses {used}, which is not to its left in {LINE:?}");
            }
        }
    }
}

#[test]
fn nothing_uses_the_tests_the_benches_or_the_chores() {
    for package in metadata().packages {
        for used in uses(&package, &[DependencyKind::Normal, DependencyKind::Build, DependencyKind::Development]) {
            let ends = [
                "holdfast-tests",
                "holdfast-cluster-tests",
                "holdfast-benches",
                "holdfast-fuzz",
                "holdfast-simulation",
                "xtask",
            ];
            // The cluster's tests are tests themselves: they look at several servers with the rig made for one.
            let is_shared = used == "holdfast-tests" && package.name.as_str() == "holdfast-cluster-tests";
            let is_end = ends.contains(&used.as_str());
            assert!(!is_end || is_shared, "{} uses {used}", package.name);
        }
    }
}

#[test]
fn the_test_servers_use_no_crate_of_ours() {
    let packages = metadata().packages;
    let servers = packages.iter().find(|package| package.name.as_str() == SERVERS).expect(SERVERS);
    for used in uses(servers, &[DependencyKind::Normal, DependencyKind::Build, DependencyKind::Development]) {
        assert!(!used.starts_with("holdfast-"), "{SERVERS} uses {used}: then not every crate's tests could use it");
    }
}

#[test]
fn core_is_pure() {
    let metadata = metadata();
    let core = metadata.packages.iter().find(|package| package.name.as_str() == "holdfast-core").expect("core");
    for used in uses(core, &[DependencyKind::Normal, DependencyKind::Build]) {
        assert!(CORE_MAY_USE.contains(&used.as_str()), "core uses {used}: it may use {CORE_MAY_USE:?} only");
    }
    let root_file = read(&root().join("core/src/lib.rs"));
    assert!(root_file.contains("#![no_std]"), "core must stay no_std: that makes IO and clocks a compile error");
}

/// The features of every crate that is built, along these edges of the graph.
fn features(edges: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--workspace", "--locked", "--prefix=none", "--format={p}|{f}", "--edges", edges]);
    let tree = cargo.current_dir(root()).output().expect("cargo tree");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let mut features = BTreeMap::<_, BTreeSet<_>>::new();
    let tree = String::from_utf8(tree.stdout).expect("names are UTF-8");
    for (package, on) in tree.lines().filter_map(|line| line.split_once('|')) {
        let on = on.trim_end_matches(" (*)").split(',').filter(|feature| !feature.is_empty());
        features.entry(package.to_owned()).or_default().extend(on.map(str::to_owned));
    }
    features
}

#[test]
fn the_server_under_test_is_the_one_we_ship() {
    let (shipped, tested) = (features("normal"), features("normal,dev"));
    assert!(shipped.len() > 100, "only {} crates", shipped.len());
    for (package, shipped) in shipped {
        let name = package.split(' ').next().unwrap_or_default();
        for feature in tested.get(&package).expect("tests are built from all of it").difference(&shipped) {
            let is_known = ONLY_IN_TESTS.contains(&(name, feature));
            assert!(is_known, "tests turn on {feature} of {package}: is the server still the one we ship?");
        }
    }
}

/// The same bans as in deny.toml, checked where cargo-deny is not installed.
#[test]
fn no_banned_crate_is_in_the_lock_file() {
    let lock = read(&root().join("Cargo.lock"));
    for package in lock.split("[[package]]") {
        let field = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
            line.and_then(|line| line.strip_suffix('"')).unwrap_or_default()
        };
        match (field("name"), field("version")) {
            ("sled", version) => assert!(!version.starts_with("0."), "sled {version} loses acknowledged records"),
            ("bincode", version) => assert!(!version.starts_with("3."), "bincode {version} is a compile_error!"),
            ("openssl-sys", version) => panic!("openssl-sys {version} needs a system library"),
            _ => {}
        }
        let source = field("source");
        let is_registry =
            source.is_empty() || source.starts_with("registry+https://github.com/rust-lang/crates.io-index");
        assert!(is_registry, "{} is from {source}: crates.io only", field("name"));
    }
}
