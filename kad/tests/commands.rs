//! The command line against running daemons: values from everywhere to everywhere, and what scripts rely on.

use crate::common;

use common::{Daemon, fail, json, run, run_with, succeed};

/// Bytes that are no text.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251 + 128) as u8).collect()
}

fn text(output: Vec<u8>) -> String {
    String::from_utf8(output).unwrap().trim_end().to_owned()
}

#[test]
fn values_come_from_arguments_files_and_standard_input_and_leave_byte_for_byte() {
    let first = Daemon::start(&[]);
    let second = Daemon::join(&first);
    let (here, there) = (["--data-dir", first.dir()], ["--data-dir", second.dir()]);

    let key = text(succeed(&[&["put", "a word"], &here[..]].concat()));
    assert_eq!(key.len(), 64);
    assert_eq!(succeed(&[&["get", &key], &there[..]].concat()), b"a word");

    let file = first.path().join("value");
    for len in [0, 1, 1084, 1085, 16_384, 32_768] {
        std::fs::write(&file, bytes(len)).unwrap();
        let put = json(&[&["put", "--json", "--file", file.to_str().unwrap()], &there[..]].concat());
        assert_eq!((put["copies"].as_u64(), put["bytes"].as_u64()), (Some(2), Some(len as u64)));
        let got = succeed(&[&["get", put["key"].as_str().unwrap()], &here[..]].concat());
        assert!(got == bytes(len), "{len} bytes");
    }

    for arguments in [&["put"][..], &["put", "-"]] {
        let put = run_with(&bytes(5000), &[arguments, &here].concat());
        let key = text(put.stdout);
        assert!(succeed(&[&["get", &key], &there[..]].concat()) == bytes(5000));
    }

    let target = second.path().join("copy");
    let output = succeed(&[&["get", &key, "--output", target.to_str().unwrap()], &there[..]].concat());
    assert!(output.is_empty());
    assert_eq!(std::fs::read(target).unwrap(), b"a word");
}

#[test]
fn put_and_get_work_without_a_daemon_as_short_lived_nodes() {
    let daemon = Daemon::start(&[]);
    let bootstrap = ["--bootstrap", &daemon.address.to_string()];
    let put = run_with(&bytes(20_000), &[&["put", "--json"], &bootstrap[..]].concat());
    let put: serde_json::Value = serde_json::from_slice(&put.stdout).unwrap();
    assert_eq!((put["copies"].as_u64(), put["elsewhere"].as_u64()), (Some(1), Some(1)));
    let got = succeed(&[&["get", put["key"].as_str().unwrap()], &bootstrap[..]].concat());
    assert!(got == bytes(20_000));
    assert_eq!(daemon.status()["contacts"], 0, "short-lived nodes enter no table");
}

#[test]
fn names_are_keys_and_several_values_live_under_one() {
    let first = Daemon::start(&[]);
    let second = Daemon::join(&first);
    for value in ["one", "two", "three"] {
        succeed(&["put", value, "--name", "numbers", "--data-dir", first.dir()]);
    }
    let there = ["--name", "numbers", "--data-dir", second.dir()];
    assert_eq!(succeed(&[&["get"], &there[..]].concat()), b"three", "the newest");
    let all = text(succeed(&[&["get", "--all"], &there[..]].concat()));
    let all: Vec<serde_json::Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let values: Vec<_> = all.iter().map(|found| found["value"].as_str().unwrap()).collect();
    assert_eq!(values, ["dGhyZWU=", "dHdv", "b25l"], "newest first, in base 64");
    let directory = second.path().join("values");
    succeed(&[&["get", "--all", "--output", directory.to_str().unwrap()], &there[..]].concat());
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    files.sort();
    assert_eq!(files, [&b"one"[..], b"three", b"two"]);
    let (status, _) = fail(&[&["get", "--newer-than", "0s"], &there[..]].concat());
    assert_eq!(status, 3);
}

