//! What a person gets wrong: a message that says what to do, and a documented exit status of its own.

use crate::common;

use common::{Daemon, fail, fail_with, free_address};

/// Runs a command that must fail like this.
fn expect(arguments: &[&str], status: i32, says: &[&str]) {
    let (code, message) = fail(arguments);
    assert_eq!(code, status, "kad {arguments:?}: {message}");
    for text in says {
        assert!(message.contains(text), "kad {arguments:?} does not say {text:?}: {message}");
    }
}

#[test]
fn every_mistake_has_its_message_and_its_exit_status() {
    let daemon = Daemon::start(&[]);
    let here = ["--data-dir", daemon.dir()];
    let with = |arguments: &[&'static str]| [arguments, &here].concat();
    let unknown: &'static str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    expect(&with(&["get", unknown]), 3, &["no value under", "expired"]);
    for bad in ["abc", "zaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "é"] {
        expect(&[&["get", bad], &here[..]].concat(), 4, &["is not a key", "64 hexadecimal digits"]);
        expect(&[&["put", "x", "--key", bad], &here[..]].concat(), 4, &["is not a key"]);
        expect(&[&["lookup", bad], &here[..]].concat(), 4, &["is not a key"]);
        expect(
            &["daemon", "--id", bad, "--data-dir", daemon.path().join("other").to_str().unwrap()],
            4,
            &["is not a key"],
        );
    }
    expect(&with(&["put", "--file", "/no/such/file"]), 5, &["cannot read /no/such/file", "Check that it exists"]);
    expect(&with(&["put", "--file", "/"]), 5, &["cannot read /", "a directory"]);
    expect(&with(&["put", "x", "--ttl", "8days"]), 2, &["seven days"]);
    expect(&with(&["put", "x", "--ttl", "soon"]), 2, &["--ttl"]);
    expect(&with(&["get"]), 2, &["KEY"]);
    for bad in ["", "9000", "host", "host:port", "::1:9000"] {
        expect(&["put", "x", "--bootstrap", bad], 2, &["ADDRESS:PORT"]);
        expect(&["daemon", "--bootstrap", bad], 2, &["ADDRESS:PORT"]);
        expect(&["ping", bad], 2, &["ADDRESS:PORT"]);
    }
    expect(&with(&["put", "x", "--quorum", "3"]), 10, &["at 0 other nodes, not at 3", "--quorum"]);
    expect(&["no-such-command"], 2, &["unrecognized"]);
    for bad in ["0s", "1ms", "2h", "soon"] {
        expect(&with(&["top", "--interval"]).iter().copied().chain([bad]).collect::<Vec<_>>(), 2, &["--interval"]);
    }
    expect(&with(&["put", "x", "--file", "y"]), 2, &["cannot be used with"]);
    expect(&with(&["put", "--jsonl", "-", "--name", "y"]), 2, &["cannot be used with"]);
    expect(&with(&["delete", unknown]), 3, &["that this daemon published"]);
    expect(&with(&["forget", unknown]), 3, &["that this daemon published"]);
    expect(&with(&["delete", "abc"]), 4, &["is not a key"]);
    expect(&["doctor", "--listen", "nowhere"], 2, &["--listen"]);
    expect(&["doctor", "--config", "/no/such/file"], 5, &["cannot read /no/such/file"]);
    expect(&["completions", "tcsh"], 2, &["tcsh", "bash"]);
    expect(&["man", "/dev/null/man"], 5, &["cannot write manual pages to /dev/null/man"]);
}

#[test]
fn too_large_a_value_is_refused_before_anything_is_stored() {
    let daemon = Daemon::start(&[]);
    let large = vec![0; 32 * 1024 + 1];
    let (status, message) = fail_with(&large, &["put", "--data-dir", daemon.dir()]);
    assert!(status == 8 && message.contains("32769 bytes; at most 32768"), "{status}: {message}");
    let (status, _) = fail_with(&large, &["put", "--bootstrap", &daemon.address.to_string()]);
    assert_eq!(status, 8);
    let file = daemon.path().join("large");
    std::fs::write(&file, &large).unwrap();
    let (status, _) = fail(&["put", "--file", file.to_str().unwrap(), "--data-dir", daemon.dir()]);
    assert_eq!(status, 8);
    assert_eq!(daemon.status()["items"], 0);
    // The daemon's own limit decides, and it is said.
    let small = Daemon::start(&["--value-max", "1000"]);
    let (status, message) = fail_with(&[0; 2000], &["put", "--data-dir", small.dir()]);
    assert!(status == 8 && message.contains("2000 bytes; at most 1000"), "{status}: {message}");
}

#[test]
fn a_find_that_brought_not_everything_says_so() {
    let large = Daemon::start(&[]);
    let small = Daemon::start(&["--value-max", "1000", "--bootstrap", &large.address.to_string()]);
    small.wait_for("contacts", |count| count == 1);
    common::run_with(&[1; 5000], &["put", "--name", "x", "--data-dir", large.dir()]);
    let (status, message) = fail(&["get", "--name", "x", "--data-dir", small.dir()]);
    assert!(status == 11 && message.contains("more values"), "{status}: {message}");
    common::succeed(&["put", "small", "--name", "x", "--data-dir", large.dir()]);
    let all = common::run(&["get", "--all", "--name", "x", "--data-dir", small.dir()]);
    assert_eq!(all.status.code(), Some(11));
    assert_eq!(String::from_utf8(all.stdout).unwrap().lines().count(), 1, "what was found is printed");
}

#[test]
fn a_port_or_a_directory_in_use_is_said_so() {
    let daemon = Daemon::start(&[]);
    let other = tempfile::tempdir().unwrap();
    let other = other.path().to_str().unwrap();
    let address = daemon.address.to_string();
    expect(&["daemon", "--listen", &address, "--data-dir", other], 6, &["cannot listen on", "--listen"]);
    expect(&["daemon", "--listen", "192.0.2.1:9000", "--data-dir", other], 6, &["cannot listen on 192.0.2.1:9000"]);
    expect(&["daemon", "--listen", "127.0.0.1:0", "--data-dir", daemon.dir()], 6, &["already runs", "kad stop"]);
    let http = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = http.local_addr().unwrap().to_string();
    let listen = free_address().to_string();
    expect(&["daemon", "--listen", &listen, "--http", &taken, "--data-dir", other], 6, &["--http (port 0"]);
    expect(&["daemon", "--http", "192.0.2.1:1", "--data-dir", other], 6, &["cannot listen on 192.0.2.1:1 for HTTP"]);
    for bad in ["app.example", "https://", "https://a/b"] {
        expect(&["daemon", "--http-origin", bad, "--data-dir", other], 2, &["https://app.example"]);
    }
}

#[test]
fn nobody_there_is_said_so() {
    let (empty, silent) = (tempfile::tempdir().unwrap(), free_address().to_string());
    let empty = empty.path().to_str().unwrap();
    expect(&["status", "--data-dir", empty], 7, &["no daemon runs", "kad daemon"]);
    expect(&["put", "x", "--bootstrap", &silent], 7, &["no node answers at", &silent]);
    expect(&["get", "--name", "x", "--bootstrap", &silent], 7, &["no node answers at"]);
    expect(&["put", "x", "--bootstrap", "no.such.host.invalid:9000"], 7, &["no node answers at no.such.host.invalid"]);
    expect(&["ping", &silent, "--timeout", "300ms"], 7, &["no node answers at"]);
}

#[test]
fn too_little_time_is_said_so() {
    let lost = Daemon::start(&["--bootstrap", &free_address().to_string()]);
    expect(&["get", "--name", "x", "--timeout", "200ms", "--data-dir", lost.dir()], 9, &["timed out", "--timeout"]);
    expect(&["delete", "--name", "x", "--timeout", "200ms", "--data-dir", lost.dir()], 9, &["timed out", "--timeout"]);
}

#[test]
fn a_daemon_that_was_killed_leaves_no_riddle() {
    let directory = Daemon::start(&[]).crash();
    assert!(directory.path().join("control.json").exists());
    expect(&["status", "--data-dir", directory.path().to_str().unwrap()], 7, &["no daemon runs"]);
    // Its directory can be used again at once, with the same identity.
    let id = std::fs::read_to_string(directory.path().join("id")).unwrap();
    assert_eq!(Daemon::start_in(directory, &[]).status()["id"], id.trim());
}
