//! The checks of the facts.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use bytesize::ByteSize;

use super::facts::{Bootstrap, Facts, Ipv6, Port};
use super::{Finding, Level};
use crate::output;

/// The earliest plausible time: the first second of 2025.
const EARLIEST: Duration = Duration::from_secs(1_735_689_600);
/// The latest plausible time: the first second of 2100.
const LATEST: Duration = Duration::from_secs(4_102_444_800);
/// The minimum MTU of IPv6 (RFC 8200, section 5): the largest datagram of the protocol with its headers.
const PACKET: u64 = 1280;
/// The default size of Linux's neighbour table.
const NEIGHBOURS: u64 = 1024;
/// The slowest acceptable sync: every store waits for it.
const SLOW_SYNC: Duration = Duration::from_millis(20);
/// The minimum free space.
const ROOM_MIN: u64 = 16 << 20;

/// Runs every check, in the order of the output.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let checks = [udp, tcp, buffers, offload, steering, files, clock, entropy, neighbours, mtu, ipv6, nat, disk, room];
    let mut findings: Vec<_> = checks.iter().filter_map(|check| check(facts)).collect();
    findings.extend(bootstrap(facts));
    findings
}

fn ok(check: &'static str, message: impl Into<String>) -> Option<Finding> {
    Some(Finding { check, level: Level::Ok, message: message.into(), advice: None })
}

fn warn(check: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Option<Finding> {
    Some(Finding { check, level: Level::Warn, message: message.into(), advice: Some(advice.into()) })
}

fn fail(check: &'static str, message: impl Into<String>, advice: impl Into<String>) -> Option<Finding> {
    Some(Finding { check, level: Level::Fail, message: message.into(), advice: Some(advice.into()) })
}

fn unknown(check: &'static str, what: &str) -> Option<Finding> {
    Some(Finding { check, level: Level::Warn, message: format!("{what} could not be read"), advice: None })
}

fn own(facts: &Facts) -> String {
    facts
        .running
        .as_ref()
        .map_or_else(String::new, |daemon| format!("in use by the running daemon, process {}", daemon.pid))
}

fn udp(facts: &Facts) -> Option<Finding> {
    let all: Vec<_> = facts.wanted.listen.iter().map(ToString::to_string).collect();
    let (listen, port) = (all.join(", "), facts.wanted.port());
    match &facts.udp {
        Port::Free => ok("udp-port", format!("{listen} is free")),
        Port::Own => ok("udp-port", format!("{listen}: {}", own(facts))),
        Port::Taken => fail(
            "udp-port",
            format!("{listen} is in use"),
            format!(
                "Stop the process that uses it (`ss -ulpn 'sport = :{port}'`), or choose another port with --listen."
            ),
        ),
        Port::Refused(why) => fail(
            "udp-port",
            format!("{listen}: {why}"),
            "Choose an address of this host, and a port from 1024 on, with --listen.",
        ),
    }
}

fn tcp(facts: &Facts) -> Option<Finding> {
    let port = facts.wanted.port();
    let (shown, is_chosen) = match facts.wanted.http {
        Some(address) => (address.to_string(), true),
        None => (SocketAddr::from(([127, 0, 0, 1], port)).to_string(), false),
    };
    match &facts.tcp {
        Port::Free => ok("tcp-port", format!("{shown} is free")),
        Port::Own => ok("tcp-port", format!("{shown}: {}", own(facts))),
        Port::Taken if !is_chosen => {
            warn("tcp-port", format!("{shown} is in use: HTTP will use any free port"), "Choose a port with --http.")
        }
        Port::Taken => fail(
            "tcp-port",
            format!("{shown} is in use"),
            "Stop the process that uses it, or choose another port with --http (port 0: any free one).",
        ),
        Port::Refused(why) => {
            fail("tcp-port", format!("{shown}: {why}"), "Choose an address of this host with --http.")
        }
    }
}

fn buffers(facts: &Facts) -> Option<Finding> {
    let wanted = facts.wanted.socket_buffer;
    let Some(sockets) = &facts.sockets else { return unknown("buffers", "the granted socket buffers") };
    let (receive, send) = (sockets.receive_buffer, sockets.send_buffer);
    let size = |bytes: usize| ByteSize::b(bytes as u64);
    if receive >= wanted && send >= wanted {
        return ok("buffers", format!("{} to receive and to send, as requested", size(wanted)));
    }
    let limits = facts.buffer_limits.map_or_else(String::new, |(receive, send)| format!(" (limits {receive}, {send})"));
    warn(
        "buffers",
        format!(
            "{} to receive, {} to send, {} requested{limits}: bursts get lost",
            size(receive),
            size(send),
            size(wanted)
        ),
        format!("sysctl -w net.core.rmem_max={wanted} net.core.wmem_max={wanted}"),
    )
}

fn offload(facts: &Facts) -> Option<Finding> {
    let sockets = facts.sockets.as_ref()?;
    let (out, joined) = (sockets.segments_out, sockets.segments_in);
    match (out > 1, joined > 1) {
        (true, true) => ok("offload", format!("{out} datagrams per call out (GSO), {joined} in (GRO)")),
        (is_out, is_in) => {
            let missing = [(!is_out).then_some("GSO"), (!is_in).then_some("GRO")];
            let missing: Vec<_> = missing.into_iter().flatten().collect();
            let message = format!("no UDP {}: more system calls for large values", missing.join(", no "));
            warn("offload", message, "Use Linux 5.0 or later, and a network driver that supports it.")
        }
    }
}

fn steering(facts: &Facts) -> Option<Finding> {
    let sockets = facts.sockets.as_ref()?;
    match (sockets.workers, sockets.steered) {
        (1, _) => ok("steering", "not needed with one worker"),
        (workers, true) => ok("steering", format!("{workers} workers, each with a socket on the port (SO_REUSEPORT)")),
        (workers, false) => warn(
            "steering",
            format!("the system does not distribute datagrams over {workers} workers: they share a socket"),
            "Allow SO_ATTACH_REUSEPORT_CBPF (Linux 4.5), or use --workers 1.",
        ),
    }
}

fn files(facts: &Facts) -> Option<Finding> {
    let wanted = facts.wanted.files;
    match facts.files {
        None => unknown("files", "the limit of open files"),
        Some((_, most)) if most >= wanted => ok("files", format!("{most} permitted, {wanted} needed")),
        Some((_, most)) => warn(
            "files",
            format!("{most} permitted, {wanted} needed for --http-connections"),
            format!("LimitNOFILE={wanted} in the systemd unit, or a higher `ulimit -Hn`; or fewer --http-connections."),
        ),
    }
}

fn clock(facts: &Facts) -> Option<Finding> {
    let since = facts.clock.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time = humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + since);
    if !(EARLIEST..LATEST).contains(&since) {
        let message = format!("the clock is wrong ({time}): values on disk would expire too late or at once");
        let advice = "Set the clock (`timedatectl set-ntp true`) before the daemon starts.";
        return if facts.wanted.on_disk { fail("clock", message, advice) } else { warn("clock", message, advice) };
    }
    match facts.clock.synchronised {
        Some(true) => ok("clock", format!("{time}, synchronised")),
        Some(false) => {
            warn("clock", format!("{time}, not synchronised"), "`timedatectl set-ntp true`, or another NTP client.")
        }
        None => unknown("clock", &format!("{time}; whether it is synchronised")),
    }
}