#[test]
fn a_value_stored_by_one_of_five_daemons_is_read_through_each() {
    let first = Daemon::start(&[]);
    let mut daemons = vec![first];
    for _ in 1..5 {
        daemons.push(Daemon::join(daemons.last().unwrap()));
    }
    let put = json(&["put", "shared", "--json", "--data-dir", daemons[2].dir()]);
    assert_eq!(put["copies"], 5);
    for daemon in &daemons {
        assert_eq!(succeed(&["get", put["key"].as_str().unwrap(), "--data-dir", daemon.dir()]), b"shared");
    }
    let lookup = json(&["lookup", "--name", "x", "--json", "--data-dir", daemons[0].dir()]);
    assert_eq!(lookup["closest"].as_array().unwrap().len(), 4);
    let trace = text(succeed(&["lookup", "--name", "x", "--trace", "--data-dir", daemons[0].dir()]));
    assert_eq!(trace.matches("answered").count(), 5, "four nodes, and the summary: {trace}");
    assert_eq!(json(&["peers", "--json", "--data-dir", daemons[0].dir()]).as_array().unwrap().len(), 4);
    let pong = json(&["ping", &daemons[3].address.to_string(), "--json"]);
    assert_eq!(pong["id"], daemons[3].status()["id"]);
}

#[test]
fn a_lone_daemon_stores_here_only_and_says_so() {
    let daemon = Daemon::start(&[]);
    let put = run(&["put", "lonely", "--data-dir", daemon.dir()]);
    assert!(put.status.success() && String::from_utf8_lossy(&put.stderr).contains("stored at this node only"));
    assert_eq!(succeed(&["get", &text(put.stdout), "--data-dir", daemon.dir()]), b"lonely");
}

#[test]
fn an_identity_is_kept_or_given() {
    let daemon = Daemon::start(&[]);
    let id = daemon.status()["id"].as_str().unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(daemon.path().join("id")).unwrap().trim(), id);
    let given = "ab".repeat(32);
    let other = Daemon::start(&["--id", &given]);
    assert_eq!(other.status()["id"], given.as_str());
}

#[test]
fn what_is_forgotten_is_no_longer_published() {
    let daemon = Daemon::start(&[]);
    let here = ["--data-dir", daemon.dir()];
    let key = text(succeed(&[&["put", "mine"], &here[..]].concat()));
    assert_eq!(json(&[&["forget", &key, "--json"], &here[..]].concat())["values"], 1);
    assert_eq!(fail(&[&["forget", &key], &here[..]].concat()).0, 3);
}

#[test]
fn a_delete_reaches_all_who_hold_the_value_and_a_forget_does_not() {
    let first = Daemon::start(&[]);
    let second = Daemon::join(&first);
    let (here, there) = (["--data-dir", first.dir()], ["--data-dir", second.dir()]);
    let key = text(succeed(&[&["put", "mine"], &here[..]].concat()));
    let forgotten = text(succeed(&[&["forget", &key], &here[..]].concat()));
    assert!(forgotten.contains("1 value is no longer republished"), "{forgotten}");
    assert_eq!(succeed(&[&["get", &key], &there[..]].concat()), b"mine", "the copy is still there");
    let (status, message) = fail(&[&["delete", &key], &there[..]].concat());
    assert!(status == 3 && message.contains("that this daemon published"), "others have no proof: {message}");

    let deleted = text(succeed(&[&["delete", &key], &here[..]].concat()));
    assert!(deleted.contains("1 value is deleted, with all copies"), "{deleted}");
    for target in [&here, &there] {
        assert_eq!(fail(&[&["get", &key], &target[..]].concat()).0, 3, "{key}");
    }
    assert_eq!(fail(&[&["delete", &key], &here[..]].concat()).0, 3);
    succeed(&[&["put", "mine"], &here[..]].concat());
    assert_eq!(succeed(&[&["get", &key], &there[..]].concat()), b"mine", "it can be published again");

    // Those of a bulk store have locks too, also the second time.
    for _ in 0..2 {
        let lines = b"{\"text\": \"one\", \"name\": \"n\"}\n{\"text\": \"two\", \"name\": \"n\"}\n";
        assert!(run_with(lines, &[&["put", "--jsonl", "-"], &here[..]].concat()).status.success());
        assert_eq!(text(succeed(&[&["get", "--all", "--name", "n"], &there[..]].concat())).lines().count(), 2);
        let deleted = json(&[&["delete", "--name", "n", "--json"], &here[..]].concat());
        assert_eq!((deleted["values"].as_u64(), deleted["deleted"].as_u64()), (Some(2), Some(2)), "{deleted}");
        assert_eq!(fail(&[&["get", "--name", "n"], &there[..]].concat()).0, 3);
    }
    assert_eq!(fail(&["delete", "--name", "n", "--bootstrap", &first.address.to_string()]).0, 2);
}

