//! libp2p-kad over TCP, with noise and yamux: the DHT of IPFS.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use libp2p::futures::StreamExt;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::kad::{
    Behaviour, Config, Event, GetRecordOk, Mode, PutRecordError, QueryId, QueryResult, Quorum, Record, RecordKey,
};
use libp2p::swarm::{Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, SwarmBuilder, noise, tcp, yamux};
use tokio::sync::{mpsc, oneshot};

use super::{Members, TIMEOUT, VALUES, per_node};
use crate::clock::resident;
use crate::cluster::{NODES, item};
use crate::drive::Outcome;
use crate::failure::Failure;

/// Room for the largest value and what is around it.
const PACKET: usize = 64 * 1024;
/// No connection is closed because nobody uses it.
const IDLE: Duration = Duration::from_secs(3600);

type Node = Swarm<Behaviour<MemoryStore>>;
type Answer = oneshot::Sender<Outcome>;

/// What a node is asked for.
enum Ask {
    Put(Record, Answer),
    /// A key, and the value that is right.
    Get(RecordKey, Vec<u8>, Answer),
    /// How many others it is connected to.
    Connected(oneshot::Sender<usize>),
}

/// Nodes and clients, each a task, which ends when nobody can ask it any more.
pub(super) struct Swarms {
    nodes: Vec<mpsc::UnboundedSender<Ask>>,
    clients: Vec<mpsc::UnboundedSender<Ask>>,
}

impl Members for Swarms {
    const NAME: &'static str = "libp2p-kad 0.49 (tcp)";
    const LENGTHS: &'static [usize] = &crate::cluster::LENGTHS;

    async fn start() -> Result<(Self, f64), Failure> {
        let before = resident()?;
        let mut servers = Vec::new();
        for _ in 0..NODES {
            servers.push(listening(Mode::Server).await?);
        }
        let known: Vec<(PeerId, Multiaddr)> =
            servers.iter().map(|(node, at)| (*node.local_peer_id(), at.clone())).collect();
        // Each dials those before it, so that there is one connection between any two.
        let numbered = servers.into_iter().enumerate();
        let nodes: Vec<_> = numbered.map(|(number, (node, _))| spawn(node, &known, number)).collect();
        connected(&nodes, NODES - 1).await?;
        let memory = per_node(before)?;
        let mut clients = Vec::new();
        for _ in 0..NODES {
            let (client, _) = listening(Mode::Client).await?;
            clients.push(spawn(client, &known, NODES));
        }
        connected(&clients, NODES).await?;
        Ok((Self { nodes, clients }, memory))
    }

    async fn put(&self, number: u64, bytes: usize) -> Outcome {
        let (key, value) = item(number, bytes);
        let record = Record::new(RecordKey::new(key.as_bytes()), value.to_vec());
        ask(&self.nodes[number as usize % NODES], |answer| Ask::Put(record, answer)).await
    }

    async fn get(&self, number: u64, bytes: usize) -> Outcome {
        let (key, value) = item(number, bytes);
        let key = RecordKey::new(key.as_bytes());
        ask(&self.clients[number as usize % NODES], |answer| Ask::Get(key, value.to_vec(), answer)).await
    }
}