fn entropy(facts: &Facts) -> Option<Finding> {
    match facts.entropy_ready? {
        true => ok("entropy", "the random number generator is seeded"),
        false => fail(
            "entropy",
            "the random number generator is not seeded: the daemon would wait for it",
            "Wait, or add a source of entropy (virtio-rng, a hardware generator).",
        ),
    }
}

fn neighbours(facts: &Facts) -> Option<Finding> {
    match facts.neighbours_max? {
        most if most >= NEIGHBOURS => ok("neighbours", format!("room for {most} hardware addresses")),
        most => warn(
            "neighbours",
            format!("room for only {most} hardware addresses: datagrams get lost in a large local network"),
            format!(
                "sysctl -w net.ipv4.neigh.default.gc_thresh3={NEIGHBOURS} net.ipv6.neigh.default.gc_thresh3={NEIGHBOURS}"
            ),
        ),
    }
}

fn mtu(facts: &Facts) -> Option<Finding> {
    let least = facts.interfaces.iter().min_by_key(|interface| interface.mtu)?;
    match least.mtu {
        mtu if mtu >= PACKET => ok("mtu", format!("{mtu} bytes or more on every interface, {PACKET} needed")),
        mtu => warn(
            "mtu",
            format!(
                "{} has an MTU of {mtu} bytes: the largest datagrams, {PACKET} with headers, are lost or fragmented",
                least.name
            ),
            format!("ip link set {} mtu {PACKET}, if the network behind it supports that.", least.name),
        ),
    }
}

