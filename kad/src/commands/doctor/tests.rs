//! Hosts that are not there: each as it should be but for one thing.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use kad_tokio::{SocketProbe, Unreachable};

use super::Level::{self, Fail, Ok as Fine, Warn};
use super::facts::{Bootstrap, Clock, Disk, Facts, Interface, Ipv6, Port, Running, Wanted};
use super::judge::judge;

/// A host without a fault.
fn healthy() -> Facts {
    Facts {
        wanted: Wanted {
            listen: vec!["[::]:9000".parse().unwrap()],
            advertise: Vec::new(),
            http: None,
            workers: 4,
            socket_buffer: 4 << 20,
            files: 4352,
            on_disk: true,
            capacity: 256 << 20,
        },
        running: None,
        udp: Port::Free,
        tcp: Port::Free,
        sockets: Some(SocketProbe {
            workers: 4,
            receive_buffer: 4 << 20,
            send_buffer: 4 << 20,
            segments_out: 64,
            segments_in: 64,
            steered: true,
        }),
        buffer_limits: Some((4 << 20, 4 << 20)),
        files: Some((1024, 1 << 20)),
        clock: Clock { now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000), synchronised: Some(true) },
        entropy_ready: Some(true),
        neighbours_max: Some(1024),
        interfaces: vec![Interface { name: "eth0".into(), mtu: 1500 }],
        ipv6: Ipv6::Routed,
        disk: Disk { path: PathBuf::from("/data"), sync: Ok(Duration::from_millis(1)), free: Some(1 << 40) },
        bootstrap: vec![answering("a.example:9000")],
    }
}

fn answering(name: &str) -> Bootstrap {
    Bootstrap { name: name.into(), addresses: Ok(1), unreachable: None, answered: Some(Duration::from_millis(3)) }
}

fn daemon(observed: Option<&str>, is_own: bool) -> Option<Running> {
    Some(Running {
        pid: 77,
        address: "[::]:9000".parse().unwrap(),
        http: "127.0.0.1:9000".parse().unwrap(),
        observed: observed.map(|address| address.parse().unwrap()),
        observed_is_own: is_own,
    })
}

fn granted(facts: &mut Facts) -> &mut SocketProbe {
    facts.sockets.as_mut().unwrap()
}

#[test]
fn a_healthy_host_has_no_finding_but_good_ones() {
    let findings = judge(&healthy());
    assert!(findings.len() > 12, "{findings:?}");
    for finding in findings {
        assert_eq!(finding.level, Fine, "{finding:?}");
        assert!(finding.advice.is_none() && !finding.message.is_empty(), "{finding:?}");
    }
}

/// What is changed, the check that notices it, how serious that is, and what is said.
type Case = (fn(&mut Facts), &'static str, Level, &'static str);