/// Waits until every node is connected to so many others.
async fn connected(nodes: &[mpsc::UnboundedSender<Ask>], others: usize) -> Result<(), Failure> {
    let begun = Instant::now();
    for node in nodes {
        loop {
            let (answer, count) = oneshot::channel();
            let asked = node.send(Ask::Connected(answer)).is_ok();
            if asked && count.await.is_ok_and(|count| count >= others) {
                break;
            }
            if begun.elapsed() > TIMEOUT {
                return Err(Failure::Void(format!("a node of libp2p is not connected to {others} others")));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}

async fn ask(node: &mpsc::UnboundedSender<Ask>, ask: impl FnOnce(Answer) -> Ask) -> Outcome {
    let (answer, outcome) = oneshot::channel();
    match node.send(ask(answer)) {
        Ok(()) => outcome.await.unwrap_or(Outcome::Wrong),
        Err(_) => Outcome::Wrong,
    }
}

fn built(mode: Mode) -> Result<Node, Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::Void(format!("libp2p: {why}"));
    let builder = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(|error| failed(&error))?;
    let builder = builder.with_behaviour(|keypair| {
        let id = keypair.public().to_peer_id();
        let bounds = MemoryStoreConfig { max_records: 4 * VALUES as usize, ..MemoryStoreConfig::default() };
        let mut config = Config::new(StreamProtocol::new("/kad-bench/1"));
        config.set_max_packet_size(PACKET).set_periodic_bootstrap_interval(None);
        let mut behaviour = Behaviour::with_config(id, MemoryStore::with_config(id, bounds), config);
        behaviour.set_mode(Some(mode));
        behaviour
    });
    let builder = builder.map_err(|error| failed(&error))?;
    Ok(builder.with_swarm_config(|config| config.with_idle_connection_timeout(IDLE)).build())
}

/// A node on a free port of loopback, and its address.
async fn listening(mode: Mode) -> Result<(Node, Multiaddr), Failure> {
    let mut node = built(mode)?;
    let address: Multiaddr = "/ip4/127.0.0.1/tcp/0".parse().map_err(|_| Failure::Void("not an address".into()))?;
    node.listen_on(address).map_err(|error| Failure::Void(format!("libp2p: {error}")))?;
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = node.select_next_some().await {
            return Ok((node, address));
        }
    }
}

/// Tells a node of all others, lets it dial the first ones, and runs it.
fn spawn(mut node: Node, known: &[(PeerId, Multiaddr)], first: usize) -> mpsc::UnboundedSender<Ask> {
    let own = *node.local_peer_id();
    for (id, address) in known.iter().filter(|(id, _)| *id != own) {
        node.behaviour_mut().add_address(id, address.clone());
    }
    for (id, _) in known.iter().take(first).filter(|(id, _)| *id != own) {
        if let Err(error) = node.dial(*id) {
            eprintln!("kad-bench: libp2p: {error}");
        }
    }
    let (sender, mut asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut waiting = HashMap::new();
        loop {
            tokio::select! {
                ask = asked.recv() => match ask {
                    Some(ask) => begin(&mut node, ask, &mut waiting),
                    None => return,
                },
                event = node.select_next_some() => {
                    if let SwarmEvent::Behaviour(Event::OutboundQueryProgressed { id, result, .. }) = event {
                        progress(&mut node, id, result, &mut waiting);
                    }
                }
            }
        }
    });
    sender
}

/// Who waits for a query, and for which value.
type Waiting = HashMap<QueryId, (Vec<u8>, Answer)>;

fn begin(node: &mut Node, ask: Ask, waiting: &mut Waiting) {
    let connected = node.connected_peers().count();
    let behaviour = node.behaviour_mut();
    match ask {
        // Who asked and has gone away does not want it.
        Ask::Connected(answer) => drop(answer.send(connected)),
        Ask::Put(record, answer) => {
            // All others, as the other implementations are asked.
            let others = NonZeroUsize::new(NODES - 1).map_or(Quorum::One, Quorum::N);
            match behaviour.put_record(record, others) {
                Ok(query) => drop(waiting.insert(query, (Vec::new(), answer))),
                Err(_) => drop(answer.send(Outcome::Wrong)),
            }
        }
        Ask::Get(key, value, answer) => drop(waiting.insert(behaviour.get_record(key), (value, answer))),
    }
}

fn progress(node: &mut Node, query: QueryId, result: QueryResult, waiting: &mut Waiting) {
    let Some((value, answer)) = waiting.remove(&query) else { return };
    let outcome = match result {
        QueryResult::PutRecord(Ok(_)) => Outcome::Right,
        QueryResult::PutRecord(Err(PutRecordError::QuorumFailed { .. })) => Outcome::Silent,
        QueryResult::PutRecord(Err(PutRecordError::Timeout { .. })) => Outcome::Timeout,
        QueryResult::GetRecord(Ok(GetRecordOk::FoundRecord(found))) if found.record.value == value => Outcome::Right,
        _ => Outcome::Wrong,
    };
    // The first value is enough.
    if let Some(mut query) = node.behaviour_mut().query_mut(&query) {
        query.finish();
    }
    // A caller that has gone away does not want it.
    let _ = answer.send(outcome);
}
