//! Paths that carry small datagrams only, with routers that say so and without, and links of one's own.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kad_netns::{Host, Network, Process};

/// Nodes; each value is on two of them, so that most reads go through the network.
const NODES: usize = 5;
/// The first values of each size find out what passes, between each two nodes that meet.
const FIRST: usize = 30;
const MEASURED: usize = 9;
const SIZES: [usize; 4] = [64, 1080, 20_000, 32_768];
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether this machine can have such a network. With `KAD_LAB=require` in the environment it must.
fn is_possible() -> bool {
    let missing = kad_netns::missing();
    assert!(missing.is_empty() || std::env::var("KAD_LAB").as_deref() != Ok("require"), "{missing:?}");
    if !missing.is_empty() {
        eprintln!("left out: no virtual network on this machine: {}", missing.join("; "));
    }
    missing.is_empty()
}

/// A daemon on a host of its own.
struct Node<'a> {
    host: &'a Host,
    daemon: Process,
    http: SocketAddr,
    _directory: tempfile::TempDir,
}

impl<'a> Node<'a> {
    fn start(host: &'a Host, address: &str, bootstrap: Option<&str>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (listen, path) = (format!("{address}:9000"), directory.path().to_str().expect("a plain path"));
        let mut arguments = vec!["daemon", "--listen", &listen, "--data-dir", path, "--k", "2", "--workers", "1"];
        arguments.extend(bootstrap.into_iter().flat_map(|to| ["--bootstrap", to]));
        let mut daemon = host.spawn(env!("CARGO_BIN_EXE_kad"), &arguments).expect("the daemon starts");
        let line = daemon.wait_for("http=", PATIENCE).expect("the daemon says where it listens");
        let http = line.split("http=").nth(1).and_then(|rest| rest.split_whitespace().next()).map(str::parse);
        let http = http.expect("an address").expect("an address");
        let node = Self { host, daemon, http, _directory: directory };
        let deadline = Instant::now() + PATIENCE;
        while bootstrap.is_some() && node.ask("GET", "/ready", b"").0 != 200 {
            assert!(Instant::now() < deadline, "it joins");
            std::thread::sleep(Duration::from_millis(20));
        }
        node
    }

    /// One HTTP request on a connection of its own. Returns the status and all that follows the head.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = self.host.connect(self.http).expect("the daemon listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let (http, len) = (self.http, body.len());
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: {http}\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), body].concat()).expect("the daemon reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the daemon answers");
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head");
        let status = std::str::from_utf8(&answer[9..12]).ok().and_then(|status| status.parse().ok());
        (status.expect("a status"), answer[end + 4..].to_vec())
    }

    /// A counter of `/metrics`.
    fn counter(&self, name: &str) -> u64 {
        let (_, metrics) = self.ask("GET", "/metrics", b"");
        let text = String::from_utf8(metrics).expect("text");
        let value =
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.split('.').next()?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name}"))
    }
}

/// A value of its own: stores it through one node, reads it through every other, and returns how long the store and the
/// slowest read took together.
fn store_and_read(nodes: &[Node<'_>], label: &str, number: usize, len: usize) -> Duration {
    let value: Vec<u8> = format!("{label} {number} ").bytes().cycle().take(len).collect();
    let path = format!("/name/{label}-{len}-{number}");
    let publisher = &nodes[number % nodes.len()];
    let began = Instant::now();
    let (status, answer) = publisher.ask("PUT", &path, &value);
    assert_eq!(status, 202, "{path}: {}", String::from_utf8_lossy(&answer));
    let stored = began.elapsed();
    let reads = nodes.iter().map(|node| {
        let began = Instant::now();
        let (status, read) = node.ask("GET", &path, b"");
        assert!(status == 200 && read == value, "{path}: {status}");
        began.elapsed()
    });
    stored + reads.max().unwrap_or_default()
}

/// Medians for each size, after the first ones.
fn medians(nodes: &[Node<'_>], label: &str) -> Vec<Duration> {
    let median = |len: &usize| {
        let all: Vec<_> = (0..FIRST + MEASURED).map(|number| store_and_read(nodes, label, number, *len)).collect();
        let mut measured = all[FIRST..].to_vec();
        measured.sort_unstable();
        println!("{label}, {len} bytes: first {:?}, then {:?}", all[..FIRST].iter().max(), measured[MEASURED / 2]);
        measured[MEASURED / 2]
    };
    SIZES.iter().map(median).collect()
}

/// Twice as long, and a little for a machine that does something else: the shortest wait for an answer in vain is as long as that.
fn assert_similar(label: &str, wide: &[Duration], small: &[Duration]) {
    for ((len, wide), small) in SIZES.iter().zip(wide).zip(small) {
        assert!(
            *small < *wide * 2 + Duration::from_millis(50),
            "{label}, {len} bytes: {small:?}, {wide:?} where all pass"
        );
    }
}

fn start_all<'a>(hosts: &'a [Host], address: impl Fn(usize) -> String) -> Vec<Node<'a>> {
    let first = format!("{}:9000", address(0));
    let start = |(number, host)| Node::start(host, &address(number), (number > 0).then_some(first.as_str()));
    hosts.iter().enumerate().map(start).collect()
}

