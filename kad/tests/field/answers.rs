//! Answers that mean what they say: no value, unreachable, incomplete, late.

use std::net::UdpSocket;
use std::time::Duration;

use serde_json::Value;

use crate::common::{Daemon, fail, free_address, json, kad, succeed};

/// A key that has no value.
const MISSING: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// The status of `kad get`, and that of `GET /{key}`.
fn answers(daemon: &Daemon) -> (i32, u16) {
    let (status, _) = fail(&["get", MISSING, "--data-dir", daemon.dir()]);
    (status, daemon.ask("GET", &format!("/{MISSING}"), b"").0)
}

fn readiness(daemon: &Daemon) -> (u16, Value) {
    let (status, body) = daemon.ask("GET", "/ready", b"");
    (status, serde_json::from_slice(&body).expect("JSON"))
}

#[test]
fn a_daemon_that_reaches_nobody_says_so_each_time() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let daemon = Daemon::start(&["--workers", "2", "--bootstrap", &silent.local_addr().unwrap().to_string()]);
    assert_eq!([(); 4].map(|()| answers(&daemon)), [(7, 503); 4]);
    assert_eq!(readiness(&daemon).0, 503);
    // One that has no network to reach knows what there is.
    let seed = Daemon::start(&["--workers", "2"]);
    assert_eq!([(); 4].map(|()| answers(&seed)), [(3, 404); 4]);
}

#[test]
fn a_daemon_that_reaches_too_few_says_incomplete_and_so_does_its_receipt() {
    let seed = Daemon::start(&["--workers", "2"]);
    let mut others: Vec<_> = (0..4).map(|_| Daemon::join(&seed)).collect();
    seed.wait_for("contacts", |count| count == 4);
    let here = ["--data-dir", seed.dir(), "--json"];
    let put = |name: &str| json(&[&["put", name, "--name", name], &here[..]].concat());
    let stored = put("before");
    assert_eq!((&stored["complete"], &stored["elsewhere"]), (&true.into(), &4.into()), "{stored}");
    others.truncate(1);
    assert_eq!([(); 4].map(|()| answers(&seed)), [(11, 502); 4]);
    let (status, message) = fail(&["get", MISSING, "--data-dir", seed.dir()]);
    assert!(status == 11 && message.contains("only 1 of the 4 nearest nodes answered"), "{message}");
    let stored = put("after");
    assert_eq!((&stored["complete"], &stored["ended"]), (&false.into(), &true.into()), "{stored}");
    others.clear();
    assert_eq!([(); 4].map(|()| answers(&seed)), [(7, 503); 4]);
}

/// Saved contacts are not bootstrap addresses: others join through this node, which is ready for them.
#[test]
fn a_seed_that_is_restarted_alone_says_what_is_so() {
    let directory = tempfile::tempdir().unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let known = serde_json::json!([{ "id": MISSING, "address": silent.local_addr().unwrap() }]);
    std::fs::write(directory.path().join("contacts.json"), known.to_string()).unwrap();
    let seed = Daemon::start_in(directory, &[]);
    let (status, ready) = readiness(&seed);
    let reason = ready["reason"].as_str().unwrap().to_owned();
    assert!(status == 200 && ready["ready"] == true && reason.contains("saved contact"), "{ready}");
    assert!(!reason.contains("no bootstrap node"), "{ready}");
    let shown = String::from_utf8(succeed(&["status", "--data-dir", seed.dir()])).unwrap();
    assert!(shown.contains("no answer yet from the 1 node saved at the last run"), "{shown}");
    assert_eq!(answers(&seed), (7, 503), "they may have values");
    Daemon::join(&seed);
    assert_eq!(readiness(&seed).0, 200);
}

