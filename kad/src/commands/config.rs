//! `kad config`

use serde_json::{Map, Value, json};

use crate::args::{Config, ConfigCommand};
use crate::config::{Setting, Settings, check_file};
use crate::error::Failure;
use crate::output;

pub(crate) fn run(args: Config, settings: &Settings) -> Result<(), Failure> {
    match args.command {
        ConfigCommand::Check { file, output } if output.json => {
            output::json(&json!({ "file": file, "settings": check_file(&file)? }))
        }
        ConfigCommand::Check { file, .. } => {
            let count = output::count(check_file(&file)?, "setting", "settings");
            output::line(&format!("{}: {count}, valid", file.display()))
        }
        ConfigCommand::Show { output, .. } if output.json => show_json(settings),
        ConfigCommand::Show { .. } => show(settings),
    }
}

/// Prints all settings as a configuration file.
fn show(settings: &Settings) -> Result<(), Failure> {
    let file = settings.file.as_ref().map_or("no file".into(), |file| file.display().to_string());
    output::line(&format!("# precedence: flag, environment variable, {file}, default"))?;
    for (name, setting) in &settings.values {
        output::line(&format!("{name} = {}  # {}", toml(setting), setting.source))?;
    }
    Ok(())
}

fn show_json(settings: &Settings) -> Result<(), Failure> {
    let one = |(name, setting): (&String, &Setting)| {
        let value = if setting.is_list { json!(setting.values) } else { json!(setting.values.join(",")) };
        (name.clone(), json!({ "value": value, "source": setting.source }))
    };
    let values: Map<String, Value> = settings.values.iter().map(one).collect();
    output::json(&json!({ "file": settings.file, "settings": values }))
}

/// Formats a value as TOML, whose basic strings are escaped as in JSON.
fn toml(setting: &Setting) -> String {
    let text = |value: &String| match value.as_str() {
        "true" | "false" => value.clone(),
        _ if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => value.clone(),
        _ => Value::from(value.as_str()).to_string(),
    };
    match (setting.is_list, &setting.values[..]) {
        (false, [one]) => text(one),
        (_, values) => format!("[{}]", values.iter().map(text).collect::<Vec<_>>().join(", ")),
    }
}
