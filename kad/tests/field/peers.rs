//! Peers that die, move and return.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Daemon, free_address, json};

/// What a daemon is given to join through these.
fn through(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
}

/// Daemons that all know each other.
fn network(count: usize) -> Vec<Daemon> {
    let mut daemons = vec![Daemon::start(&[])];
    for _ in 1..count {
        daemons.push(Daemon::join(&daemons[0]));
    }
    for daemon in &daemons {
        daemon.wait_for("contacts", |contacts| contacts as usize == count - 1);
    }
    daemons
}

fn peers(daemon: &Daemon) -> Vec<Value> {
    json(&["peers", "--json", "--data-dir", daemon.dir()]).as_array().expect("a list").clone()
}

fn wait_until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Medians of stores with all copies, and of reads that ask the network, of values that nobody has. All through one daemon: the others
/// are asked, and ask nobody.
fn medians(daemon: &Daemon, round: &str) -> [Duration; 2] {
    let (mut puts, mut gets) = (Vec::new(), Vec::new());
    for number in 0..20 {
        let begun = Instant::now();
        let (status, _) = daemon.ask("POST", "/?copies=all", format!("{round} {number}").as_bytes());
        puts.push(begun.elapsed());
        assert_eq!(status, 202);
        let begun = Instant::now();
        daemon.ask("GET", &format!("/{:064x}", number + 1_000_000), b"");
        gets.push(begun.elapsed());
    }
    [median(puts), median(gets)]
}

#[test]
fn after_one_of_six_is_killed_the_others_are_as_quick_as_before() {
    let mut daemons = network(6);
    let calm = medians(&daemons[0], "calm");
    daemons.remove(2).crash();
    std::thread::sleep(Duration::from_secs(5));
    for round in ["after five seconds", "later", "and later"] {
        let [puts, gets] = medians(&daemons[0], round);
        println!("medians of puts and gets: calm {calm:?}, {round} {:?}", [puts, gets]);
        // A request's whole patience, 700 milliseconds, is what each of them took when idle nodes went on naming the dead one.
        let slack = Duration::from_millis(50);
        assert!(puts <= calm[0] * 3 + slack, "{round}: {puts:?} a put, {:?} before", calm[0]);
        assert!(gets <= calm[1] * 3 + slack, "{round}: {gets:?} a get, {:?} before", calm[1]);
    }
}

#[test]
fn a_node_that_returns_at_another_port_is_listed_there_by_all_others_within_ten_seconds() {
    let mut daemons = network(5);
    let moving = daemons.remove(3);
    let (id, before) = (moving.status()["id"].clone(), moving.address);
    let directory = moving.crash();
    let back = Daemon::start_in(directory, &["--bootstrap", &daemons[0].address.to_string()]);
    assert!(back.status()["id"] == id && back.address != before);
    let is_listed = |daemon: &Daemon| {
        let of_node: Vec<_> = peers(daemon).into_iter().filter(|peer| peer["id"] == id).collect();
        of_node.len() == 1 && of_node[0]["address"] == back.address.to_string()
    };
    let took = wait_until("listed by all", Duration::from_secs(10), || daemons.iter().all(is_listed));
    println!("listed at its new address by all after {took:?}");
}

/// Addresses at which nobody answers: half of them are closed, at the others a socket takes datagrams and says nothing.
fn dead_addresses(count: usize) -> (Vec<SocketAddr>, Vec<UdpSocket>) {
    let mut silent = Vec::new();
    let addresses = (0..count).map(|number| {
        if number % 2 == 0 {
            return free_address();
        }
        silent.push(UdpSocket::bind("127.0.0.1:0").expect("a socket"));
        silent[silent.len() - 1].local_addr().expect("an address")
    });
    (addresses.collect(), silent)
}

/// How long a daemon takes from its start until it says that it has joined.
fn joins_in(daemon: &Daemon) -> Duration {
    wait_until("joined", Duration::from_secs(10), || daemon.status()["joined"] == true)
}

#[test]
fn of_twenty_bootstrap_addresses_one_that_lives_is_enough() {
    let alive = Daemon::start(&[]);
    let (mut addresses, _silent) = dead_addresses(19);
    addresses.push(alive.address);
    let took = joins_in(&Daemon::start(&["--bootstrap", &through(&addresses)]));
    println!("joined after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}, and a whole round of vain attempts before");
}

#[test]
fn of_sixteen_saved_contacts_one_that_lives_is_enough() {
    let alive = Daemon::start(&[]);
    let (mut addresses, _silent) = dead_addresses(15);
    addresses.push(alive.address);
    let kept = |(number, address): (usize, &SocketAddr)| serde_json::json!({ "id": format!("{:064x}", number + 1), "address": address });
    let contacts: Vec<_> = addresses.iter().enumerate().map(kept).collect();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("contacts.json");
    std::fs::write(file, serde_json::to_vec(&contacts).expect("JSON")).expect("a file");
    let took = joins_in(&Daemon::start_in(directory, &[]));
    println!("joined after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}, and never before");
}

/// Hosts that do not exist, rather than ports: the network itself says nothing, or that there is no way.
#[cfg(target_os = "linux")]
#[test]
fn addresses_of_hosts_that_do_not_exist_do_not_keep_a_node_from_one_that_does() -> Result<(), kad_netns::Error> {
    if !kad_netns::is_possible() {
        return Ok(());
    }
    let (network, directory) = (kad_netns::Network::start()?, tempfile::tempdir().expect("a temporary directory"));
    let (a, b) = (network.host("a", &["10.77.0.1/24"])?, network.host("b", &["10.77.0.2/24"])?);
    let start = |host: &kad_netns::Host, name: &str, bootstrap: &str| {
        let data = directory.path().join(name);
        let listen = if name == "a" { "10.77.0.1:9000" } else { "10.77.0.2:9000" };
        let arguments = ["daemon", "--listen", listen, "--data-dir", data.to_str().unwrap(), "--bootstrap", bootstrap];
        let arguments = if bootstrap.is_empty() { &arguments[..5] } else { &arguments[..] };
        host.spawn(env!("CARGO_BIN_EXE_kad"), arguments)
    };
    let mut first = start(&a, "a", "")?;
    first.wait_for("listen=", Duration::from_secs(20))?;
    let mut addresses: Vec<SocketAddr> = (0..19).map(|number| ([10, 77, 0, 100 + number], 9000).into()).collect();
    addresses.push(([10, 77, 0, 1], 9000).into());
    let begun = Instant::now();
    let mut second = start(&b, "b", &through(&addresses))?;
    second.wait_for("joined", Duration::from_secs(10))?;
    println!("joined after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(6));
    Ok(())
}
