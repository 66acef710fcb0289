//! The commands of `docs/tutorial.md`, on three hosts of a virtual network.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Output;

use kad_netns::{Host, Network};
use tempfile::TempDir;

/// A command of the page, and what it is to print if that is said.
struct Step {
    machine: String,
    command: String,
    prints: Option<String>,
}

/// A machine: a host with a home.
struct Machine {
    host: Host,
    home: TempDir,
}

impl Machine {
    fn run(&self, command: &str) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_kad")).parent().expect("a directory");
        let path = format!("{}:{}", program.display(), std::env::var("PATH").expect("a path"));
        let mut shell = self.host.command("sh", &["-c", command]);
        for name in ["XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
            shell.env_remove(name);
        }
        shell.env("PATH", path).env("HOME", self.home.path()).output().expect("sh runs")
    }
}

/// The fenced blocks of a page: what follows the fence, and the lines in it.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut blocks: Vec<(&str, String)> = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(info) if !is_inside => blocks.push((info, String::new())),
            Some(_) => {}
            None if is_inside => blocks.last_mut().expect("a block").1 += &format!("{line}\n"),
            None => continue,
        }
        is_inside = line.starts_with("```") != is_inside;
    }
    blocks
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (info, text) in blocks(page) {
        match (info.strip_prefix("sh "), info) {
            (Some(machine), _) => steps.push(Step { machine: machine.into(), command: text, prints: None }),
            (None, "text") => steps.last_mut().expect("a command").prints = Some(text),
            (None, other) => assert_eq!(other, "sh", "a block that nobody understands"),
        }
    }
    steps
}

#[test]
fn every_command_of_the_tutorial_does_what_the_page_says() {
    if !kad_netns::is_possible() {
        return;
    }
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tutorial.md")).unwrap();
    let steps = steps(&page);
    assert!(steps.len() > 12 && steps.iter().filter(|step| step.prints.is_some()).count() > 5);

    let network = Network::start().unwrap();
    let machine = |name: &str, address: &str| Machine {
        host: network.host(name, &[address]).unwrap(),
        home: tempfile::tempdir().unwrap(),
    };
    let machines = [("a", "192.0.2.1/24"), ("b", "192.0.2.2/24"), ("c", "192.0.2.3/24")]
        .map(|(name, at)| (name, machine(name, at)));
    for step in steps {
        let machine = &machines.iter().find(|(name, _)| *name == step.machine).expect("a machine").1;
        let output = machine.run(&step.command);
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "on {}: {}{said}{complained}", step.machine, step.command);
        if let Some(prints) = step.prints {
            assert_eq!(said.trim_end(), prints.trim_end(), "on {}: {}{complained}", step.machine, step.command);
        }
    }
}
