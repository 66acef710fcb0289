//! A file of tests that belongs to no program would never be run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::chores::root;

/// Names of the files of Rust in a directory, without `.rs`.
fn files(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().file_name());
    entries.filter_map(|name| Some(name.to_str()?.strip_suffix(".rs")?.to_owned())).collect()
}

/// What stands between two texts, line by line.
fn between(text: &str, before: &str, after: &str) -> BTreeSet<String> {
    let line = |line: &str| Some(line.strip_prefix(before)?.strip_suffix(after)?.to_owned());
    text.lines().filter_map(line).collect()
}

#[test]
fn every_file_of_tests_belongs_to_a_program() {
    let mut packages = 0;
    for entry in fs::read_dir(root()).unwrap() {
        let package = entry.unwrap().path();
        let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap_or_default();
        if !manifest.contains("autotests = false") {
            continue;
        }
        packages += 1;
        let suite = fs::read_to_string(package.join("tests/suite.rs")).unwrap();
        let programs = between(&manifest, "name = \"", "\"");
        let known = &programs | &between(&suite, "mod ", ";");
        let lost = &files(&package.join("tests")) - &known;
        assert!(lost.is_empty(), "{}: neither a [[test]] nor a module of tests/suite.rs: {lost:?}", package.display());
    }
    assert!(packages > 5, "{packages} packages");
}
