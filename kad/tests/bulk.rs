//! Many values at once: from files and from JSON lines, through a daemon and without one.

use crate::common;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use common::{Daemon, fail, fail_with, run_with, succeed};
use serde_json::Value;

fn lines(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output).lines().map(str::to_owned).collect()
}

fn objects(output: &[u8]) -> Vec<Value> {
    lines(output).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn several_files_are_several_values() {
    let first = Daemon::start(&[]);
    let second = Daemon::join(&first);
    let paths: Vec<_> = (0..5).map(|number| first.path().join(format!("file {number}"))).collect();
    for (number, path) in paths.iter().enumerate() {
        std::fs::write(path, vec![number as u8; number * 7000]).unwrap();
    }
    let names: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    let stored = succeed(&[&["put", "--data-dir", first.dir(), "--file"], &names[..]].concat());
    let stored = lines(&stored);
    assert_eq!(stored.len(), 5);
    for (number, line) in stored.iter().enumerate() {
        let (key, name) = line.split_once("  ").unwrap();
        assert_eq!(name, names[number]);
        assert!(succeed(&["get", key, "--data-dir", second.dir()]) == vec![number as u8; number * 7000]);
    }
    // Under one name they stand beside each other.
    let put = succeed(&[&["put", "--json", "--name", "all", "--data-dir", first.dir(), "--file"], &names[..]].concat());
    assert!(objects(&put).iter().all(|stored| stored["elsewhere"] == 1), "{put:?}");
    let all = succeed(&["get", "--all", "--name", "all", "--data-dir", second.dir()]);
    assert_eq!(objects(&all).len(), 5);
    // One that cannot be read, or is too large: nothing is stored.
    let before = first.status()["items"].clone();
    let (status, message) = fail(&["put", "--data-dir", first.dir(), "--file", names[1], "/no/such/file"]);
    assert!(status == 5 && message.contains("/no/such/file"), "{message}");
    let large = first.path().join("large");
    std::fs::write(&large, vec![0; 32 * 1024 + 1]).unwrap();
    std::fs::write(&paths[1], "something new").unwrap();
    let (status, message) = fail(&["put", "--data-dir", first.dir(), "--file", names[1], large.to_str().unwrap()]);
    assert!(status == 8 && message.contains("32769 bytes; at most 32768"), "{message}");
    assert_eq!(first.status()["items"], before);
}

#[test]
fn a_thousand_lines_are_a_thousand_values() {
    let first = Daemon::start(&[]);
    let second = Daemon::join(&first);
    let mut text = String::new();
    for number in 0..1000 {
        let ttl = if number % 2 == 0 { "1h" } else { "2h" };
        writeln!(text, r#"{{"name": "name {number}", "text": "value {number}", "ttl": "{ttl}"}}"#).unwrap();
    }
    let put = run_with(text.as_bytes(), &["put", "--jsonl", "-", "--json", "--data-dir", first.dir()]);
    assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    let stored = objects(&put.stdout);
    assert_eq!(stored.len(), 1000);
    assert!(stored.iter().all(|stored| stored["copies"] == 2));
    assert_eq!((stored[0]["ttl_ms"].as_u64(), stored[999]["ttl_ms"].as_u64()), (Some(3_600_000), Some(7_200_000)));
    second.wait_for("items", |items| items == 1000);
    for number in [0, 1, 500, 999] {
        let got = succeed(&["get", "--name", &format!("name {number}"), "--data-dir", second.dir()]);
        assert_eq!(got, format!("value {number}").into_bytes(), "in the order of the lines");
    }
}

#[test]
fn what_get_prints_can_be_put_elsewhere() {
    let (first, other) = (Daemon::start(&[]), Daemon::start(&[]));
    for value in ["one", "two", "three"] {
        succeed(&["put", value, "--name", "numbers", "--data-dir", first.dir()]);
    }
    let content = lines(&succeed(&["put", "content", "--data-dir", first.dir()])).remove(0);
    let mut all = succeed(&["get", "--all", "--name", "numbers", "--data-dir", first.dir()]);
    all.extend(succeed(&["get", &content, "--json", "--data-dir", first.dir()]));
    let file = other.path().join("values.jsonl");
    std::fs::write(&file, &all).unwrap();
    let keys = succeed(&["put", "--jsonl", file.to_str().unwrap(), "--data-dir", other.dir()]);
    assert_eq!(lines(&keys).len(), 4);
    let values = |output: Vec<u8>| {
        let values = objects(&output).into_iter().map(|found| (found["value"].to_string(), found["type"].to_string()));
        values.collect::<BTreeSet<_>>()
    };
    for key in [&["--name", "numbers"][..], &[&content]] {
        let there = succeed(&[&["get", "--all", "--data-dir", other.dir()], key].concat());
        let here = succeed(&[&["get", "--all", "--data-dir", first.dir()], key].concat());
        assert_eq!(values(there), values(here));
    }
}

#[test]
fn many_values_without_a_daemon() {
    let daemon = Daemon::start(&[]);
    let text: String = (0..50).map(|number| format!("{{\"text\": \"{number}\"}}\n")).collect();
    let put = run_with(text.as_bytes(), &["put", "--jsonl", "-", "--bootstrap", &daemon.address.to_string()]);
    let keys = lines(&put.stdout);
    assert_eq!(keys.len(), 50, "{}", String::from_utf8_lossy(&put.stderr));
    assert_eq!(succeed(&["get", &keys[49], "--data-dir", daemon.dir()]), b"49");
}

#[test]
fn a_wrong_line_is_named_and_nothing_is_stored() {
    let daemon = Daemon::start(&[]);
    let put = |text: &str| fail_with(text.as_bytes(), &["put", "--jsonl", "-", "--data-dir", daemon.dir()]);
    for (text, line, says) in [
        ("{\"text\": \"a\"}\nnonsense\n", 2, "expected"),
        ("\n\n{\"text\": \"a\", \"tll\": \"1h\"}\n", 3, "tll"),
        ("{\"text\": \"a\"}\n{\"value\": \"?\"}\n", 2, "base 64"),
        ("{\"text\": \"a\", \"key\": \"12\"}\n", 1, "key"),
        ("", 1, "no value"),
    ] {
        let (status, message) = put(text);
        let place = format!("-, line {line}: ");
        assert!(status == 2 && message.contains(&place) && message.contains(says), "{text:?}: {message}");
        assert!(message.contains("Nothing was stored"), "{message}");
    }
    let (status, _) = put("{\"text\": \"a\"}\n{\"text\": \"b\", \"ttl\": \"8days\"}\n");
    assert_eq!(status, 2);
    assert_eq!(daemon.status()["items"], 0);
    assert_eq!(fail(&["put", "--jsonl", "/no/such/file", "--data-dir", daemon.dir()]).0, 5);
    assert_eq!(fail(&["put", "x", "--jsonl", "-", "--data-dir", daemon.dir()]).0, 2);
    // All are stored here, and it is said that this is not what was asked for.
    let put = run_with(
        b"{\"text\": \"a\"}\n{\"text\": \"b\"}\n",
        &["put", "--jsonl", "-", "--quorum", "1", "--data-dir", daemon.dir()],
    );
    assert_eq!(put.status.code(), Some(10), "{}", String::from_utf8_lossy(&put.stderr));
    assert!(String::from_utf8_lossy(&put.stderr).contains("2 of 2 values"));
    assert_eq!(daemon.status()["items"], 2);
}
