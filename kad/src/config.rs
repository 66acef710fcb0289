//! Settings from the command line, the environment and a file, in this order of precedence.
//!
//! A file has the flags of `kad daemon` by their long names. Its settings pass through the same parser as flags, after the
//! given flags, so that there is one set of rules.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use toml::de::{DeTable, DeValue};

use crate::args::{Args, Command};
use crate::data_dir::{DataDir, user_config};
use crate::error::Failure;
use crate::log;

/// Flags that are not permitted in a file.
const NOT_IN_FILES: [&str; 4] = ["config", "detach", "help", "json"];

/// The parsed command line, and the settings of a daemon if the command has any.
pub(crate) struct Read {
    pub(crate) args: Args,
    pub(crate) daemon: Settings,
}

/// The settings of a daemon, as texts.
#[derive(Default)]
pub(crate) struct Settings {
    /// The configuration file, if any.
    pub(crate) file: Option<PathBuf>,
    /// Each setting that has a value, by its long name.
    pub(crate) values: BTreeMap<String, Setting>,
}

/// One setting.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) values: Vec<String>,
    pub(crate) source: &'static str,
    pub(crate) is_list: bool,
}

impl Settings {
    /// Returns each setting as one text.
    pub(crate) fn shown(&self) -> BTreeMap<String, String> {
        self.values.iter().map(|(name, setting)| (name.clone(), setting.values.join(","))).collect()
    }

    /// Returns the names of the settings that differ in `later`.
    pub(crate) fn changed(&self, later: &Self) -> BTreeSet<String> {
        let values = |settings: &Self, name: &String| settings.values.get(name).map(|setting| setting.values.clone());
        let names = self.values.keys().chain(later.values.keys());
        names.filter(|name| values(self, name) != values(later, name)).cloned().collect()
    }

    /// Copies one setting from `later`.
    pub(crate) fn take(&mut self, name: &str, later: &Self) {
        match later.values.get(name) {
            Some(setting) => drop(self.values.insert(name.to_owned(), setting.clone())),
            None => drop(self.values.remove(name)),
        }
    }
}

/// A setting of a file.
struct Entry {
    name: String,
    values: Vec<String>,
    line: usize,
}

/// Reads the command line and, for a daemon, its file. clap reports usage errors itself.
pub(crate) fn read() -> Result<Read, Failure> {
    read_with(|error| error.exit())
}

/// Rereads the settings while the program runs: the file may have changed.
pub(crate) fn read_again() -> Result<Read, Failure> {
    read_with(|error| Failure::Setting(error.to_string()))
}

fn read_with(wrong: fn(clap::Error) -> Failure) -> Result<Read, Failure> {
    let mut argv: Vec<OsString> = std::env::args_os().collect();
    let matches = command().try_get_matches_from(&argv).map_err(wrong)?;
    let Some(daemon) = daemon_matches(&matches) else {
        return Ok(Read { args: parsed(&matches)?, daemon: Settings::default() });
    };
    let file = file_of(daemon)?;
    let entries = file.as_deref().map(entries).transpose()?.unwrap_or_default();
    if let Some(path) = file.as_deref() {
        check(path, &entries)?;
        check_place(path, daemon, &entries)?;
    }
    let given = |entry: &&Entry| {
        matches!(daemon.value_source(&id(&entry.name)), Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    };
    let taken: Vec<_> = entries.iter().filter(|entry| !given(entry)).collect();
    argv.extend(taken.iter().flat_map(|entry| flags(entry)));
    let matches = command().try_get_matches_from(&argv).map_err(wrong)?;
    let from_file: BTreeSet<&str> = taken.iter().map(|entry| entry.name.as_str()).collect();
    let mut values = daemon_matches(&matches).map(|daemon| settings(daemon, &from_file)).unwrap_or_default();
    let mut args = parsed(&matches)?;
    if let Some(setting) = values.get_mut("log") {
        *setting = log::filter(&setting.values.join(","), setting.source, args.verbosity);
        if let Command::Daemon(daemon) = &mut args.command {
            daemon.log = setting.values.join(",");
        }
    }
    Ok(Read { args, daemon: Settings { file, values } })
}

/// Returns the command line for this environment: an empty variable counts as unset, because scripts and compose files pass
/// those.
fn command() -> clap::Command {
    without_empty(Args::command())
}

fn without_empty(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.to_string_lossy().trim().is_empty());
    let command = command.mut_args(|argument| match argument.get_env().is_some_and(is_empty) {
        true => argument.env(Resettable::Reset),
        false => argument,
    });
    command.mut_subcommands(without_empty)
}

