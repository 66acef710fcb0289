//! Twenty HTTP gateways of one network, used as programs use them.

mod client;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kad_http::{Server, Settings};
use kad_tokio::{Bytes, Dht, Key, Role};
use serde::{Deserialize, Serialize};

use crate::clock::resident;
use crate::cluster::NODES;
use crate::drive::{Demand, Driven, Outcome, drive};
use crate::earlier::{CAMOMILE_GET, CAMOMILE_POST, CONCURRENCY, Figure};
use crate::echo::{Echo, echoed};
use crate::failure::Failure;
use crate::network::{close, network, node, runtime};
use crate::progress::Progress;
use crate::table::{Table, count, two};
use client::Client;

/// Bytes of values, and requests at a time.
const LOADS: [(usize, usize); 4] = [(64, 1), (64, 64), (64, 512), (16 << 10, 64)];
/// Values that are read.
const VALUES: u64 = 1000;
/// Longest measurement of a rate, in seconds: only memory needs more.
const LONGEST: f64 = 10.0;
/// Of so many requests one is a POST while memory is watched, and its value lives so long.
const POST_OF: u64 = 10;
const POST_BRIEFLY: &str = "/?ttl=10s";
/// A GET is for a value of so many POSTs ago, or of up to nine times as many: stored by then, and not expired yet.
const AGO: u64 = 256;
/// Bytes of these values.
const WATCHED: usize = 64;
/// Memory is looked at so often in the course of a watch.
const LOOKS: u32 = 10;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// A POST, answered when three other nodes hold the value.
    Post,
    /// A GET through a gateway whose node holds the value: with twenty nodes and k = 20 all do.
    GetHeld,
    /// A GET through a gateway whose node holds nothing, and asks the others.
    GetFound,
}

impl Request {
    const fn name(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::GetHeld => "GET of what the node holds",
            Self::GetFound => "GET of what others hold",
        }
    }

    const fn camomile(self) -> Figure {
        match self {
            Self::Post => CAMOMILE_POST,
            Self::GetHeld | Self::GetFound => CAMOMILE_GET,
        }
    }
}

/// One figure.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(crate) struct Line {
    pub(crate) request: Request,
    pub(crate) bytes: usize,
    pub(crate) concurrency: usize,
    pub(crate) driven: Driven,
    /// This rate over Camomile's, scaled by the echo of its machine and of this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate_x_camomile: Option<f64>,
}

/// Memory under load that does not end.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) struct Watch {
    pub(crate) seconds: f64,
    pub(crate) driven: Driven,
    /// Resident bytes of the process, from the first look on.
    pub(crate) resident: Vec<u64>,
}

/// All figures of this suite.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub(crate) struct Gateways {
    pub(crate) lines: Vec<Line>,
    pub(crate) watch: Watch,
}

/// Gateways, and those who call them.
struct Network {
    nodes: Vec<Dht>,
    clients: Arc<Vec<Client>>,
}

impl Network {
    async fn serve(nodes: Vec<Dht>) -> Result<Self, Failure> {
        let mut clients = Vec::new();
        for dht in &nodes {
            let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), dht.clone(), Settings::default()).await?;
            clients.push(Client::new(server.local_addr()));
            let dht = dht.clone();
            tokio::spawn(server.run(async move { drop(dht.closed().await) }));
        }
        Ok(Self { nodes, clients: Arc::new(clients) })
    }

    /// Nodes that hold values.
    async fn of_holders() -> Result<Self, Failure> {
        Self::serve(network(NODES, |builder| builder).await?).await
    }

    /// Nodes that hold nothing, beside others.
    async fn beside(holders: &Self) -> Result<Self, Failure> {
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            let reader = node(holders.nodes.first()).role(Role::Client).start()?;
            reader.joined().await?;
            nodes.push(reader);
        }
        Self::serve(nodes).await
    }
}

/// Measures each figure for `seconds`, ten at the most, and watches memory for `seconds`.
pub(crate) fn measure(seconds: f64, progress: &Progress) -> Result<Gateways, Failure> {
    let (runtime, echo) = (runtime()?, Echo::start()?);
    // First: what other networks have left would hide what this one takes.
    progress.say(&format!("gateway: memory under load, {seconds:.0} s"));
    let watch = runtime.block_on(watch(seconds))?;
    let mut lines = Vec::new();
    for (bytes, concurrency) in LOADS {
        progress.say(&format!("gateway: {NODES} gateways, values of {bytes} B, {concurrency} at a time"));
        let demand = Demand { concurrency, span: Duration::from_secs_f64(seconds.min(LONGEST)), most: u64::MAX };
        let before = echoed(&echo)?;
        let driven = runtime.block_on(drive_all(bytes, demand))?;
        let echo = (before.per_second + echoed(&echo)?.per_second) / 2.0;
        let comparable = (bytes, concurrency) == (64, CONCURRENCY);
        lines.extend(driven.map(|(request, driven)| Line {
            request,
            bytes,
            concurrency,
            driven,
            rate_x_camomile: comparable.then(|| request.camomile().rate_ratio(driven.rate.per_second, echo)),
        }));
    }
    Ok(Gateways { lines, watch })
}

