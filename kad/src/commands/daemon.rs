//! `kad daemon`

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use kad_http::Server;
use kad_tokio::{Capacity, Dht, Error, Limits, NodeId};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::reload::Reload;
use crate::args::{Daemon, Storage};
use crate::config::Settings;
use crate::contacts;
use crate::data_dir::{ControlFile, DataDir};
use crate::error::Failure;
use crate::input;
use crate::log;
use crate::service;
use crate::signals::{Hangups, Signals};
use crate::sockets::Inherited;
use crate::token;

/// Largest value that any node may be told to take.
pub(crate) const VALUE_MAX_MAX: u32 = 64 << 20;

/// How long a request that is being answered may keep the node from leaving.
const GRACE: Duration = Duration::from_millis(1000);
/// How long HTTP connections may stay open after that was asked.
const DRAIN: Duration = Duration::from_millis(1500);

pub(crate) async fn run(args: Daemon, settings: Settings, sockets: Inherited) -> Result<(), Failure> {
    // What a daemon writes is for its user.
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    if args.detach {
        return super::detach::run(&args).await;
    }
    let data_dir = DataDir::new(args.data_dir.clone())?;
    data_dir.create()?;
    let _lock = data_dir.lock()?;
    let id = match &args.id {
        Some(text) => text.parse().map_err(|reason| Failure::BadKey { text: text.clone(), reason })?,
        None => data_dir.identity()?,
    };
    // What is logged before this are failures, which are printed all the same.
    let log = log::start(&args, &id)?;
    allow_connections(args.http_connections);
    let listener = match sockets.http {
        Some(listener) => Some(taken_over(listener).map_err(Failure::System)?),
        None => asked_listener(&args).await?,
    };
    let dht = start_node(&args, id, &data_dir, sockets.udp)?;
    let listener = match listener {
        Some(listener) => listener,
        None => own_listener(dht.local_addr().port()).await?,
    };
    let (stop, token) = (Arc::new(Notify::new()), random_token()?);
    // That of the control file is new each time: what takes the daemon's port when it has ended is told nothing of value.
    let lasting = args.token.as_deref().map(token::read).transpose()?;
    let tokens = [Some(token.clone()), lasting].into_iter().flatten().collect();
    let http = kad_http::Settings {
        secret: Some(data_dir.secret()?),
        ..http_settings(&args, tokens, stop.clone(), settings.shown())
    };
    let server = Server::new(listener, dht.clone(), http).map_err(Failure::System)?;
    let (address, http) = (server.local_addr(), server.handle());
    let (mut signals, mut hangups) = (Signals::catch_of_daemon()?, Hangups::catch()?);
    data_dir.write_control(&ControlFile { address: reachable(address), token, pid: std::process::id() })?;
    tracing::info!(%id, listen = %listed(dht.local_addrs()), http = %address, data_dir = %data_dir.path().display(), "up");
    service::ready();

    let (drain, drained) = oneshot::channel::<()>();
    let server = tokio::spawn(server.run(async move { drop(drained.await) }));
    let mut reload = Reload::new(settings, log, http.clone(), dht.clone());
    let (mut keep, mut watchdog) = (pin!(contacts::keep(&dht, &data_dir)), pin!(service::watchdog(&dht)));
    let why = loop {
        tokio::select! {
            signal = signals.next() => break signal,
            () = stop.notified() => break "kad stop",
            _ = dht.closed() => break "the node ended by itself",
            () = hangups.next() => reload.run(),
            never = &mut keep => match never {},
            never = &mut watchdog => match never {},
        }
    };
    service::stopping();
    tracing::info!(why, "leaving: answering what is under way, handing over, saying goodbye");
    drop(drain);
    let left = tokio::select! {
        left = leave(&dht, &data_dir, &http, server) => left,
        // Asked twice: at once.
        _ = signals.next() => Ok(()),
    };
    tracing::info!("down");
    // Last: `kad stop` waits for it.
    data_dir.remove_control();
    left
}

/// Answers the requests that are under way, as far as that takes no longer than a moment, and leaves the network. Who has sent
/// half a request is not waited for.
async fn leave(dht: &Dht, data_dir: &DataDir, http: &kad_http::Handle, server: JoinHandle<()>) -> Result<(), Failure> {
    // What is not answered by then is told that the node is closed.
    let _ = tokio::time::timeout(GRACE, http.answered()).await;
    contacts::save(dht, data_dir).await;
    let left = match dht.close().await {
        Err(Error::Closed) => Err(Failure::NodeEnded(dht.closed().await)),
        closed => closed.map_err(Failure::from),
    };
    if let Err(error) = server.await {
        tracing::error!(%error, "the HTTP server failed");
    }
    left
}

