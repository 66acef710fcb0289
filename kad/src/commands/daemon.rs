//! `kad daemon`

use std::io::IsTerminal as _;

use kad_tokio::{Capacity, Config, Dht, Limits, NodeId};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

use crate::args::{Daemon, LogFormat, Storage};
use crate::control::server;
use crate::data_dir::{ControlFile, DataDir};
use crate::error::Failure;
use crate::input;

/// Largest value that any node may be told to take.
pub(crate) const VALUE_MAX_MAX: u32 = 64 << 20;

pub(crate) async fn run(args: Daemon) -> Result<(), Failure> {
    if args.detach {
        return super::detach::run(&args).await;
    }
    start_log(&args)?;
    let data_dir = DataDir::new(args.data_dir.clone())?;
    data_dir.create()?;
    let _lock = data_dir.lock()?;
    let id = match &args.id {
        Some(text) => text.parse().map_err(|reason| Failure::BadKey { text: text.clone(), reason })?,
        None => data_dir.identity()?,
    };
    let control = control_listener(&args).await?;
    let dht = start_node(&args, id, &data_dir)?;
    let token = random_token()?;
    let address = control.local_addr().map_err(Failure::System)?;
    data_dir.write_control(&ControlFile { address, token: token.clone(), pid: std::process::id() })?;
    tracing::info!(%id, listen = %dht.local_addr(), data_dir = %data_dir.path().display(), "up");

    let (stop, mut stopped) = mpsc::channel(1);
    let control = tokio::spawn(server::serve(control, dht.clone(), token, stop));
    let why = tokio::select! {
        signal = signal() => signal?,
        _ = stopped.recv() => "kad stop",
        () = dht.closed() => "the node stopped by itself",
    };
    tracing::info!(why, "leaving: handing over, saying goodbye");
    let left = tokio::select! {
        left = dht.close() => left.map_err(|_| Failure::CheckFailed("the node stopped by itself: see the log".into())),
        // Asked twice: at once.
        again = signal() => again.map(|_| ()),
    };
    control.abort();
    tracing::info!("down");
    // Last: `kad stop` waits for it.
    data_dir.remove_control();
    left
}

fn start_log(args: &Daemon) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&args.log);
    let filter = filter.map_err(|error| Failure::Setting(format!("--log {}: {error}", args.log)))?;
    let colours = std::io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    // The only subscriber of this process: it cannot be there already.
    let _ = match args.log_format {
        LogFormat::Text => subscriber.with_target(false).try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
    Ok(())
}

async fn control_listener(args: &Daemon) -> Result<TcpListener, Failure> {
    if !args.control.ip().is_loopback() {
        return Err(Failure::Setting(format!("--control {}: only a loopback address is allowed", args.control)));
    }
    TcpListener::bind(args.control).await.map_err(|source| Failure::Control { address: args.control, source })
}

fn start_node(args: &Daemon, id: NodeId, data_dir: &DataDir) -> Result<Dht, Failure> {
    let value_max = u32::try_from(args.value_max.as_u64());
    let value_max = value_max.ok().filter(|max| (1..=VALUE_MAX_MAX).contains(max));
    let value_max =
        value_max.ok_or_else(|| Failure::Setting(format!("--value-max {}: 1 B to 64 MiB", args.value_max)))?;
    let per_key = Limits::new(id).bytes_per_key.max(4 * u64::from(value_max));
    let limits =
        Limits { items: args.capacity_items, bytes: args.capacity.as_u64(), bytes_per_key: per_key, ..Limits::new(id) };
    let socket_buffer = usize::try_from(args.socket_buffer.as_u64()).unwrap_or(usize::MAX);
    let mut builder = Dht::builder()
        .config(Config { network: input::network(&args.network), value_max, ..Config::default() })
        .capacity(Capacity::SERVER)
        .id(id)
        .listen(args.listen)
        .bootstrap(&args.bootstrap)
        .k(args.k)
        .alpha(args.alpha)
        .limits(limits)
        .timeout(args.timeout)
        .leave_timeout(args.leave_timeout)
        .rejoin_interval(args.rejoin_interval)
        .socket_buffer(socket_buffer)
        .socket_batch(args.socket_batch);
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

fn random_token() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Failure::System(error.into()))?;
    Ok(NodeId::from_bytes(bytes).to_string())
}

/// Waits for SIGINT, SIGTERM or SIGHUP, and says which.
pub(crate) async fn signal() -> Result<&'static str, Failure> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::System)?;
        let mut hang_up = signal(SignalKind::hangup()).map_err(Failure::System)?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result.map(|()| "SIGINT").map_err(Failure::System),
            _ = terminate.recv() => Ok("SIGTERM"),
            _ = hang_up.recv() => Ok("SIGHUP"),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.map(|()| "Ctrl-C").map_err(Failure::System)
}
