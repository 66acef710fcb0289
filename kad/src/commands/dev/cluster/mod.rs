//! The network in network namespaces: each node is a daemon of its own on a host of its own, and the network between them
//! can lose, delay and be cut.

mod forward;
mod node;
pub(super) mod orders;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use kad_netns::{Host, Network};
use tempfile::TempDir;

use super::member::Member;
use super::progress;
use crate::args::{Dev, Storage};
use crate::error::Failure;
use node::Node;

/// The UDP port of every node, and its TCP port for HTTP.
const PORT: u16 = 9000;

/// A network of daemons. Dropping it stops all of them.
pub(super) struct Cluster {
    // Daemons stop before their network.
    nodes: Vec<Node>,
    network: Network,
    /// The parent of the data directories if --data-dir is not given.
    _directory: Option<TempDir>,
}

impl Cluster {
    /// Starts all nodes, and waits until each reports that it reaches the network.
    pub(super) async fn start(args: &Dev) -> Result<Self, Failure> {
        let missing = kad_netns::missing();
        if !missing.is_empty() {
            return Err(Failure::Setting(format!("--netns: {}", missing.join("; "))));
        }
        let (directory, path) = directory(args)?;
        let count = args.nodes as usize;
        let bar = progress(count, "hosts", args.output.json);
        let mut cluster = Self { network: Network::start()?, nodes: Vec::new(), _directory: directory };
        for number in 0..count {
            let host = cluster.network.host(&format!("n{number}"), &[&format!("{}/16", address(number))])?;
            let through = through(number, count).map(|number| socket(number).to_string());
            let flags = flags(args, number, &through.collect::<Vec<_>>());
            cluster.nodes.push(Node::new(number, host, socket(number), path.join(number.to_string()), flags).await?);
            bar.inc(1);
        }
        bar.finish();
        cluster.introduce()?;
        cluster.lose(args.loss.unwrap_or(0))?;
        if let Some(delay) = args.delay {
            cluster.delay(delay)?;
        }
        cluster.launch(args.output.json).await?;
        Ok(cluster)
    }

    async fn launch(&mut self, quiet: bool) -> Result<(), Failure> {
        let bar = progress(self.nodes.len(), "starting", quiet);
        for node in &mut self.nodes {
            node.spawn()?;
        }
        for node in &mut self.nodes {
            node.wait_until_up().await?;
            node.wait_until_ready().await?;
            bar.inc(1);
        }
        bar.finish();
        Ok(())
    }

    pub(super) fn members(&self) -> Vec<Member> {
        self.nodes.iter().map(Node::member).collect()
    }

    fn introduce(&self) -> Result<(), Failure> {
        let known: Vec<_> = self.nodes.iter().map(|node| (node.host(), IpAddr::from(address(node.number())))).collect();
        Ok(self.network.introduce(&known)?)
    }

    fn lose(&self, per_mille: u16) -> Result<(), Failure> {
        Ok(self.network.lose(per_mille)?)
    }

    fn delay(&self, delay: Duration) -> Result<(), Failure> {
        Ok(self.nodes.iter().try_for_each(|node| node.host().delay(delay))?)
    }

    fn partition(&self, groups: &[Vec<usize>]) -> Result<(), Failure> {
        let hosts = |group: &Vec<usize>| group.iter().map(|&number| self.nodes[number].host()).collect::<Vec<&Host>>();
        let groups: Vec<_> = groups.iter().map(hosts).collect();
        Ok(self.network.partition(&groups.iter().map(Vec::as_slice).collect::<Vec<_>>())?)
    }

    fn heal(&self) -> Result<(), Failure> {
        Ok(self.network.heal()?)
    }
}

/// Returns the parent of the data directories.
fn directory(args: &Dev) -> Result<(Option<TempDir>, PathBuf), Failure> {
    match &args.data_dir {
        Some(path) => Ok((None, std::path::absolute(path).map_err(Failure::System)?)),
        None => {
            let made = tempfile::Builder::new().prefix("kad-dev-").tempdir().map_err(Failure::System)?;
            let path = made.path().into();
            Ok((Some(made), path))
        }
    }
}

fn address(number: usize) -> Ipv4Addr {
    let (high, low) = (number / 250, number % 250 + 1);
    Ipv4Addr::new(10, 77, high as u8, low as u8)
}

fn socket(number: usize) -> SocketAddr {
    (address(number), PORT).into()
}

/// Returns the bootstrap nodes of a node: the first, and a pseudo-random earlier one; for the first, the second.
fn through(number: usize, count: usize) -> impl Iterator<Item = usize> {
    let (one, other) = match number {
        0 => ((count > 1).then_some(1), None),
        _ => (Some(0), Some(number * 7919 % number).filter(|&other| other > 0)),
    };
    one.into_iter().chain(other)
}

/// Returns the flags of a node's daemon, without its data directory.
fn flags(args: &Dev, number: usize, through: &[String]) -> Vec<String> {
    let storage = if args.storage == Storage::Disk { "disk" } else { "memory" };
    let rejoin = humantime::format_duration(super::REJOIN_INTERVAL);
    let mut flags = vec![format!("--listen={}", socket(number)), format!("--http=127.0.0.1:{PORT}")];
    flags.extend([format!("--k={}", args.k), format!("--storage={storage}"), format!("--rejoin-interval={rejoin}")]);
    // Fifty daemons with a thread for each core would slow each other down.
    flags.extend(["--workers=1".into(), "--socket-buffer=512KiB".into()]);
    flags.extend(through.iter().map(|address| format!("--bootstrap={address}")));
    flags
}
