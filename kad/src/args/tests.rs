//! What every command's help has in common, and what is made of it.

use std::path::PathBuf;

use clap::{Command, CommandFactory as _};
use clap_markdown::{MarkdownOptions, help_markdown_command_custom};

use super::Args;
use crate::error::STATUSES;

/// Every command, by its whole name.
fn commands() -> Vec<(String, Command)> {
    fn walk(command: &Command, name: &str, all: &mut Vec<(String, Command)>) {
        all.push((name.to_owned(), command.clone()));
        for inner in command.get_subcommands() {
            walk(inner, &format!("{name} {}", inner.get_name()), all);
        }
    }
    let mut all = Vec::new();
    walk(&Args::command(), "kad", &mut all);
    all
}

#[test]
fn the_help_is_of_one_style() {
    Args::command().debug_assert();
    for (name, command) in commands() {
        let about = command.get_about().unwrap_or_else(|| panic!("{name} has no help")).to_string();
        // clap takes the full stop of a single sentence away; that of the program is the package's.
        assert!((name == "kad" || !about.ends_with('.')) && about.starts_with(char::is_uppercase), "{name}: {about}");
        assert!(about.len() <= 100, "{name}: one line: {about}");
        for argument in command.get_arguments() {
            let place = format!("{name} {}", argument.get_id());
            let help = argument.get_help().unwrap_or_else(|| panic!("{place} has no help")).to_string();
            assert!(!help.ends_with('.') || help.ends_with("..."), "{place}: no full stop: {help}");
            assert!(help.starts_with(|first: char| !first.is_lowercase()), "{place}: {help}");
            let takes = argument.get_action().takes_values();
            assert!(!takes || argument.get_value_names().is_some(), "{place} does not name its value");
        }
    }
}

/// Each of these must be able to talk to programs. The others print what they print for programs already, or nothing.
#[test]
fn whatever_prints_prints_json_too() {
    let plain = ["kad", "kad daemon", "kad config", "kad completions", "kad man"];
    for (name, command) in commands() {
        let has_json = command.get_arguments().any(|argument| argument.get_long() == Some("json"));
        assert_eq!(has_json, !plain.contains(&&name[..]), "{name}");
    }
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_readme_has_the_exit_statuses_and_every_command() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    for (status, meaning) in STATUSES {
        assert!(readme.contains(&format!("| {status} | {meaning} |")), "{status}: {meaning}");
    }
    for (name, _) in commands() {
        assert!(readme.contains(&name), "{name} is not in the README");
    }
}

/// `docs/cli.md` is written by this test if `KAD_UPDATE_DOCS` is set, and compared if not.
#[test]
fn the_reference_is_what_the_help_says() {
    // With the help of `help` it would be twice as long, and say nothing more.
    let command = Args::command().disable_help_subcommand(true);
    let options = MarkdownOptions::new().title("The command line: reference".into()).show_footer(false);
    let text = help_markdown_command_custom(&command, &options);
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    let text = format!("{}\n", lines.join("\n").trim_end());
    let path = repository().join("docs/cli.md");
    if std::env::var_os("KAD_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "docs/cli.md is old: KAD_UPDATE_DOCS=1 cargo test -p kad --bin kad reference");
}
