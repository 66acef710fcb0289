//! A daemon as its operators and its enemies meet it.

use crate::common;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use common::{Daemon, fail, json, succeed};
use kad_tokio::wire::{Envelope, FindNode, FindValue, Key, Request, RequestFlags, TypeMask};

#[test]
fn sigint_and_sigterm_hand_over_say_goodbye_and_exit_with_zero() {
    for signal in ["INT", "TERM"] {
        let (first, second) = (Daemon::start(&[]), Daemon::start(&[]));
        let put = json(&["put", "precious", "--json", "--data-dir", first.dir()]);
        assert_eq!(put["elsewhere"], 0, "two networks so far");
        let bridge = Daemon::start(&["--bootstrap", &first.address.to_string()]);
        bridge.wait_for("contacts", |count| count == 1);
        let key = put["key"].as_str().unwrap();
        assert_eq!(first.signal(signal), Some(0));
        assert_eq!(succeed(&["get", key, "--data-dir", bridge.dir()]), b"precious");
        bridge.wait_for("contacts", |count| count == 0);
        drop(second);
    }
}

#[test]
fn kad_stop_ends_a_daemon_gracefully() {
    let mut daemon = Daemon::start(&[]);
    let stopped = json(&["stop", "--json", "--data-dir", daemon.dir()]);
    assert_eq!((stopped["stopped"].as_bool(), stopped["pid"].as_u64()), (Some(true), Some(daemon.child.id().into())));
    assert_eq!(daemon.child.wait().unwrap().code(), Some(0));
    assert_eq!(fail(&["status", "--data-dir", daemon.dir()]).0, 7);
}

#[test]
fn only_the_owner_of_the_data_directory_controls_the_daemon() {
    use std::io::{Read, Write};
    let daemon = Daemon::start(&[]);
    let control = std::fs::read(daemon.path().join("control.json")).unwrap();
    let control: serde_json::Value = serde_json::from_slice(&control).unwrap();
    let address = control["address"].as_str().unwrap();
    for header in ["", "Authorization: Bearer wrong\r\n", "Authorization: Basic abc\r\n"] {
        let mut connection = std::net::TcpStream::connect(address).unwrap();
        write!(connection, "POST /stop HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n").unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 401"), "with {header:?}: {answer}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(daemon.path().join("control.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "nobody else can read the token");
    }
}

/// Bytes of memory that a process has resident.
fn resident(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// A small generator: xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }
}

/// Valid requests to start from.
fn templates() -> Vec<Vec<u8>> {
    let (envelope, flags, key) = (Envelope::default(), RequestFlags::default(), Key::hash("x"));
    let find_node = Request::FindNode(FindNode { limit: 20, target: key, padding: 321 });
    let types = TypeMask::ALL;
    let find_value = Request::FindValue(FindValue {
        limit: 20,
        types,
        burst: 0,
        max_age_ms: u32::MAX,
        cursor: 0,
        key,
        padding: 311,
    });
    let encode = |request: &Request<'_>| {
        let mut out = [0; 1232];
        let len = request.encode(&envelope, flags, &mut out).unwrap();
        out[..len].to_vec()
    };
    let mut all: Vec<_> = [Request::PING, Request::Goodbye, find_node, find_value].iter().map(encode).collect();
    // Every other kind by its byte, with a body of the right size.
    for (kind, len) in
        [(4, 128), (5, 200), (0x81, 76), (0x82, 1076), (0x83, 1232), (0x84, 1220), (0x85, 84), (0xff, 80)]
    {
        let mut datagram = vec![0; len];
        (datagram[0], datagram[1]) = (5, kind);
        all.push(datagram);
    }
    all
}

/// A million datagrams: random bytes, and valid ones with flipped bits and cut ends. Nothing grows, nothing breaks.
#[test]
fn a_million_hostile_datagrams_leave_the_daemon_as_it_was() {
    let daemon = Daemon::start(&[]);
    let other = Daemon::join(&daemon);
    let key = String::from_utf8(succeed(&["put", "still here", "--data-dir", daemon.dir()])).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (mut dice, templates) = (Dice(0x9e37_79b9), templates());
    let datagrams_in = || daemon.status()["counters"]["datagrams_in"].as_u64().unwrap();
    let send = |dice: &mut Dice, count: usize| {
        for _ in 0..count {
            let mut datagram = templates[dice.roll(templates.len())].clone();
            match dice.roll(4) {
                0 => datagram.iter_mut().for_each(|byte| *byte = dice.roll(256) as u8),
                1 => datagram.truncate(dice.roll(datagram.len() + 1)),
                _ => {}
            }
            for _ in 0..dice.roll(4) {
                if !datagram.is_empty() {
                    let at = dice.roll(datagram.len());
                    datagram[at] ^= 1 << dice.roll(8);
                }
            }
            // What the loopback drops because the daemon is busy is sent again below.
            let _ = socket.send_to(&datagram, daemon.address);
        }
    };
    send(&mut dice, 50_000);
    let (warm, deadline) = (resident(daemon.child.id()), Instant::now() + Duration::from_secs(300));
    while datagrams_in() < 1_000_000 {
        assert!(Instant::now() < deadline, "only {} datagrams arrived", datagrams_in());
        send(&mut dice, 20_000);
    }
    let grown = resident(daemon.child.id()).saturating_sub(warm);
    assert!(grown < 4 << 20, "{grown} bytes more than after the first datagrams");
    let status = daemon.status();
    assert_eq!(status["contacts"], 1, "nobody made up entered the table");
    assert_eq!((status["operations"].as_u64(), status["transfers"].as_u64()), (Some(0), Some(0)));
    assert_eq!(succeed(&["get", key.trim(), "--data-dir", other.dir()]), b"still here");
    assert_eq!(succeed(&["get", key.trim(), "--bootstrap", &daemon.address.to_string()]), b"still here");
}

#[test]
fn values_on_disk_survive_a_crash_and_a_damaged_file_is_never_thrown_away() {
    let daemon = Daemon::start(&["--storage", "disk"]);
    succeed(&["put", "kept", "--name", "name", "--data-dir", daemon.dir()]);
    let daemon = Daemon::start_in(daemon.crash(), &["--storage", "disk"]);
    assert_eq!(succeed(&["get", "--name", "name", "--data-dir", daemon.dir()]), b"kept");
    let directory = daemon.crash();
    let values = directory.path().join("values");
    let damaged = vec![0x5a; 200_000];
    std::fs::write(&values, &damaged).unwrap();
    let place = directory.path().to_str().unwrap();
    let (status, message) = fail(&["daemon", "--storage", "disk", "--listen", "127.0.0.1:0", "--data-dir", place]);
    assert!(status == 5 && message.contains("Move the file away"), "{status}: {message}");
    assert_eq!(std::fs::read(&values).unwrap(), damaged);
}