fn ipv6(facts: &Facts) -> Option<Finding> {
    let takes_v6 = facts.wanted.listen.iter().any(SocketAddr::is_ipv6);
    match (facts.ipv6, takes_v6) {
        (Ipv6::Off, true) => {
            fail("ipv6", "this host has no IPv6, and --listen needs it", "Enable it, or listen on IPv4.")
        }
        (Ipv6::Off, false) => ok("ipv6", "this host has no IPv6; the daemon listens on IPv4"),
        (Ipv6::NoRoute, true) => warn(
            "ipv6",
            "no route: the daemon reaches only IPv4 nodes and those of this link",
            "Ask the provider for IPv6.",
        ),
        (Ipv6::NoRoute, false) => ok("ipv6", "no route; the daemon listens on IPv4"),
        (Ipv6::Routed, true) => ok("ipv6", "there is a route, and the daemon listens on IPv6"),
        (Ipv6::Routed, false) => warn(
            "ipv6",
            "this host has IPv6, and the daemon listens on IPv4 only",
            format!("--listen [::]:{} covers both.", facts.wanted.port()),
        ),
    }
}

/// Other nodes see an address that the host does not have: there is a NAT.
fn nat(facts: &Facts) -> Option<Finding> {
    let daemon = facts.running.as_ref()?;
    let Some(seen) = daemon.observed else {
        return ok("nat", "unknown: no other node has reported the daemon's address yet");
    };
    if let Some(at) = facts.wanted.advertise.first() {
        return ok("nat", format!("other nodes see the daemon as {seen}; it advertises {at}"));
    }
    if daemon.observed_is_own && seen.port() == daemon.address.port() {
        return ok("nat", format!("other nodes see the daemon as {seen}, an address of this host"));
    }
    let port = daemon.address.port();
    warn(
        "nat",
        format!("other nodes see the daemon as {seen}, which is not its own address: it is behind a NAT"),
        format!("Forward UDP port {port} to this host and pass the address with --advertise, or use a reachable host."),
    )
}

fn disk(facts: &Facts) -> Option<Finding> {
    let (path, on_disk) = (facts.disk.path.display(), facts.wanted.on_disk);
    match &facts.disk.sync {
        Err(why) => {
            fail("disk", format!("{path} cannot be written: {why}"), "Choose a directory of this user with --data-dir.")
        }
        Ok(took) if on_disk && *took > SLOW_SYNC => warn(
            "disk",
            format!("{path}: a sync takes {}: each store waits for it", output::span(*took)),
            "Move the data directory to a faster disk.",
        ),
        Ok(took) => ok("disk", format!("{path} is writable, a sync takes {}", output::span(*took))),
    }
}

fn room(facts: &Facts) -> Option<Finding> {
    let (on_disk, capacity) = (facts.wanted.on_disk, facts.wanted.capacity);
    let Some(free) = facts.disk.free else { return unknown("room", "the free space of the disk") };
    let shown = ByteSize::b(free);
    match free {
        free if free < ROOM_MIN => {
            fail("room", format!("{shown} free"), "Free some space, or choose another disk with --data-dir.")
        }
        free if on_disk && free < capacity => warn(
            "room",
            format!("{shown} free, and values may take {}", ByteSize::b(capacity)),
            "Free some space, or lower --capacity.",
        ),
        _ => ok("room", format!("{shown} free")),
    }
}

/// One answer is enough; without any, the daemon cannot find the network.
fn bootstrap(facts: &Facts) -> Vec<Finding> {
    let all = &facts.bootstrap;
    if all.is_empty() {
        let message = "no bootstrap node is set: the daemon waits for other nodes, or uses its saved contacts";
        return ok("bootstrap", message).into_iter().collect();
    }
    let is_good = |node: &Bootstrap| node.answered.is_some() && node.unreachable.is_none();
    let level = if all.iter().any(is_good) { Level::Warn } else { Level::Fail };
    let missing = |message: String, advice: &str| {
        Some(Finding { check: "bootstrap", level, message, advice: Some(advice.into()) })
    };
    let one = |node: &Bootstrap| match (&node.addresses, node.answered, node.unreachable) {
        (.., Some(why)) => {
            let listen: Vec<_> = facts.wanted.listen.iter().map(ToString::to_string).collect();
            let message = format!("{} cannot be reached from {}: {why}", node.name, listen.join(", "));
            missing(message, &format!("The daemon must {}.", why.advice()))
        }
        (_, Some(took), None) => ok("bootstrap", format!("{} answers after {}", node.name, output::span(took))),
        (Err(why), None, None) => {
            let message = format!("{} cannot be resolved: {why}", node.name);
            missing(message, "Check the name, and /etc/resolv.conf.")
        }
        (Ok(count), None, None) => {
            let addresses = output::count(*count, "address", "addresses");
            let message = format!("{} ({addresses}) does not answer", node.name);
            missing(message, "Check its port, that it runs, that firewalls pass UDP, and --network.")
        }
    };
    all.iter().filter_map(one).collect()
}
