//! Instructions of the core's hot paths: counted, and compared with a table in the documentation.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::chores::{cargo, root};
use crate::requirements::{is_installed, left_out};

/// The table, from the repository on.
const TABLE: &str = "docs/instructions.md";
/// A count may move by this share of what it was.
const TOLERANCE: f64 = 0.03;
/// What counts, and the release that the benchmarks are written for.
const RUNNER: &str = "gungraun-runner";
const RELEASE: &str = "0.20.0";

/// What is counted, and its instructions.
type Counts = BTreeMap<String, u64>;

/// Counts, and compares or writes the table.
pub(crate) fn instructions() -> Result<(), String> {
    let update = match std::env::args().nth(2).as_deref() {
        None => false,
        Some("--update") => true,
        Some(other) => return Err(format!("instructions: `{other}`: only --update is known")),
    };
    if !is_installed("valgrind") {
        return left_out("instructions", "valgrind is not installed");
    }
    if !has_runner() {
        cargo(&["install", "--locked", "--debug", RUNNER, "--version", RELEASE])?;
    }
    let counted = count()?;
    print!("{}", rows(&counted));
    let file = root().join(TABLE);
    let old = std::fs::read_to_string(&file).map_err(|error| format!("{TABLE}: {error}"))?;
    if update {
        let head = old.split("| path |").next().unwrap_or_default();
        return std::fs::write(&file, format!("{head}{}", rows(&counted))).map_err(|error| format!("{TABLE}: {error}"));
    }
    let moved = compare(&parse(&old), &counted);
    if moved.is_empty() {
        return Ok(());
    }
    Err(format!("instructions: {}; if that is meant: cargo xtask instructions --update", moved.join("; ")))
}

/// Returns whether the runner of this release is installed: it takes only benchmarks that are written for it.
fn has_runner() -> bool {
    let output = Command::new(RUNNER).arg("--version").output();
    output.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).split_whitespace().any(|word| word == RELEASE))
}

fn count() -> Result<Counts, String> {
    let arguments = ["bench", "-p", "kad-bench", "--bench", "instructions", "--", "--output-format=json"];
    let output = Command::new("cargo").args(arguments).current_dir(root()).output();
    let output = output.map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter(|line| line.starts_with('{')).map(one).collect()
}

/// Name and count of one benchmark.
fn one(line: &str) -> Result<(String, u64), String> {
    let summary: Value = serde_json::from_str(line).map_err(|error| format!("{RUNNER}: {error}"))?;
    let word = |name: &str| summary[name].as_str().unwrap_or_default();
    let name = format!("{} {}", word("function_name"), word("id"));
    let count = find(&summary, "Ir").ok_or_else(|| format!("{RUNNER} has no count of {name}"))?;
    Ok((name, count))
}

/// The first number under this name, however deep.
fn find(value: &Value, name: &str) -> Option<u64> {
    match value {
        Value::Object(fields) => match fields.get(name) {
            Some(found) => number(found),
            None => fields.values().find_map(|inner| find(inner, name)),
        },
        Value::Array(values) => values.iter().find_map(|inner| find(inner, name)),
        _ => None,
    }
}

/// The first whole number in a value.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(_) => value.as_u64(),
        Value::Object(fields) => fields.values().find_map(number),
        Value::Array(values) => values.iter().find_map(number),
        _ => None,
    }
}

fn rows(counts: &Counts) -> String {
    let row = |(name, count): (&String, &u64)| format!("| {name} | {count} |\n");
    format!("| path | instructions |\n|---|---|\n{}", counts.iter().map(row).collect::<String>())
}

fn parse(table: &str) -> Counts {
    let row = |line: &str| {
        let (name, count) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    table.lines().filter_map(row).collect()
}

/// What has moved by more than the tolerance, come or gone.
fn compare(old: &Counts, new: &Counts) -> Vec<String> {
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("{name} is gone"));
    let moved = new.iter().filter_map(|(name, new)| match old.get(name) {
        None => Some(format!("{name} is new")),
        Some(old) => {
            let share = (*new as f64 - *old as f64) / *old as f64;
            (share.abs() > TOLERANCE).then(|| format!("{name}: {old} before, {new} now ({:+.1} %)", share * 100.0))
        }
    });
    gone.chain(moved).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_may_move_a_little() {
        let counts = |ping: u64| Counts::from([("answer ping".into(), ping), ("decode".into(), 500)]);
        let table = format!("# Instructions\n\n{}", rows(&counts(1000)));
        assert_eq!(parse(&table), counts(1000));
        assert!(compare(&counts(1000), &counts(1029)).is_empty());
        assert_eq!(compare(&counts(1000), &counts(960)), ["answer ping: 1000 before, 960 now (-4.0 %)"]);
        let fewer = Counts::from([("decode".into(), 500), ("encode".into(), 1)]);
        assert_eq!(compare(&counts(1000), &fewer), ["answer ping is gone", "encode is new"]);
    }
}
