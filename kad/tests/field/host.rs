//! The host under a daemon: suspend, changed addresses and links.
#![cfg(target_os = "linux")]

use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use kad_netns::{Host, Network, Process};
use serde_json::Value;

use super::common::kad;

/// How long a daemon may take to start, and to join.
const PATIENCE: Duration = Duration::from_secs(30);
/// What took ten minutes, the interval of joining again, must take less than this on a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// A network of hosts, if this machine can have one.
fn network() -> Option<Network> {
    let missing = kad_netns::missing();
    if missing.is_empty() {
        return Some(Network::start().expect("a network"));
    }
    assert!(std::env::var("KAD_LAB").as_deref() != Ok("require"), "{missing:?}");
    eprintln!("left out: no virtual network on this machine: {}", missing.join("; "));
    None
}

/// A daemon on a host.
struct Member<'h> {
    host: &'h Host,
    directory: tempfile::TempDir,
    daemon: Process,
}

impl<'h> Member<'h> {
    fn start(host: &'h Host, bootstrap: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut arguments = vec!["daemon", "--data-dir", directory.path().to_str().unwrap()];
        bootstrap.iter().for_each(|address| arguments.extend(["--bootstrap", address]));
        let mut command = host.command(kad().get_program().to_str().unwrap(), &arguments);
        command.env("XDG_CONFIG_HOME", "/nonexistent");
        let mut daemon = Process::start("a daemon", command).unwrap();
        daemon.wait_for(" up ", PATIENCE).unwrap();
        Self { host, directory, daemon }
    }

    fn status(&self) -> Value {
        let arguments = ["status", "--json", "--data-dir", self.directory.path().to_str().unwrap()];
        let output = self.host.run(kad().get_program().to_str().unwrap(), &arguments).unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn wait_for(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(&self.status()) {
            assert!(Instant::now() < deadline, "{what}: {}", self.status());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Waits for a datagram from an address.
fn hear(socket: &UdpSocket, from: IpAddr, limit: Duration) {
    let deadline = Instant::now() + limit;
    let mut buffer = [0; 2048];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "nothing from {from} within {limit:?}");
        socket.set_read_timeout(Some(left)).unwrap();
        if socket.recv_from(&mut buffer).is_ok_and(|(_, sender)| sender.ip() == from) {
            return;
        }
    }
}

#[test]
fn a_daemon_whose_host_moves_asks_its_bootstrap_nodes_again_from_there() {
    let Some(network) = network() else { return };
    let host = |name, address| network.host(name, &[address]).unwrap();
    let (a, b, c) = (host("a", "10.88.0.1/24"), host("b", "10.88.0.2/24"), host("c", "10.88.0.3/24"));
    let first = Member::start(&a, &[]);
    // A bootstrap node that never answers: it sees when it is asked.
    let listener = c.udp("10.88.0.3:9000").unwrap();
    let mover = Member::start(&b, &["10.88.0.1:9000", "10.88.0.3:9000"]);
    hear(&listener, [10, 88, 0, 2].into(), PATIENCE);
    mover.wait_for("it has joined", |status| status["contacts"] == 1);

    b.run("ip", &["address", "add", "10.88.0.12/24", "dev", "eth0"]).unwrap();
    b.run("ip", &["address", "delete", "10.88.0.2/24", "dev", "eth0"]).unwrap();
    // The second address goes with the first, of which it is an alias, unless it is put back.
    b.run("ip", &["address", "replace", "10.88.0.12/24", "dev", "eth0"]).unwrap();
    hear(&listener, [10, 88, 0, 12].into(), SOON);
    mover.wait_for("it still knows it", |status| status["contacts"] == 1);
    drop(first);
}

#[test]
fn a_daemon_whose_link_was_down_joins_again_when_it_is_up() {
    let Some(network) = network() else { return };
    let (b, c) = (network.host("b", &["10.88.0.2/24"]).unwrap(), network.host("c", &["10.88.0.3/24"]).unwrap());
    let listener = c.udp("10.88.0.3:9000").unwrap();
    // One that answers keeps the daemon from asking again and again.
    let d = network.host("d", &["10.88.0.4/24"]).unwrap();
    let other = Member::start(&d, &[]);
    let mut daemon = Member::start(&b, &["10.88.0.3:9000", "10.88.0.4:9000"]);
    daemon.wait_for("it has joined", |status| status["contacts"] == 1);
    b.run("ip", &["link", "set", "eth0", "down"]).unwrap();
    daemon.daemon.wait_for("addresses of this host have changed", PATIENCE).unwrap();
    // Whatever had been sent before that has come.
    listener.set_nonblocking(true).unwrap();
    while listener.recv_from(&mut [0; 2048]).is_ok() {}
    listener.set_nonblocking(false).unwrap();
    b.run("ip", &["link", "set", "eth0", "up"]).unwrap();
    hear(&listener, [10, 88, 0, 2].into(), SOON);
    daemon.wait_for("it knows others", |status| status["contacts"] == 1);
    drop(other);
}
