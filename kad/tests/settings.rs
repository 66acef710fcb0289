//! Where a daemon's settings are from, its HTTP server, and what it remembers from run to run.

use crate::common;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Daemon, fail, free_address, json, kad, succeed};
use serde_json::Value;
use tempfile::TempDir;

/// A configuration file with this text.
fn file(text: &str) -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kad.toml");
    std::fs::write(&path, text).unwrap();
    (directory, path.to_str().unwrap().to_owned())
}

fn shown(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn setting<'v>(shown: &'v Value, name: &str) -> (&'v str, &'v Value) {
    let setting = &shown["settings"][name];
    (setting["source"].as_str().unwrap(), &setting["value"])
}

#[test]
fn a_flag_goes_before_the_environment_before_the_file_before_the_default() {
    let (_directory, path) =
        file("k = 3\nalpha = 4\ntimeout = \"9s\"\nbootstrap = [\"a.example:1\", \"b.example:2\"]\nno-gateway = true\n");
    let mut command = kad();
    command.args(["config", "show", "--json", "--config", &path, "--k", "7"]).env("KAD_K", "6").env("KAD_ALPHA", "5");
    let shown = shown(&mut command);
    assert_eq!(setting(&shown, "k"), ("flag", &Value::from("7")));
    assert_eq!(setting(&shown, "alpha"), ("environment", &Value::from("5")));
    assert_eq!(setting(&shown, "timeout"), ("file", &Value::from("9s")));
    assert_eq!(setting(&shown, "no-gateway"), ("file", &Value::from("true")));
    assert_eq!(setting(&shown, "bootstrap"), ("file", &serde_json::json!(["a.example:1", "b.example:2"])));
    assert_eq!(setting(&shown, "storage"), ("default", &Value::from("memory")));
    assert_eq!(shown["file"], path);
}