/// A path on which no chunk arrives, whatever its size.
#[cfg(target_os = "linux")]
#[test]
fn a_value_that_cannot_be_fetched_is_incomplete_and_not_missing() {
    use kad_netns::Network;

    if !kad_netns::is_possible() {
        return;
    }
    let network = Network::start().unwrap();
    let [holder, reader] =
        [("holder", "192.0.2.1/24"), ("reader", "192.0.2.2/24")].map(|(name, at)| network.host(name, &[at]).unwrap());
    // The second byte of a datagram is its kind; 84 is CHUNK.
    reader.run("nft", &["add", "table", "inet", "kad"]).unwrap();
    let chain = "{ type filter hook input priority 0; }";
    reader.run("nft", &["add", "chain", "inet", "kad", "in", chain]).unwrap();
    let rule = ["add", "rule", "inet", "kad", "in", "meta", "l4proto", "udp", "@th,72,8", "0x84", "drop"];
    reader.run("nft", &rule).unwrap();

    let kad = kad().get_program().to_str().unwrap().to_owned();
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let dirs = [0, 1].map(|number| homes[number].path().to_str().unwrap());
    let daemon = |host: &kad_netns::Host, listen: &str, dir: &str, more: &[&str]| {
        let arguments = [&["daemon", "--listen", listen, "--data-dir", dir], more].concat();
        let mut process = host.spawn(&kad, &arguments).unwrap();
        process.wait_for("http=", Duration::from_secs(20)).unwrap();
        process
    };
    let _holder = daemon(&holder, "192.0.2.1:9000", dirs[0], &[]);
    let value = homes[0].path().join("value");
    std::fs::write(&value, vec![7; 20_000]).unwrap();
    let put = ["put", "--name", "large", "--file", value.to_str().unwrap(), "--data-dir", dirs[0]];
    holder.run(&kad, &put).unwrap();
    let http = free_address().port();
    let listen_http = format!("127.0.0.1:{http}");
    let more = ["--bootstrap", "192.0.2.1:9000", "--http", &listen_http];
    let _reader = daemon(&reader, "192.0.2.2:9000", dirs[1], &more);

    let get = ["get", "--name", "large", "--data-dir", dirs[1]];
    let status = |arguments: &[&str]| reader.command(&kad, arguments).output().unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| status(&get));
        let all = scope.spawn(|| status(&[&get[..], &["--all"]].concat()));
        let client = ["get", "--name", "large", "--bootstrap", "192.0.2.1:9000"];
        let client = scope.spawn(move || status(&client));
        for output in [first, all, client].map(|thread| thread.join().unwrap()) {
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(11), "{message}");
            assert!(message.contains("could not be fetched"), "{message}");
        }
    });
    let url = format!("http://127.0.0.1:{http}/name/large");
    let answer = status_of_url(&reader, &url);
    assert!(answer.starts_with("HTTP/1.1 502") && answer.contains("\"incomplete\""), "{answer}");
}

/// What a host gets from its own HTTP server.
#[cfg(target_os = "linux")]
fn status_of_url(host: &kad_netns::Host, url: &str) -> String {
    use std::io::{Read as _, Write as _};

    let (address, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let mut stream = host.connect(address.parse().unwrap()).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A data directory that was copied: two nodes with one id, of which others know one.
#[test]
fn two_daemons_with_one_identity_both_say_so() {
    let seed = Daemon::start(&[]);
    let original = Daemon::join(&seed);
    let copy = tempfile::tempdir().unwrap();
    for file in ["id", "contacts.json"] {
        // Contacts are not written yet.
        let _ = std::fs::copy(original.path().join(file), copy.path().join(file));
    }
    let copy = Daemon::start_in(copy, &["--bootstrap", &seed.address.to_string()]);
    assert_eq!(original.status()["id"], copy.status()["id"]);
    for (daemon, other) in [(&original, &copy), (&copy, &original)] {
        let says = || readiness(daemon).1["reason"].as_str().unwrap().contains("another node has this node's id");
        crate::common::network::wait_until("it notices", Duration::from_secs(30), says);
        assert_eq!(readiness(daemon).0, 503);
        assert_eq!(daemon.status()["duplicate"]["address"], other.address.to_string());
        let shown = String::from_utf8(succeed(&["status", "--data-dir", daemon.dir()])).unwrap();
        assert!(shown.contains("another node has this id"), "{shown}");
    }
    assert_eq!(readiness(&seed).0, 200);
}