/// Addresses as one word.
fn listed(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
}

/// Files that a daemon may need: each connection is one.
pub(super) fn files_wanted(connections: u32) -> u64 {
    256 + u64::from(connections)
}

fn allow_connections(connections: u32) {
    #[cfg(unix)]
    {
        let wanted = files_wanted(connections);
        match rlimit::increase_nofile_limit(wanted) {
            Ok(granted) if granted >= wanted => {}
            granted => tracing::warn!(wanted, ?granted, "fewer files than --http-connections needs: see `ulimit -Hn`"),
        }
    }
}

/// A listener that the service manager has opened.
fn taken_over(listener: std::net::TcpListener) -> std::io::Result<TcpListener> {
    tracing::info!(http = %listener.local_addr()?, "a socket of the service manager, instead of --http");
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// The listener that was asked for.
async fn asked_listener(args: &Daemon) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = args.http else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).map_err(|source| Failure::Http { address, source })
}

/// A listener on loopback with the number of the node's UDP port, or any that is free.
pub(crate) async fn own_listener(port: u16) -> Result<TcpListener, Failure> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Ok(listener) => Ok(listener),
        Err(error) => {
            tracing::info!(port, %error, "another port serves HTTP");
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
            listener.map_err(|source| Failure::Http { address: (Ipv4Addr::LOCALHOST, 0).into(), source })
        }
    }
}

/// Where commands on this host reach a server that listens here.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address
}

fn http_settings(
    args: &Daemon,
    tokens: Vec<String>,
    stop: Arc<Notify>,
    shown: BTreeMap<String, String>,
) -> kad_http::Settings {
    kad_http::Settings {
        gateway: !args.no_gateway,
        tokens,
        hosts: args.http_host.clone(),
        origins: args.http_origin.clone(),
        connections: args.http_connections as usize,
        watchers: args.http_watchers as usize,
        header_timeout: args.http_timeout,
        body_timeout: args.http_timeout,
        write_timeout: args.http_timeout,
        drain_timeout: DRAIN,
        stop,
        shown,
        ..kad_http::Settings::default()
    }
}

fn start_node(args: &Daemon, id: NodeId, data_dir: &DataDir, sockets: Vec<UdpSocket>) -> Result<Dht, Failure> {
    for socket in &sockets {
        let listen = socket.local_addr().map_err(Failure::System)?;
        tracing::info!(%listen, "a socket of the service manager, instead of --listen");
    }
    let value_max = u32::try_from(args.value_max.as_u64());
    let value_max = value_max.ok().filter(|max| (1..=VALUE_MAX_MAX).contains(max));
    let value_max =
        value_max.ok_or_else(|| Failure::Setting(format!("--value-max {}: 1 B to 64 MiB", args.value_max)))?;
    let per_key = Limits::new(id).bytes_per_key.max(4 * u64::from(value_max));
    let limits =
        Limits { items: args.capacity_items, bytes: args.capacity.as_u64(), bytes_per_key: per_key, ..Limits::new(id) };
    let socket_buffer = usize::try_from(args.socket_buffer.as_u64()).unwrap_or(usize::MAX);
    let mut builder = Dht::builder()
        .network(input::network(&args.network))
        .value_max(value_max)
        .capacity(Capacity::SERVER)
        .id(id)
        .sockets(sockets)
        .bootstrap(&args.bootstrap)
        .remembered(contacts::load(data_dir))
        .k(args.k)
        .alpha(args.alpha)
        .limits(limits)
        .timeout(args.timeout)
        .leave_timeout(args.leave_timeout)
        .rejoin_interval(args.rejoin_interval)
        .socket_buffer(socket_buffer)
        .socket_batch(args.socket_batch);
    builder = builder.listen_on(args.listen.iter().copied());
    for address in &args.advertise {
        builder = builder.advertise(*address);
    }
    if let Some(workers) = args.workers {
        builder = builder.workers(workers);
    }
    if args.storage == Storage::Disk {
        builder = builder.disk(data_dir.values());
    }
    if let Some(file) = &args.record {
        builder = builder.record(file);
    }
    Ok(builder.start()?)
}

pub(crate) fn random_token() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Failure::System(error.into()))?;
    Ok(NodeId::from_bytes(bytes).to_string())
}