#[test]
fn what_is_shown_is_a_file_with_the_same_settings() {
    let (_directory, first) =
        file("k = 3\nbootstrap = [\"a.example:1\"]\nvalue-max = \"1MiB\"\nlog = \"kad=debug,\\\"x\\\"\"\n");
    let text = String::from_utf8(succeed(&["config", "show", "--config", &first])).unwrap();
    let (_directory, second) = file(&text);
    assert!(String::from_utf8(succeed(&["config", "check", &second])).unwrap().contains("valid"), "{text}");
    let values = |path: &str| {
        let shown = shown(kad().args(["config", "show", "--json", "--config", path]));
        let settings = shown["settings"].as_object().unwrap().clone();
        settings.into_iter().map(|(name, setting)| (name, setting["value"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(values(&first), values(&second));
}

#[test]
fn what_is_wrong_in_a_file_is_said_with_its_line() {
    for (text, line, says) in [
        ("k = 3\nlisten-on = 4\n", 2, "no setting `listen-on`"),
        ("k = 3\n\n\nk = 4\n", 4, "duplicate"),
        ("# nothing\nk = 3\nalpha = \n", 3, ""),
        ("k = 300\n", 1, "300"),
        ("k = 1.5\n", 1, "must be a text, a number"),
        ("listen = \"nowhere\"\n", 1, "nowhere"),
        ("\nlog-format = \"xml\"\n", 2, "xml"),
        ("detach = true\n", 1, "no setting `detach`"),
        ("config = \"x\"\n", 1, "no setting `config`"),
        ("no-gateway = 1\n", 1, "true or false"),
        ("[http]\nhost = \"x\"\n", 1, "http"),
        ("k = [1, 2]\n", 1, "more than once"),
        ("http-origin = [\"https://ok.example\", \"bad\"]\n", 1, "https://app.example"),
    ] {
        let (_directory, path) = file(text);
        for arguments in [
            vec!["config", "check", &path],
            vec!["daemon", "--config", &path],
            vec!["config", "show", "--config", &path],
        ] {
            let (status, message) = fail(&arguments);
            let place = format!("{path}, line {line}:");
            assert!(status == 2 && message.contains(&place) && message.contains(says), "{text:?}: {message}");
        }
    }
    let (status, message) = fail(&["config", "check", "/no/such/file"]);
    assert!(status == 5 && message.contains("/no/such/file"), "{message}");
}

#[test]
fn a_file_in_the_data_directory_is_read_unless_another_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.toml"), "k = 5\nalpha = 2\n").unwrap();
    let daemon = Daemon::start_in(directory, &["--alpha", "4"]);
    let (status, node) = daemon.ask("GET", "/node", b"");
    let node: Value = serde_json::from_slice(&node).unwrap();
    assert_eq!((status, &node["settings"]["k"], &node["settings"]["alpha"]), (200, &"5".into(), &"4".into()));
    let (_directory, other) = file("k = 6\n");
    let here = ["--data-dir", daemon.dir(), "--json"];
    let shown = json(&[&["config", "show", "--config", &other], &here[..]].concat());
    assert_eq!(setting(&shown, "k"), ("file", &Value::from("6")));
    let user = tempfile::tempdir().unwrap();
    std::fs::create_dir(user.path().join("kad")).unwrap();
    std::fs::write(user.path().join("kad/config.toml"), "k = 8\n").unwrap();
    let elsewhere = user.path().join("data");
    let mut command = kad();
    command.args(["config", "show", "--json", "--data-dir"]).arg(&elsewhere).env("XDG_CONFIG_HOME", user.path());
    let shown = self::shown(&mut command);
    assert_eq!(setting(&shown, "k"), ("file", &Value::from("8")));
}

/// A file that names another directory than the one that it is in would be read by the wrong daemon.
#[test]
fn a_file_in_a_data_directory_does_not_lead_to_another() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.toml"), "k = 5\n\ndata-dir = \"/tmp/x\"\n").unwrap();
    let (status, message) = fail(&["config", "show", "--data-dir", directory.path().to_str().unwrap()]);
    assert!(status == 2 && message.contains("line 3") && message.contains("data-dir"), "{message}");
}

#[test]
fn http_has_the_number_of_the_udp_port_or_says_which_it_has() {
    let daemon = Daemon::start_at(&free_address().to_string(), &[]);
    assert_eq!(daemon.http, daemon.address);
    let udp = free_address();
    let taken = std::net::TcpListener::bind(udp).unwrap();
    let other = Daemon::start_at(&udp.to_string(), &[]);
    assert!(other.address == udp && other.http.port() != udp.port());
    assert_eq!(other.ask("GET", "/health", b"").0, 200);
    drop(taken);
    let asked = Daemon::start(&["--http", "127.0.0.2:0"]);
    assert_eq!((asked.http.ip().to_string(), asked.ask("GET", "/health", b"").0), ("127.0.0.2".into(), 200));
    assert_eq!(asked.status()["contacts"], 0, "commands find it there");
}

#[test]
fn values_written_over_http_are_read_by_commands_and_the_other_way_round() {
    let daemon = Daemon::start(&[]);
    let other = Daemon::join(&daemon);
    let (status, body) = daemon.ask("POST", "/", b"over http");
    assert_eq!((status, &body[..]), (202, &b"over http"[..]));
    let key = kad_tokio::Key::hash("over http").to_string();
    assert_eq!(succeed(&["get", &key, "--data-dir", other.dir()]), b"over http");
    succeed(&["put", "by command", "--name", "name", "--data-dir", daemon.dir()]);
    assert_eq!(other.ask("GET", "/name/name", b""), (200, b"by command".to_vec()));
    assert_eq!(daemon.ask("DELETE", &format!("/{key}"), b"").0, 204);
    let closed = Daemon::start(&["--no-gateway"]);
    assert_eq!((closed.ask("POST", "/", b"x").0, closed.ask("GET", "/health", b"").0), (401, 200));
    assert_eq!(succeed(&["get", "--name", "name", "--bootstrap", &daemon.address.to_string()]), b"by command");
    assert_eq!(closed.status()["items"], 0, "commands reach it all the same");
}

#[test]
fn a_request_that_is_under_way_is_answered_when_the_daemon_is_told_to_end() {
    use std::io::{Read as _, Write as _};
    let daemon = Daemon::start(&[]);
    let mut connection = std::net::TcpStream::connect(daemon.http).unwrap();
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    connection.write_all(head.as_bytes()).unwrap();
    connection.read_exact(&mut [0; 25]).unwrap();
    let (http, end) = (daemon.http, std::thread::spawn(move || daemon.signal("TERM")));
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(http).is_ok() {
        assert!(Instant::now() < deadline, "it takes no more connections");
        std::thread::sleep(Duration::from_millis(10));
    }
    connection.write_all(b"hello").unwrap();
    let mut said = String::new();
    connection.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 202") && said.ends_with("hello"), "{said}");
    assert_eq!(end.join().unwrap(), Some(0));
}

#[test]
fn a_daemon_that_is_told_to_end_as_soon_as_it_is_up_leaves_as_it_should() {
    for signal in ["TERM", "INT"].repeat(5) {
        assert_eq!(Daemon::start(&[]).signal(signal), Some(0), "{signal}");
    }
}

#[test]
fn a_daemon_that_comes_back_finds_its_network_without_bootstrap_nodes() {
    let bootstrap = Daemon::start(&[]);
    let daemon = Daemon::join(&bootstrap);
    let other = Daemon::join(&bootstrap);
    daemon.wait_for("contacts", |count| count == 2);
    let directory = keep(daemon);
    let kept: Vec<Value> =
        serde_json::from_slice(&std::fs::read(directory.path().join("contacts.json")).unwrap()).unwrap();
    assert_eq!(kept.len(), 2);
    assert_eq!(bootstrap.signal("TERM"), Some(0));
    let daemon = Daemon::start_in(directory, &[]);
    daemon.wait_for("contacts", |count| count == 1);
    let key = String::from_utf8(succeed(&["put", "again", "--data-dir", daemon.dir()])).unwrap();
    assert_eq!(succeed(&["get", key.trim(), "--data-dir", other.dir()]), b"again");

    let directory = keep(daemon);
    std::fs::write(directory.path().join("contacts.json"), "no JSON").unwrap();
    let daemon = Daemon::start_in(directory, &[]);
    assert_eq!(daemon.status()["contacts"], 0, "a damaged file is no reason not to start");
}

/// Ends a daemon gracefully and keeps its directory.
fn keep(mut daemon: Daemon) -> TempDir {
    succeed(&["stop", "--data-dir", daemon.dir()]);
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
    std::mem::replace(&mut daemon.directory, tempfile::tempdir().unwrap())
}

#[test]
fn every_flag_of_the_daemon_can_be_in_a_file() {
    let shown = json(&["config", "show", "--json"]);
    let help = kad().args(["daemon", "--help"]).stderr(Stdio::null()).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let flags = help.split_whitespace().filter_map(|word| word.strip_prefix("--"));
    let flags = flags.map(|flag| flag.trim_end_matches(|at: char| !at.is_ascii_lowercase()).to_owned());
    let not_set = [
        "config",
        "detach",
        "help",
        "verbose",
        "quiet",
        "id",
        "record",
        "http",
        "data-dir",
        "advertise",
        "bootstrap",
        "http-host",
        "http-origin",
        "log-file",
        "workers",
        "token",
        "otlp",
    ];
    for flag in flags.filter(|flag| !not_set.contains(&flag.as_str())) {
        assert!(shown["settings"].get(&flag).is_some(), "{flag}: {shown}");
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/config.toml");
    succeed(&["config", "check", path.to_str().unwrap()]);
}