/// Validates a file, and returns its number of settings.
pub(crate) fn check_file(path: &Path) -> Result<usize, Failure> {
    let entries = entries(path)?;
    check(path, &entries)?;
    Ok(entries.len())
}

fn parsed(matches: &ArgMatches) -> Result<Args, Failure> {
    let mut args = Args::from_arg_matches(matches).map_err(|error| Failure::Setting(error.to_string()))?;
    for list in args.command.lists() {
        list.retain(|part| !part.is_empty());
    }
    let has_no_part = |given: &ArgMatches| match given.try_get_many::<String>("bootstrap") {
        Ok(Some(mut parts)) => parts.all(String::is_empty),
        _ => false,
    };
    // Without an address the command would use a daemon instead.
    if matches.subcommand().is_some_and(|(_, given)| has_no_part(given)) {
        return Err(Failure::Setting("--bootstrap is empty: must be ADDRESS:PORT or NAME:PORT".into()));
    }
    if let (Some(elsewhere), Some((_, given))) = (args.command.elsewhere(), matches.subcommand()) {
        let is_flag =
            |id: &str| given.try_contains_id(id).is_ok() && given.value_source(id) == Some(ValueSource::CommandLine);
        let names_other = is_flag("data_dir") || is_flag("bootstrap");
        if is_flag("api") && names_other {
            return Err(Failure::Setting("--api is a remote daemon: omit --data-dir and --bootstrap".into()));
        }
        // A flag takes precedence over a variable.
        elsewhere.api.take_if(|_| names_other);
        if is_flag("token") && elsewhere.api.is_none() {
            return Err(Failure::Setting("--token is for a remote daemon: add --api URL".into()));
        }
    }
    Ok(args)
}

/// Returns the part of a command line that has the flags of a daemon.
fn daemon_matches(matches: &ArgMatches) -> Option<&ArgMatches> {
    match matches.subcommand()? {
        ("daemon" | "doctor", daemon) => Some(daemon),
        ("config", config) => config.subcommand_matches("show"),
        _ => None,
    }
}

fn daemon_command() -> clap::Command {
    Args::command().find_subcommand("daemon").cloned().unwrap_or_default()
}

/// Returns clap's id of a flag.
fn id(name: &str) -> String {
    name.replace('-', "_")
}

/// Returns the given file, or the first file found in the default locations.
fn file_of(daemon: &ArgMatches) -> Result<Option<PathBuf>, Failure> {
    if let Some(named) = daemon.get_one::<PathBuf>("config") {
        return Ok(Some(named.clone()));
    }
    let data_dir = DataDir::new(daemon.get_one::<PathBuf>("data_dir").cloned())?;
    let places = [Some(data_dir.config()), user_config()];
    Ok(places.into_iter().flatten().find(|path| path.exists()))
}

/// Parses the settings of a file, with their lines.
fn entries(path: &Path) -> Result<Vec<Entry>, Failure> {
    let unreadable = |source: io::Error| Failure::File { what: "read", path: path.into(), source };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let line_of = |at: usize| text.get(..at).unwrap_or_default().matches('\n').count() + 1;
    let wrong = |line, message: String| Failure::Config { path: path.into(), line, message };
    let table = DeTable::parse(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(span.start));
        wrong(line, error.message().to_owned())
    })?;
    let mut entries = Vec::new();
    for (name, value) in table.get_ref() {
        let line = line_of(name.span().start);
        let name = name.get_ref().to_string();
        let values = texts(value.get_ref())
            .ok_or_else(|| wrong(line, format!("{name}: must be a text, a number, true, false, or a list of these")))?;
        entries.push(Entry { name, values, line });
    }
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn texts(value: &DeValue<'_>) -> Option<Vec<String>> {
    let one = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Boolean(is) => Some(is.to_string()),
        _ => None,
    };
    match value {
        DeValue::Array(values) => values.iter().map(|value| one(value.get_ref())).collect(),
        single => one(single).map(|text| vec![text]),
    }
}

