//! Ports, sockets, routes, and bootstrap nodes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use kad_http::operations;
use kad_tokio::{SocketProbe, StartError, Unreachable, probe_sockets};

use super::facts::{Bootstrap, Ipv6, Port, Running, Wanted};
use crate::args::Daemon;
use crate::client::{Client, Place};
use crate::commands::{client_node, leave};
use crate::data_dir::DataDir;

/// The time limit for answers of a resolver, a node or a daemon.
const PATIENCE: Duration = Duration::from_secs(5);
/// A documentation address (RFC 3849): only its route is looked up, nothing is sent.
const NOWHERE: (Ipv6Addr, u16) = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9);

/// Returns the running daemon of this directory, if it answers.
pub(super) fn running(data_dir: &DataDir) -> Option<Running> {
    let http = data_dir.read_control().ok()?.address;
    let status = Client::of(&Place::Here(data_dir.clone()), PATIENCE).ok()?.status().ok()?;
    // Only addresses of this host can be bound.
    let is_own = |seen: SocketAddr| UdpSocket::bind((seen.ip(), 0)).is_ok();
    Some(Running {
        pid: status.pid,
        address: status.address,
        http,
        observed: status.observed,
        observed_is_own: status.observed.is_some_and(is_own),
    })
}

/// Returns whether the daemon's UDP port is available, with a socket for each worker.
pub(super) fn udp(wanted: &Wanted, running: Option<&Running>) -> Port {
    let port = |listen: SocketAddr| match probe_sockets(listen, wanted.workers, wanted.socket_buffer) {
        Ok(_) => Port::Free,
        Err(StartError::Bind { source, .. }) => {
            refused(&source, running.is_some_and(|daemon| daemon.address.port() == wanted.port()))
        }
        Err(other) => Port::Refused(other.to_string()),
    };
    wanted.listen.iter().map(|listen| port(*listen)).find(|port| *port != Port::Free).unwrap_or(Port::Free)
}

/// Returns whether the TCP port of the HTTP server is available.
pub(super) fn tcp(wanted: &Wanted, running: Option<&Running>) -> Port {
    let address = wanted.http.unwrap_or((Ipv4Addr::LOCALHOST, wanted.port()).into());
    match TcpListener::bind(address) {
        Ok(_) => Port::Free,
        Err(error) => refused(&error, running.is_some_and(|daemon| daemon.http.port() == address.port())),
    }
}

fn refused(error: &io::Error, is_own: bool) -> Port {
    match error.kind() {
        io::ErrorKind::AddrInUse if is_own => Port::Own,
        io::ErrorKind::AddrInUse => Port::Taken,
        _ => Port::Refused(error.to_string()),
    }
}

/// Returns what the system grants to sockets like the daemon's: on its port, or on another if that is in use.
pub(super) fn sockets(wanted: &Wanted, udp: &Port) -> Option<SocketProbe> {
    let mut listen = *wanted.listen.first()?;
    if *udp != Port::Free {
        listen = (if listen.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() }, 0)
            .into();
    }
    probe_sockets(listen, wanted.workers, wanted.socket_buffer).ok()
}

pub(super) fn ipv6() -> Ipv6 {
    let Ok(socket) = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)) else { return Ipv6::Off };
    if socket.connect(NOWHERE).is_ok() { Ipv6::Routed } else { Ipv6::NoRoute }
}

/// Pings each bootstrap node, as a node of the same network, all at the same time: many dead ones take no longer than one.
pub(super) async fn bootstrap(args: &Daemon) -> Vec<Bootstrap> {
    let ask = |name: &String| tokio::spawn(bootstrap_node(args.network.clone(), args.listen.clone(), name.clone()));
    let asked: Vec<_> = args.bootstrap.iter().map(ask).collect();
    let mut all = Vec::new();
    for node in asked {
        all.extend(node.await);
    }
    all
}

async fn bootstrap_node(network: String, listen: Vec<SocketAddr>, name: String) -> Bootstrap {
    let looked_up = tokio::time::timeout(PATIENCE, kad_tokio::resolve(&name)).await;
    let addresses: Result<Vec<SocketAddr>, String> = match looked_up {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    let answered = match &addresses {
        Ok(addresses) => answer(&network, addresses).await,
        Err(_) => None,
    };
    let mut why = addresses.iter().flatten().map(|to| Unreachable::check(&listen, *to));
    let unreachable = if why.clone().all(|why| why.is_some()) { why.next().flatten() } else { None };
    Bootstrap { name, addresses: addresses.map(|all| all.len()), unreachable, answered }
}

/// Returns the time until the first of these addresses answers.
async fn answer(network: &str, addresses: &[SocketAddr]) -> Option<Duration> {
    let dht = client_node(network, PATIENCE, &[]).ok()?;
    let start = Instant::now();
    let pong = tokio::time::timeout(PATIENCE, operations::ping(&dht, addresses)).await;
    let took = start.elapsed();
    leave(&dht).await;
    matches!(pong, Ok(Ok(_))).then_some(took)
}
