//! Planted bugs stay where they belong: in the build that hunts them, and in no other.

use std::collections::BTreeSet;

use cargo_metadata::{Metadata, MetadataCommand};

use crate::{read, root, sources};

const FEATURE: &str = "planted";
const HUNTER: &str = "holdfast-simulation";

fn metadata() -> Metadata {
    let manifest = root().join("Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("cargo metadata")
}

/// The names of the bugs in `text`, each behind `before` and up to `after`.
fn names(text: &str, before: &str, after: char) -> BTreeSet<String> {
    let found = text.split(before).skip(1).filter_map(|rest| rest.split_once(after));
    found.map(|(name, _)| name.trim().to_owned()).collect()
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let rest = text.split_once(from).map_or("", |(_, rest)| rest);
    rest.split_once(to).map_or(rest, |(between, _)| between)
}

#[test]
fn only_the_simulation_can_plant_bugs_and_not_by_default() {
    for package in metadata().packages {
        let name = package.name.as_str();
        for (feature, turns_on) in &package.features {
            let plants = feature == FEATURE || turns_on.iter().any(|other| other.contains(FEATURE));
            let may = feature == FEATURE && (name == HUNTER || name == "holdfast-core");
            assert!(!plants || may, "{name}: the feature {feature} turns on {turns_on:?}");
        }
        for dependency in &package.dependencies {
            let plants = dependency.features.iter().any(|feature| feature == FEATURE);
            assert!(!plants, "{name} depends on {} with planted bugs", dependency.name);
        }
    }
}

#[test]
fn every_planted_bug_has_a_place_in_the_code_and_a_line_in_the_documentation() {
    let home = root().join("core/src/planted.rs");
    let list = read(&home);
    let variants = names(between(&list, "const ALL", "];"), "Self::", ',');
    let bugs = names(between(&list, "fn name", "fn mistake"), "=> \"", '"');
    assert!(bugs.len() >= 15 && bugs.len() == variants.len(), "{bugs:?} {variants:?}");
    let mut placed = BTreeSet::new();
    for path in sources().into_iter().filter(|path| *path != home) {
        placed.extend(names(&read(&path), "planted!(", ')'));
    }
    for variant in &variants {
        assert!(placed.contains(variant), "{variant} is planted nowhere");
    }
    let manual = read(&root().join("docs/simulation.md"));
    for bug in bugs {
        assert!(manual.contains(&format!("`{bug}`")), "docs/simulation.md does not mention {bug}");
    }
}