#[test]
fn values_pass_a_black_hole_as_fast_as_a_wide_path() {
    if !is_possible() {
        return;
    }
    let network = Network::start().expect("a network");
    let address = |number: usize| format!("10.77.0.{}", number + 1);
    let host = |number: usize| network.host(&format!("n{number}"), &[&format!("{}/24", address(number))]);
    let hosts: Vec<_> = (0..NODES).map(|number| host(number).expect("a host")).collect();
    let mut nodes = start_all(&hosts, address);
    let wide = medians(&nodes, "wide");
    for mtu in [1124, 1000, 576] {
        network.drop_larger(Some(mtu)).expect("rules");
        let label = format!("silent-{mtu}");
        assert_similar(&label, &wide, &medians(&nodes, &label));
    }
    assert!(nodes.iter().any(|node| node.counter("kad_small_paths_total") > 0), "it is counted");
    let logged =
        |node: &mut Node<'_>| node.daemon.lines().iter().filter(|line| line.contains("small datagrams")).count();
    let lines: Vec<_> = nodes.iter_mut().map(logged).collect();
    assert!(lines.iter().sum::<usize>() > 0, "it is in the log");
    assert!(lines.iter().all(|lines| *lines < NODES), "once for each peer: {lines:?}");
}

#[test]
fn values_pass_a_router_that_tells_as_fast_as_a_wide_path() {
    if !is_possible() {
        return;
    }
    for mtu in [1124, 1000, 576] {
        let network = Network::start().expect("a network");
        let subnet = |number: usize| 77 + number % 2;
        let address = |number: usize| format!("10.{}.0.{}", subnet(number), number + 1);
        let host = |number: usize| {
            let host = network.host(&format!("n{number}"), &[&format!("{}/24", address(number))])?;
            host.route(&format!("10.{}.0.0/24", subnet(number + 1)), &format!("10.{}.0.254", subnet(number)))?;
            Ok::<_, kad_netns::Error>(host)
        };
        let hosts: Vec<_> = (0..NODES).map(|number| host(number).expect("a host")).collect();
        let wide_router = network.router("wide", &["10.77.0.254/24", "10.78.0.254/24"], 1500).expect("a router");
        let nodes = start_all(&hosts, address);
        let wide = medians(&nodes, "wide");
        for subnet in ["10.77.0.0/24", "10.78.0.0/24"] {
            let arguments = ["route", "replace", subnet, "dev", "eth0", "mtu", "lock", &mtu.to_string()];
            kad_netns::ip_in(wide_router.namespace(), &arguments).expect("a smaller route");
        }
        let label = format!("told-{mtu}");
        assert_similar(&label, &wide, &medians(&nodes, &label));
    }
}

#[test]
fn a_node_behind_a_small_link_of_its_own() {
    if !is_possible() {
        return;
    }
    let network = Network::start().expect("a network");
    let address = |number: usize| format!("10.77.0.{}", number + 1);
    let host = |number: usize| network.host(&format!("n{number}"), &[&format!("{}/24", address(number))]);
    let hosts: Vec<_> = (0..NODES).map(|number| host(number).expect("a host")).collect();
    let nodes = start_all(&hosts, address);
    let wide = medians(&nodes, "wide");
    hosts[0].mtu(1000).expect("a smaller link");
    assert_similar("own-1000", &wide, &medians(&nodes, "own-1000"));
    let (too_large, errors) =
        (nodes[0].counter("kad_socket_too_large_total"), nodes[0].counter("kad_socket_send_errors_total"));
    assert!(too_large > 0 && errors == too_large, "{too_large} of {errors} send errors");
}
