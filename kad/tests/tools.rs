//! What operators use: the live view, the check of a host, completions, manual pages.

use crate::common;

use std::process::Command;

use common::{Daemon, fail, free_address, json, run, succeed};
use serde_json::Value;

fn text(output: Vec<u8>) -> String {
    String::from_utf8(output).unwrap()
}

#[test]
fn one_frame_or_one_object_where_there_is_no_terminal() {
    let first = Daemon::start(&[]);
    let second = Daemon::join(&first);
    let here = ["--interval", "200ms", "--data-dir", second.dir()];
    for arguments in [&["top"][..], &["top", "--once"]] {
        let frame = text(succeed(&[arguments, &here].concat()));
        assert_eq!(frame.lines().count(), 24, "{frame}");
        assert!(frame.lines().all(|line| line.chars().count() <= 80), "{frame}");
        for expected in ["READY", &second.address.to_string(), &first.address.to_string(), "1 contacts in 1 buckets"] {
            assert!(frame.contains(expected), "{expected:?} is not in\n{frame}");
        }
    }
    let object = json(&[&["top", "--json"], &here[..]].concat());
    assert_eq!((&object["status"]["contacts"], &object["ready"]["ready"]), (&1.into(), &true.into()));
    assert!(object["rates"]["datagrams_in"].is_number() && object["peers"].as_array().unwrap().len() == 1);
    let (status, message) = fail(&["top", "--bootstrap", &first.address.to_string()]);
    assert!(status == 2 && message.contains("--bootstrap"), "{message}");
    let nobody = tempfile::tempdir().unwrap();
    assert_eq!(fail(&["top", "--data-dir", nobody.path().to_str().unwrap()]).0, 7);
}

fn findings(report: &Value) -> Vec<(&str, &str)> {
    let all = report["findings"].as_array().unwrap().iter();
    all.map(|finding| (finding["check"].as_str().unwrap(), finding["level"].as_str().unwrap())).collect()
}

#[test]
fn the_doctor_looks_at_this_host() {
    let first = Daemon::start(&[]);
    let (directory, listen) = (tempfile::tempdir().unwrap(), free_address().to_string());
    let data_dir = directory.path().join("not/there/yet");
    let here = ["--listen", &listen, "--data-dir", data_dir.to_str().unwrap()];
    let bootstrap = first.address.to_string();
    let report = json(&[&["doctor", "--json", "--bootstrap", &bootstrap], &here[..]].concat());
    let found = findings(&report);
    for check in ["udp-port", "tcp-port", "files", "disk", "room", "bootstrap"] {
        assert!(found.contains(&(check, "ok")), "{check}: {report}");
    }
    assert!(found.iter().any(|(check, _)| *check == "buffers") && found.iter().any(|(check, _)| *check == "clock"));
    assert_eq!(report["failures"], 0);
    assert!(!data_dir.exists() && directory.path().read_dir().unwrap().next().is_none(), "nothing is left behind");
}

#[test]
fn the_doctor_says_what_is_wrong_and_fails() {
    let daemon = Daemon::start(&[]);
    let (taken, silent) = (daemon.address.to_string(), free_address().to_string());
    let file = tempfile::NamedTempFile::new().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let elsewhere = elsewhere.path().to_str().unwrap();
    for (arguments, check) in [
        (["--listen", &taken, "--data-dir", elsewhere], "udp-port"),
        (["--http", "192.0.2.1:80", "--data-dir", elsewhere], "tcp-port"),
        (["--bootstrap", &silent, "--data-dir", elsewhere], "bootstrap"),
        (["--bootstrap", "no.such.host.invalid:9000", "--data-dir", elsewhere], "bootstrap"),
        (["--listen", "127.0.0.1:0", "--data-dir", file.path().to_str().unwrap()], "disk"),
    ] {
        let listen: &[&str] = if arguments[0] == "--listen" { &[] } else { &["--listen", "127.0.0.1:0"] };
        let output = run(&[&["doctor", "--json"], &arguments[..], listen].concat());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{report}");
        assert!(findings(&report).contains(&(check, "fail")), "{check}: {report}");
        let output = run(&[&["doctor"], &arguments[..], listen].concat());
        assert!(text(output.stdout).lines().any(|line| line.starts_with("FAIL") && line.contains(check)));
        assert!(text(output.stderr).contains("checks failed"));
    }
    // Its own daemon may have the port.
    let port = daemon.address.to_string();
    let report = json(&["doctor", "--json", "--listen", &port, "--data-dir", daemon.dir()]);
    assert!(findings(&report).contains(&("udp-port", "ok")), "{report}");
}

/// Every command with its own commands, as the help lists them.
fn commands(path: &[&str]) -> Vec<String> {
    let help = text(succeed(&[path, &["--help"]].concat()));
    let listed = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let names = listed.take_while(|line| !line.is_empty()).filter_map(|line| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty() && name != "help").then(|| name.to_owned())
    });
    names.collect()
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man");
    succeed(&["man", pages.to_str().unwrap()]);
    let mut names = vec!["kad".to_owned()];
    for command in commands(&[]) {
        names.extend(commands(&[&command]).iter().map(|inner| format!("kad-{command}-{inner}")));
        names.push(format!("kad-{command}"));
    }
    assert!(names.len() > 18, "{names:?}");
    for name in &names {
        let page = std::fs::read_to_string(pages.join(format!("{name}.1"))).unwrap_or_else(|_| panic!("{name}"));
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
    assert_eq!(pages.read_dir().unwrap().count(), names.len());
    let (status, message) = fail(&["man", "/dev/null/man"]);
    assert!(status == 5 && message.contains("manual pages"), "{message}");
}

#[test]
fn every_shell_has_completions_and_bash_takes_them() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = text(succeed(&["completions", shell]));
        for word in ["doctor", "bootstrap"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(fail(&["completions", "tcsh"]).0, 2);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kad.bash");
    std::fs::write(&file, succeed(&["completions", "bash"])).unwrap();
    let ask = "source \"$0\"; COMP_WORDS=(kad do) COMP_CWORD=1; _kad kad do kad; echo ${COMPREPLY[@]}";
    match Command::new("bash").args(["-c", ask]).arg(&file).output() {
        Ok(output) => assert_eq!(text(output.stdout).trim(), "doctor", "{}", text(output.stderr)),
        // A host without bash has no use for them.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}
