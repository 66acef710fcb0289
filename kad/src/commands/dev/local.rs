//! The network in this process: nodes on loopback, each with its own HTTP server.

use std::fs::File;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use kad_http::{Server, Settings};
use kad_tokio::{Capacity, Dht, NodeId};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::member::Member;
use super::{REJOIN_INTERVAL, progress};
use crate::args::{Dev, Storage};
use crate::commands::daemon::{own_listener, random_token};
use crate::data_dir::{ControlFile, DataDir};
use crate::error::Failure;

/// A node among many in one process needs no more.
const SOCKET_BUFFER: usize = 512 << 10;
/// The time limit for requests in progress at the end.
const DRAIN: Duration = Duration::from_secs(1);

/// A network in this process.
pub(super) struct Local {
    nodes: Vec<Node>,
}

struct Node {
    dht: Dht,
    member: Member,
    /// Dropping it stops the network.
    running: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// The data directory of a node, if configured.
struct Kept {
    data_dir: DataDir,
    id: NodeId,
    _lock: File,
}

impl Local {
    /// Starts the nodes one by one, each joining through a random-looking earlier one.
    pub(super) async fn start(args: &Dev) -> Result<Self, Failure> {
        allow_files(args.nodes)?;
        let bar = progress(args.nodes as usize, "starting", args.output.json);
        let mut nodes: Vec<Node> = Vec::new();
        for number in 0..args.nodes as usize {
            let through = number.checked_sub(1).map(|last| &nodes[number * 7919 % (last + 1)]);
            let through = through.map(|node| node.dht.local_addr().to_string());
            nodes.push(Node::start(args, number, through).await?);
            bar.inc(1);
        }
        bar.finish();
        Ok(Self { nodes })
    }

    pub(super) fn members(&self) -> Vec<Member> {
        self.nodes.iter().map(|node| node.member.clone()).collect()
    }

    /// Ends all nodes.
    pub(super) async fn end(self) -> Result<(), Failure> {
        let tasks: Vec<_> = self.nodes.into_iter().map(|Node { running, task, .. }| (drop(running), task).1).collect();
        for task in tasks {
            task.await.map_err(|error| Failure::System(error.into()))?;
        }
        Ok(())
    }
}

impl Node {
    async fn start(args: &Dev, number: usize, through: Option<String>) -> Result<Self, Failure> {
        let kept =
            args.data_dir.as_ref().map(|path| keep(DataDir::new(Some(path.join(number.to_string())))?)).transpose()?;
        let dht = start_dht(args, kept.as_ref(), &through)?;
        if through.is_some() {
            dht.joined().await?;
        }
        let (token, stop) = (random_token()?, Arc::new(Notify::new()));
        let listener = own_listener(dht.local_addr().port()).await?;
        let settings =
            Settings { tokens: vec![token.clone()], stop: stop.clone(), drain_timeout: DRAIN, ..Settings::default() };
        let server = Server::new(listener, dht.clone(), settings).map_err(Failure::System)?;
        let http = server.local_addr();
        if let Some(kept) = &kept {
            kept.data_dir.write_control(&ControlFile { address: http, token, pid: std::process::id() })?;
        }
        let data_dir = kept.as_ref().map(|kept| kept.data_dir.path().into());
        let (id, address) = (dht.id(), dht.local_addr());
        let member = Member { number, id, up: true, address, http, data_dir, namespace: None };
        let (running, end) = oneshot::channel();
        let task = tokio::spawn(serve(server, dht.clone(), stop, end, kept));
        Ok(Self { dht, member, running, task })
    }
}

/// Serves requests until the node or the network stops.
async fn serve(server: Server, dht: Dht, stop: Arc<Notify>, end: oneshot::Receiver<()>, kept: Option<Kept>) {
    let told = async move {
        tokio::select! {
            () = stop.notified() => {}
            _ = end => {}
        }
    };
    server.run(told).await;
    // Fails if the node has already stopped, which is fine.
    let _ = dht.close().await;
    if let Some(kept) = kept {
        kept.data_dir.remove_control();
    }
}

fn keep(data_dir: DataDir) -> Result<Kept, Failure> {
    data_dir.create()?;
    let lock = data_dir.lock()?;
    let id = data_dir.identity()?;
    Ok(Kept { data_dir, id, _lock: lock })
}

fn start_dht(args: &Dev, kept: Option<&Kept>, through: &Option<String>) -> Result<Dht, Failure> {
    let mut builder = Dht::builder()
        .listen((Ipv4Addr::LOCALHOST, 0).into())
        .bootstrap(through)
        .k(args.k)
        .capacity(Capacity::SMALL)
        .workers(1)
        .socket_buffer(SOCKET_BUFFER)
        .rejoin_interval(REJOIN_INTERVAL)
        // Loopback does not move, and each watch would take two files.
        .watch_host(false)
        .leave_timeout(Duration::ZERO);
    if let Some(kept) = kept {
        builder = builder.id(kept.id);
        if args.storage == Storage::Disk {
            builder = builder.disk(kept.data_dir.values());
        }
    }
    Ok(builder.start()?)
}

/// Each node has sockets, a runtime and connections, which take some files each.
fn allow_files(nodes: u32) -> Result<(), Failure> {
    const FILES_PER_NODE: u64 = 10;
    #[cfg(unix)]
    {
        let wanted = 128 + u64::from(nodes) * FILES_PER_NODE;
        let granted = rlimit::increase_nofile_limit(wanted).map_err(Failure::System)?;
        if granted < wanted {
            let most = granted.saturating_sub(128) / FILES_PER_NODE;
            return Err(Failure::Setting(format!(
                "--nodes {nodes}: the limit of {granted} open files is enough for {most} nodes; see `ulimit -Hn`"
            )));
        }
    }
    Ok(())
}
