//! Which addresses a node has, tells and believes.
#![cfg(target_os = "linux")]

use std::fs;
use std::time::{Duration, Instant};

use kad_netns::{Host, Network, Process};
use serde_json::Value;
use tempfile::TempDir;

const KAD: &str = env!("CARGO_BIN_EXE_kad");
/// How long a daemon may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A daemon on a host.
struct Daemon<'a> {
    host: &'a Host,
    process: Process,
    directory: TempDir,
}

impl<'a> Daemon<'a> {
    fn start(host: &'a Host, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let own = ["daemon", "--data-dir", directory.path().to_str().unwrap()];
        let mut process = host.spawn(KAD, &[&own, arguments].concat()).unwrap();
        process.wait_for("listen=", PATIENCE).unwrap();
        Self { host, process, directory }
    }

    /// Runs a command at this daemon. Returns the JSON that it prints.
    fn json(&self, arguments: &[&str]) -> Value {
        let own = ["--json", "--data-dir", self.directory.path().to_str().unwrap()];
        json(self.host, &[arguments, &own].concat())
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.json(&["status"]);
            if is_so(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{what}: {status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn wait_for_contacts(&self, count: u64) {
        self.wait_until("contacts", |status| status["contacts"].as_u64() >= Some(count));
    }
}

/// Runs a command on a host, which must be a success. Returns the JSON that it prints.
fn json(host: &Host, arguments: &[&str]) -> Value {
    let output = host.run(KAD, arguments).unwrap();
    serde_json::from_slice(&output.stdout).expect("one JSON value")
}

/// A file with a value that does not fit a datagram.
fn large(directory: &TempDir) -> String {
    let file = directory.path().join("value");
    fs::write(&file, (0..20_000u32).map(|number| number as u8).collect::<Vec<_>>()).unwrap();
    file.to_str().unwrap().into()
}

/// Stores a large value from one host at a daemon on another, through each of these addresses.
fn stores_through(listen: &str, holder: &[&str], publisher: &str, through: &[&str]) {
    if !kad_netns::is_possible() {
        return;
    }
    let network = Network::start().unwrap();
    let holder = network.host("holder", holder).unwrap();
    let publisher = network.host("publisher", &[publisher]).unwrap();
    let _daemon = Daemon::start(&holder, &["--listen", listen, "--workers", "2"]);
    let directory = tempfile::tempdir().unwrap();
    for (number, address) in through.iter().enumerate() {
        let (name, file) = (number.to_string(), large(&directory));
        let put = ["put", "--bootstrap", address, "--name", &name, "--file", &file, "--json"];
        let stored = json(&publisher, &put);
        assert_eq!((&stored["copies"], stored["silent"].as_array().map(Vec::len)), (&1.into(), Some(0)), "{stored}");
        let read = publisher.run(KAD, &["get", "--name", &name, "--bootstrap", address]).unwrap();
        assert_eq!(read.stdout, fs::read(&file).unwrap());
    }
}

#[test]
fn a_large_value_is_stored_through_each_address_of_its_holder() {
    let holder = ["10.77.0.1/24", "10.77.0.2/24", "10.77.0.3/24"];
    stores_through("0.0.0.0:9000", &holder, "10.77.0.9/24", &["10.77.0.1:9000", "10.77.0.2:9000", "10.77.0.3:9000"]);
}

#[test]
fn a_large_value_is_stored_through_each_ipv6_address_of_its_holder() {
    let holder = ["fd00:77::1/64", "fd00:77::2/64", "10.77.0.1/24", "10.77.0.2/24"];
    let through = ["[fd00:77::1]:9000", "[fd00:77::2]:9000"];
    stores_through("[::]:9000", &holder, "fd00:77::9/64", &through);
    // The same socket has the IPv4 addresses, too.
    stores_through("[::]:9000", &holder, "10.77.0.9/24", &["10.77.0.1:9000", "10.77.0.2:9000"]);
}

#[test]
fn a_client_is_not_sent_to_a_node_that_is_known_at_loopback() {
    if !kad_netns::is_possible() {
        return;
    }
    let network = Network::start().unwrap();
    let servers = network.host("servers", &["10.77.0.1/24"]).unwrap();
    let elsewhere = network.host("elsewhere", &["10.77.0.2/24"]).unwrap();
    let first = Daemon::start(&servers, &["--listen", "0.0.0.0:9000"]);
    let second = Daemon::start(&servers, &["--listen", "0.0.0.0:9001", "--bootstrap", "127.0.0.1:9000"]);
    first.wait_for_contacts(1);
    second.wait_for_contacts(1);
    // Between the two of them nothing is amiss.
    assert_eq!(first.json(&["put", "here", "--name", "here"])["copies"], 2);
    let lookup = ["lookup", "--name", "there", "--trace", "--bootstrap", "10.77.0.1:9000", "--json"];
    let asked = || {
        let lookup = json(&elsewhere, &lookup);
        let steps = lookup["trace"].as_array().expect("steps").iter();
        let mut asked: Vec<_> = steps.map(|step| step["address"].as_str().unwrap().to_owned()).collect();
        asked.sort();
        asked
    };
    assert_eq!(asked(), ["10.77.0.1:9000"], "nothing is sent to the client's own loopback");
    let stored = json(&elsewhere, &["put", "there", "--name", "there", "--bootstrap", "10.77.0.1:9000", "--json"]);
    assert_eq!((&stored["copies"], stored["silent"].as_array().map(Vec::len)), (&1.into(), Some(0)), "{stored}");
    // A node that joins through an address that all can reach is known to all.
    let third = Daemon::start(&servers, &["--listen", "0.0.0.0:9002", "--bootstrap", "10.77.0.1:9000"]);
    third.wait_for_contacts(1);
    assert_eq!(asked(), ["10.77.0.1:9000", "10.77.0.1:9002"]);
    let stored = json(&elsewhere, &["put", "all", "--name", "all", "--bootstrap", "10.77.0.1:9000", "--json"]);
    assert_eq!((&stored["copies"], stored["silent"].as_array().map(Vec::len)), (&2.into(), Some(0)), "{stored}");
}

/// Waits until the daemon has said something.
fn says(daemon: &mut Daemon<'_>, text: &str) -> String {
    daemon.process.wait_for(text, PATIENCE).unwrap()
}

#[test]
fn a_bootstrap_node_that_cannot_be_reached_from_what_the_daemon_listens_on_is_named() {
    if !kad_netns::is_possible() {
        return;
    }
    let network = Network::start().unwrap();
    let seed = network.host("seed", &["10.77.0.1/24", "fd00:77::1/64"]).unwrap();
    let joiner = network.host("joiner", &["10.77.0.2/24", "fd00:77::2/64"]).unwrap();
    let _seed = Daemon::start(&seed, &["--listen", "[::]:9000"]);
    for (listen, bootstrap, advice) in [
        ("0.0.0.0:9000", "[fd00:77::1]:9000", "--listen [::]:PORT"),
        ("127.0.0.1:9000", "10.77.0.1:9000", "--listen 0.0.0.0:PORT"),
        ("[fd00:77::2]:9000", "10.77.0.1:9000", "--listen 0.0.0.0:PORT"),
        ("[::]:9000", "[fe80::1]:9000", "[fe80::1%eth0]"),
    ] {
        let settings = ["--listen", listen, "--bootstrap", bootstrap];
        let mut daemon = Daemon::start(&joiner, &settings);
        let line = says(&mut daemon, "cannot be reached");
        assert!(line.contains(bootstrap) && line.contains(advice), "{line}");
        drop(daemon);
        let directory = tempfile::tempdir().unwrap();
        let doctor = [&["doctor", "--data-dir", directory.path().to_str().unwrap()], &settings[..]].concat();
        let output = joiner.command(KAD, &doctor).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let said = text.lines().any(|line| line.contains(bootstrap) && line.contains("cannot be reached"));
        assert!(!output.status.success() && said && text.contains(advice), "{text}");
    }
}

/// The link-local address of a host's interface, once the system lets it be used.
fn link_local(host: &Host) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let shown = host.run("ip", &["-6", "-o", "address", "show", "dev", "eth0", "scope", "link"]).unwrap();
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let address = shown.split_whitespace().find(|word| word.starts_with("fe80:"));
        if let Some(address) = address.filter(|_| !shown.contains("tentative")) {
            return address.split('/').next().unwrap().into();
        }
        assert!(Instant::now() < deadline, "no link-local address: {shown}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn nodes_of_one_link_need_no_other_addresses() {
    if !kad_netns::is_possible() {
        return;
    }
    let network = Network::start().unwrap();
    let hosts = ["a", "b", "c"].map(|name| network.host(name, &[]).unwrap());
    let bootstrap = format!("[{}%eth0]:9000", link_local(&hosts[0]));
    hosts.iter().for_each(|host| drop(link_local(host)));
    let joins = ["--listen", "[::]:9000", "--bootstrap", &bootstrap];
    let first = Daemon::start(&hosts[0], &["--listen", "[::]:9000"]);
    let second = Daemon::start(&hosts[1], &joins);
    second.wait_for_contacts(1);
    // The third hears of the second from the first, on their link.
    let third = Daemon::start(&hosts[2], &joins);
    [&first, &second, &third].iter().for_each(|daemon| daemon.wait_for_contacts(2));
    let directory = tempfile::tempdir().unwrap();
    let file = large(&directory);
    assert_eq!(third.json(&["put", "--file", &file, "--name", "large"])["copies"], 3);
    let read = hosts[1].run(KAD, &["get", "--name", "large", "--bootstrap", &bootstrap]).unwrap();
    assert_eq!(read.stdout, fs::read(&file).unwrap());
    let ping = hosts[1].run(KAD, &["ping", &bootstrap]).unwrap();
    assert!(String::from_utf8_lossy(&ping.stdout).contains(" ms"));
}

#[test]
fn one_node_on_several_addresses_is_reached_through_each() {
    if !kad_netns::is_possible() {
        return;
    }
    let network = Network::start().unwrap();
    let middle = network.host("middle", &["10.77.0.1/24", "fd00:77::1/64"]).unwrap();
    let v4 = network.host("v4", &["10.77.0.4/24"]).unwrap();
    let v6 = network.host("v6", &["fd00:77::6/64"]).unwrap();
    let listen = "127.0.0.1:9000,10.77.0.1:9001,[fd00:77::1]:9002";
    let node = Daemon::start(&middle, &["--listen", listen, "--workers", "2"]);
    let shown = node.json(&["status"])["addresses"].clone();
    assert_eq!(shown, serde_json::json!(["127.0.0.1:9000", "10.77.0.1:9001", "[fd00:77::1]:9002"]));
    let by_v4 = Daemon::start(&v4, &["--listen", "0.0.0.0:9000", "--bootstrap", "10.77.0.1:9001"]);
    let by_v6 = Daemon::start(&v6, &["--listen", "[::]:9000", "--bootstrap", "[fd00:77::1]:9002"]);
    let here = Daemon::start(&middle, &["--listen", "127.0.0.1:9010", "--bootstrap", "127.0.0.1:9000"]);
    node.wait_for_contacts(3);
    [&by_v4, &by_v6, &here].iter().for_each(|daemon| daemon.wait_for_contacts(1));
    // What it has to send by itself leaves from the socket that reaches each.
    let directory = tempfile::tempdir().unwrap();
    let file = large(&directory);
    assert_eq!(node.json(&["put", "--file", &file, "--name", "of the middle"])["copies"], 4);
    for daemon in [&by_v4, &by_v6, &here] {
        let name = daemon.host.namespace().to_owned() + &daemon.directory.path().to_string_lossy();
        assert!(daemon.json(&["put", "--file", &file, "--name", &name])["copies"].as_u64() >= Some(2), "{name}");
        assert_eq!(node.json(&["get", "--name", &name])["bytes"], 20_000);
        assert_eq!(daemon.json(&["get", "--name", "of the middle"])["bytes"], 20_000);
    }
}

/// What a container with a published port, or a host behind a router, is like: requests come in at port 7000 alone, and what
/// goes out has ports that nobody can call.
const PUBLISHED: &str = r#"nft -f - <<END
table ip published {
  chain in { type nat hook prerouting priority dstnat; udp dport 7000 redirect to :9000; }
  chain out { type nat hook postrouting priority srcnat; udp sport 9000 masquerade to :40000-50000; }
  chain closed { type filter hook input priority filter; iifname "eth0" udp dport != 7000 ct state new ct status ! dnat drop; }
}
END"#;

#[test]
fn a_node_behind_a_forwarded_port_is_listed_where_it_can_be_reached() {
    if !kad_netns::is_possible() {
        return;
    }
    let network = Network::start().unwrap();
    let seed = network.host("seed", &["10.77.0.1/24"]).unwrap();
    let behind = network.host("behind", &["10.77.0.2/24"]).unwrap();
    let third = network.host("third", &["10.77.0.3/24"]).unwrap();
    behind.run("sh", &["-c", PUBLISHED]).unwrap();
    let first = Daemon::start(&seed, &["--listen", "0.0.0.0:9000"]);
    let join = ["--listen", "0.0.0.0:9000", "--bootstrap", "10.77.0.1:9000"];
    let published = Daemon::start(&behind, &[&join[..], &["--advertise", "10.77.0.2:7000"]].concat());
    published.wait_for_contacts(1);
    first.wait_for_contacts(1);
    let peers = first.json(&["peers"]);
    assert_eq!(peers[0]["address"], "10.77.0.2:7000", "{peers}");
    // Others find it there, and it holds what is theirs.
    let last = Daemon::start(&third, &join);
    last.wait_for_contacts(2);
    let directory = tempfile::tempdir().unwrap();
    let stored = last.json(&["put", "--file", &large(&directory), "--name", "large"]);
    assert_eq!((&stored["copies"], stored["silent"].as_array().map(Vec::len)), (&3.into(), Some(0)), "{stored}");
    let listed = last.json(&["peers"]);
    assert!(listed.as_array().unwrap().iter().any(|peer| peer["address"] == "10.77.0.2:7000"), "{listed}");
}
