//! What the README tells people to type exists.

use std::{
    path::Path,
    process::{Command, Output},
};

use holdfast_tests::binary;

use crate::{read, root};

/// Lines of the README's code blocks that begin with this.
fn commands(prefix: &str) -> Vec<String> {
    let readme = root().join("README.md");
    let lines = read(&readme);
    let mut in_block = false;
    let mut commands = Vec::new();
    for line in lines.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            let line = line.trim_start().trim_start_matches("$ ");
            commands.extend(line.strip_prefix(prefix).map(|rest| rest.trim().to_owned()));
        }
    }
    commands
}

fn help(program: &Path, words: &[&str]) -> Output {
    Command::new(program).args(words).arg("--help").output().expect("the program runs")
}

/// The subcommand words and the long flags of a command line.
fn parts(line: &str) -> (Vec<&str>, Vec<&str>) {
    let line = line.split(['#', '|', '>', '&', ';']).next().unwrap_or_default();
    let words: Vec<_> = line.split_whitespace().collect();
    let is_word = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
    let subcommands = words.iter().copied().take_while(is_word).collect();
    let flags = words.iter().filter(|word| word.starts_with("--")).map(|word| word.split('=').next().unwrap_or(word));
    (subcommands, flags.collect())
}

#[test]
fn every_holdfast_command_of_the_readme_exists() {
    let program = binary::holdfast().expect("the program");
    let mut lines = commands("holdfast ");
    lines.extend(commands("cargo run --release -- "));
    for line in lines {
        let (words, flags) = parts(&line);
        let known = help(&program, &words);
        assert!(known.status.success(), "README: `holdfast {line}`: {}", String::from_utf8_lossy(&known.stderr));
        let text = String::from_utf8_lossy(&known.stdout).into_owned();
        for flag in flags {
            assert!(text.contains(flag), "README: `holdfast {line}`: there is no {flag}");
        }
    }
}

#[test]
fn every_chore_of_the_readme_exists() {
    let groups = read(&root().join("xtask/src/group.rs"));
    for line in commands("cargo xtask ") {
        let mut words = line.split_whitespace().take_while(|word| !word.starts_with(['#', '[', '-']));
        assert_eq!(words.next(), Some("test"), "README: `cargo xtask {line}`");
        for group in words {
            assert!(groups.contains(&format!("\"{group}\"")), "README: there is no group {group}");
        }
    }
}

#[test]
fn a_command_line_is_told_apart_into_words_and_flags() {
    let (words, flags) = parts("bench flash-sale --url http://127.0.0.1:8080 --rate=5 # a comment --no");
    assert_eq!((words, flags), (vec!["bench", "flash-sale"], vec!["--url", "--rate"]));
}