const CASES: &[Case] = &[
    (|facts| facts.udp = Port::Taken, "udp-port", Fail, "--listen"),
    (|facts| facts.udp = Port::Refused("no such address".into()), "udp-port", Fail, "no such address"),
    (|facts| facts.tcp = Port::Taken, "tcp-port", Warn, "any free port"),
    (|facts| facts.tcp = Port::Refused("not permitted".into()), "tcp-port", Fail, "not permitted"),
    (
        |facts| granted(facts).receive_buffer = 212_992,
        "buffers",
        Warn,
        "sysctl -w net.core.rmem_max=4194304 net.core.wmem_max=4194304",
    ),
    (|facts| granted(facts).send_buffer = 4096, "buffers", Warn, "net.core.wmem_max=4194304"),
    (|facts| facts.sockets = None, "buffers", Warn, "could not be read"),
    (|facts| granted(facts).segments_out = 1, "offload", Warn, "no UDP GSO"),
    (|facts| granted(facts).segments_in = 1, "offload", Warn, "no UDP GRO"),
    (|facts| granted(facts).steered = false, "steering", Warn, "--workers 1"),
    (|facts| facts.files = Some((1024, 4096)), "files", Warn, "LimitNOFILE=4352"),
    (|facts| facts.files = None, "files", Warn, "could not be read"),
    (|facts| facts.clock.now = SystemTime::UNIX_EPOCH, "clock", Fail, "1970-01-01"),
    (|facts| facts.clock.synchronised = Some(false), "clock", Warn, "timedatectl set-ntp true"),
    (|facts| facts.clock.synchronised = None, "clock", Warn, "could not be read"),
    (|facts| facts.entropy_ready = Some(false), "entropy", Fail, "virtio-rng"),
    (|facts| facts.neighbours_max = Some(128), "neighbours", Warn, "net.ipv4.neigh.default.gc_thresh3=1024"),
    (
        |facts| facts.interfaces.push(Interface { name: "tun0".into(), mtu: 1200 }),
        "mtu",
        Warn,
        "ip link set tun0 mtu 1280",
    ),
    (|facts| facts.ipv6 = Ipv6::Off, "ipv6", Fail, "listen on IPv4"),
    (|facts| facts.ipv6 = Ipv6::NoRoute, "ipv6", Warn, "no route"),
    (|facts| facts.running = daemon(Some("198.51.100.7:9000"), false), "nat", Warn, "Forward UDP port 9000"),
    (|facts| facts.running = daemon(Some("192.0.2.1:41000"), true), "nat", Warn, "192.0.2.1:41000"),
    (|facts| facts.disk.sync = Err("permission denied".into()), "disk", Fail, "--data-dir"),
    (|facts| facts.disk.sync = Ok(Duration::from_millis(80)), "disk", Warn, "80.0 ms"),
    (|facts| facts.disk.free = Some(100 << 20), "room", Warn, "--capacity"),
    (|facts| facts.disk.free = Some(1 << 20), "room", Fail, "Free some space"),
    (|facts| facts.bootstrap[0].answered = None, "bootstrap", Fail, "does not answer"),
    (|facts| facts.bootstrap[0].unreachable = Some(Unreachable::Ipv6), "bootstrap", Fail, "--listen [::]:PORT"),
    (|facts| facts.bootstrap[0] = nameless(), "bootstrap", Fail, "cannot be resolved: no such name"),
    (|facts| facts.bootstrap.push(nameless()), "bootstrap", Warn, "b.example:9000"),
];

fn nameless() -> Bootstrap {
    Bootstrap {
        name: "b.example:9000".into(),
        addresses: Err("no such name".into()),
        unreachable: None,
        answered: None,
    }
}

#[test]
fn each_fault_is_noticed_by_its_check_alone_and_says_what_to_do() {
    for (number, (change, check, level, says)) in CASES.iter().enumerate() {
        let mut facts = healthy();
        change(&mut facts);
        let (bad, good): (Vec<_>, Vec<_>) = judge(&facts).into_iter().partition(|finding| finding.level != Fine);
        let [finding] = &bad[..] else { panic!("case {number}: {bad:?}") };
        assert_eq!((finding.check, finding.level), (*check, *level), "case {number}");
        let text = format!("{} {}", finding.message, finding.advice.as_deref().unwrap_or_default());
        assert!(text.contains(says), "case {number}: {text}");
        assert!(!good.is_empty());
    }
}

#[test]
fn what_does_not_matter_is_no_fault() {
    const FINE: &[fn(&mut Facts)] = &[
        |facts| facts.running = daemon(Some("192.0.2.1:9000"), true),
        |facts| facts.running = daemon(None, false),
        |facts| {
            facts.running = daemon(Some("198.51.100.7:9000"), false);
            facts.wanted.advertise = vec!["198.51.100.7:9000".parse().unwrap()];
        },
        |facts| (facts.udp, facts.tcp, facts.running) = (Port::Own, Port::Own, daemon(None, false)),
        |facts| (facts.wanted.workers, granted(facts).workers, granted(facts).steered) = (1, 1, false),
        |facts| (facts.wanted.on_disk, facts.disk.sync) = (false, Ok(Duration::from_secs(1))),
        |facts| (facts.wanted.on_disk, facts.disk.free) = (false, Some(100 << 20)),
        |facts| (facts.wanted.listen, facts.ipv6) = (vec!["0.0.0.0:9000".parse().unwrap()], Ipv6::Off),
        |facts| (facts.entropy_ready, facts.neighbours_max, facts.interfaces) = (None, None, Vec::new()),
        |facts| facts.bootstrap.clear(),
    ];
    for (number, change) in FINE.iter().enumerate() {
        let mut facts = healthy();
        change(&mut facts);
        let bad: Vec<_> = judge(&facts).into_iter().filter(|finding| finding.level != Fine).collect();
        assert!(bad.is_empty(), "case {number}: {bad:?}");
    }
}