#[test]
fn a_network_in_one_command_checks_itself() {
    let report = json(&["dev", "--nodes", "30", "--values", "40", "--k", "8", "--once", "--json"]);
    let expected = [("nodes", 30), ("stored", 40), ("found", 40), ("failed", 0)];
    assert!(expected.iter().all(|(name, count)| report[name] == *count), "{report}");
    let table = text(succeed(&["dev", "--nodes", "3", "--values", "6", "--once"]));
    assert!(table.contains("3 nodes, 6 values stored, 6 found by another node, 0 failed"), "{table}");
}

#[test]
fn a_value_that_was_stored_under_its_hash_cannot_be_supplanted() {
    let first = Daemon::start(&[]);
    let second = Daemon::join(&first);
    let key = text(succeed(&["put", "true", "--data-dir", first.dir()]));
    succeed(&["put", "false", "--key", &key, "--data-dir", second.dir()]);
    for daemon in [&first, &second] {
        assert_eq!(succeed(&["get", &key, "--data-dir", daemon.dir()]), b"true");
    }
}

#[test]
fn a_recording_is_a_new_file_of_its_users_own() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("recording");
    let file = file.to_str().unwrap();
    let daemon = Daemon::start(&["--record", file]);
    succeed(&["put", "value", "--data-dir", daemon.dir()]);
    assert_eq!(daemon.signal("TERM"), Some(0));
    assert!(std::fs::read(file).unwrap().starts_with(b"kadrec"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o077, 0, "it holds secrets");
    }
    let other = directory.path().join("data");
    let again = ["daemon", "--listen", "127.0.0.1:0", "--record", file, "--data-dir", other.to_str().unwrap()];
    let (status, message) = fail(&again);
    assert!(status == 5 && message.contains("exists already"), "{message}");
}

#[test]
fn a_daemon_runs_in_the_background_if_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let here = ["--data-dir", directory.path().to_str().unwrap()];
    let up = run(&[&["daemon", "--detach", "--listen", "127.0.0.1:0"], &here[..]].concat());
    let said = String::from_utf8(up.stderr).unwrap();
    assert!(up.status.success() && said.starts_with("up, process"), "{said}");
    let key = text(succeed(&[&["put", "hello"], &here[..]].concat()));
    assert_eq!(succeed(&[&["get", &key], &here[..]].concat()), b"hello");
    let (status, message) = fail(&[&["daemon", "--detach", "--listen", "127.0.0.1:0"], &here[..]].concat());
    assert!(status == 6 && message.contains("already runs"), "{message}");
    succeed(&[&["stop"], &here[..]].concat());
    assert!(std::fs::read_to_string(directory.path().join("log")).unwrap().contains("down"));
    let (status, message) = fail(&[&["daemon", "--detach", "--listen", "192.0.2.1:9000"], &here[..]].concat());
    assert!(status == 6 && message.contains("cannot listen on 192.0.2.1:9000"), "{message}");
}