/// Validates each setting of a file separately, so that errors have a line.
fn check(path: &Path, entries: &[Entry]) -> Result<(), Failure> {
    let command = daemon_command();
    let known: BTreeSet<&str> = command.get_arguments().filter_map(|argument| argument.get_long()).collect();
    for entry in entries {
        let wrong = |message: String| Failure::Config { path: path.into(), line: entry.line, message };
        if !known.contains(entry.name.as_str()) || NOT_IN_FILES.contains(&entry.name.as_str()) {
            return Err(wrong(format!("there is no setting `{}`", entry.name)));
        }
        if is_switch(&command, &entry.name) && !matches!(&entry.values[..], [one] if one == "true" || one == "false") {
            return Err(wrong(format!("{}: must be true or false", entry.name)));
        }
        if let Err(error) = command.clone().try_get_matches_from(["daemon".into()].into_iter().chain(flags(entry))) {
            return Err(wrong(first_line(&error)));
        }
    }
    Ok(())
}

/// Refuses a file in a data directory that sets another data directory: two daemons would use it.
fn check_place(path: &Path, daemon: &ArgMatches, entries: &[Entry]) -> Result<(), Failure> {
    let was_named = daemon.get_one::<PathBuf>("config").is_some();
    match entries.iter().find(|entry| entry.name == "data-dir") {
        Some(entry) if !was_named => {
            let message = "data-dir: permitted only in a file given with --config".into();
            Err(Failure::Config { path: path.into(), line: entry.line, message })
        }
        _ => Ok(()),
    }
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.lines().next().unwrap_or_default();
    match error.kind() {
        ErrorKind::ArgumentConflict => "given more than once, or together with a conflicting setting".into(),
        _ => text.trim_start_matches("error: ").to_owned(),
    }
}

fn is_switch(command: &clap::Command, name: &str) -> bool {
    let argument = command.get_arguments().find(|argument| argument.get_long() == Some(name));
    argument.is_some_and(|argument| !argument.get_action().takes_values())
}

/// Returns a setting of a file as flags.
fn flags(entry: &Entry) -> Vec<OsString> {
    let Entry { name, values, .. } = entry;
    let is_switch = is_switch(&daemon_command(), name);
    let flag = |value: &String| match (is_switch, value.as_str()) {
        (true, "true") => Some(format!("--{name}").into()),
        (true, _) => None,
        (false, value) => Some(format!("--{name}={value}").into()),
    };
    values.iter().filter_map(flag).collect()
}

/// Returns every setting that has a value, and its source.
fn settings(daemon: &ArgMatches, from_file: &BTreeSet<&str>) -> BTreeMap<String, Setting> {
    let command = daemon_command();
    let mut settings = BTreeMap::new();
    for argument in command.get_arguments() {
        let Some(name) = argument.get_long().filter(|name| !NOT_IN_FILES.contains(name)) else { continue };
        let id = argument.get_id().as_str();
        let source = match daemon.value_source(id) {
            Some(ValueSource::CommandLine) if from_file.contains(name) => "file",
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "environment",
            Some(_) => "default",
            None => continue,
        };
        let is_list = matches!(argument.get_action(), clap::ArgAction::Append);
        let text = |value: &OsString| match (value.to_string_lossy(), is_list) {
            (value, true) => value.trim().to_owned(),
            (value, false) => value.into_owned(),
        };
        let mut values: Vec<_> = match argument.get_action().takes_values() {
            true => daemon.get_raw(id).into_iter().flatten().map(|value| text(&value.to_os_string())).collect(),
            false => vec![daemon.get_flag(id).to_string()],
        };
        values.retain(|value| !is_list || !value.is_empty());
        settings.insert(name.to_owned(), Setting { values, source, is_list });
    }
    settings
}