async fn drive_all(bytes: usize, demand: Demand) -> Result<[(Request, Driven); 3], Failure> {
    let holders = Network::of_holders().await?;
    let readers = Network::beside(&holders).await?;
    for number in 0..VALUES {
        if post(&holders.clients, number, bytes, "/?copies=all").await != Outcome::Right {
            return Err(Failure::Void("a value that is to be read was not stored".into()));
        }
    }
    let rest = || async { Ok(()) };
    let reads = |clients: Arc<Vec<Client>>| {
        move |number: u64| {
            let clients = clients.clone();
            async move { get(&clients, number, number.wrapping_mul(7919) % VALUES, bytes).await }
        }
    };
    let held = drive(demand, reads(holders.clients.clone()), rest).await?;
    let found = drive(demand, reads(readers.clients.clone()), rest).await?;
    let clients = holders.clients.clone();
    let posts = move |number: u64| {
        let clients = clients.clone();
        async move { post(&clients, number + VALUES, bytes, "/").await }
    };
    let posted = drive(demand, posts, rest).await?;
    close(&readers.nodes).await?;
    close(&holders.nodes).await?;
    Ok([(Request::Post, posted), (Request::GetHeld, held), (Request::GetFound, found)])
}

/// Load that goes on and on, of values that soon expire.
async fn watch(seconds: f64) -> Result<Watch, Failure> {
    let network = Network::of_holders().await?;
    let (span, clients) = (Duration::from_secs_f64(seconds), network.clients.clone());
    let demand = Demand { concurrency: CONCURRENCY, span, most: u64::MAX };
    let operation = move |number: u64| {
        let clients = clients.clone();
        async move {
            let posts = number / POST_OF;
            match number % POST_OF {
                0 => post(&clients, posts, WATCHED, POST_BRIEFLY).await,
                // One of those that were stored not long ago. At first there are none.
                back => match get(&clients, number, posts.saturating_sub(AGO * back), WATCHED).await {
                    Outcome::Wrong if posts < AGO * POST_OF => Outcome::Right,
                    outcome => outcome,
                },
            }
        }
    };
    let looking = tokio::spawn(async move {
        let (begun, mut resident_at) = (Instant::now(), Vec::new());
        for look in 1..=LOOKS {
            tokio::time::sleep_until((begun + span * look / LOOKS).into()).await;
            resident_at.push(resident()?);
        }
        Ok::<_, Failure>(resident_at)
    });
    let driven = drive(demand, operation, || async { Ok(()) }).await?;
    let resident = looking.await.map_err(|error| Failure::Void(error.to_string()))??;
    close(&network.nodes).await?;
    Ok(Watch { seconds, driven, resident })
}

/// A value of this number.
fn value(number: u64, bytes: usize) -> Bytes {
    let seed = number.to_le_bytes();
    (0..bytes).map(|at| seed[at % 8] ^ (at / 8) as u8).collect::<Vec<_>>().into()
}

async fn post(clients: &[Client], number: u64, bytes: usize, path: &str) -> Outcome {
    let (value, client) = (value(number, bytes), &clients[number as usize % clients.len()]);
    match client.ask("POST", path, value.clone()).await {
        Some((202, echo)) if echo == value => Outcome::Right,
        Some((504, _)) => Outcome::Timeout,
        Some((503, _)) => Outcome::Refused,
        _ => Outcome::Wrong,
    }
}

/// Reads the value of this number.
async fn get(clients: &[Client], turn: u64, number: u64, bytes: usize) -> Outcome {
    let (value, client) = (value(number, bytes), &clients[turn as usize % clients.len()]);
    match client.ask("GET", &format!("/{}", Key::hash(&value)), Bytes::new()).await {
        Some((200, body)) if body == value => Outcome::Right,
        Some((504, _)) => Outcome::Timeout,
        _ => Outcome::Wrong,
    }
}

impl Gateways {
    pub(crate) fn failed(&self) -> u64 {
        self.lines.iter().map(|line| line.driven.failed()).sum::<u64>() + self.watch.driven.failed()
    }

    pub(crate) fn tables(&self) -> Vec<Table> {
        vec![self.table_of_rates(), self.table_of_memory()]
    }

    fn table_of_rates(&self) -> Table {
        let head =
            ["request", "value", "at a time", "a second", "p50 ms", "p99 ms", "CPU us each", "failed", "x Camomile"];
        let mut table = Table::new("Twenty HTTP gateways", head);
        for line in &self.lines {
            let Driven { rate, times, .. } = line.driven;
            table.row([
                line.request.name().into(),
                format!("{} B", line.bytes),
                line.concurrency.to_string(),
                count(rate.per_second),
                two(times.p50_ms),
                two(times.p99_ms),
                count(rate.cpu_us),
                line.driven.failed().to_string(),
                line.rate_x_camomile.map_or(String::new(), two),
            ]);
        }
        table.with_note(
            "Requests go to all gateways in turn, over connections that stay; each answer is compared, byte for byte. A POST is \
             answered when three other nodes hold the value. CPU is of the whole process: nodes, servers and clients. \
             `x Camomile` is against figures of another machine, scaled by the bare echo there and here.",
        )
    }

    fn table_of_memory(&self) -> Table {
        let head = ["seconds", "requests a second", "p99 ms", "failed", "MiB after each tenth of it"];
        let mut table = Table::new("Memory of twenty gateways under load", head);
        let Watch { seconds, driven, resident } = &self.watch;
        let mib: Vec<String> = resident.iter().map(|bytes| (bytes >> 20).to_string()).collect();
        table.row([
            count(*seconds),
            count(driven.rate.per_second),
            two(driven.times.p99_ms),
            driven.failed().to_string(),
            mib.join(", "),
        ]);
        table.with_note(
            "Nine GETs to one POST of a value that lives ten seconds, 64 at a time. Memory is what the whole process has \
             resident and of no file, clients and all.",
        )
    }
}
