//! One node that answers, against an echo that does nothing else.

use std::time::Duration;

use kad_tokio::{Capacity, Copies, Dht, Key};
use serde::{Deserialize, Serialize};

use crate::echo::{Echo, Echoed};
use crate::failure::Failure;
use crate::figures::{Rate, median};
use crate::load::{Round, Sending, load};
use crate::network::{acquaint, close, network_id, node, runtime, start};
use crate::progress::Progress;
use crate::requests::{Question, Requests};
use crate::table::{Table, count, percent, two};

/// Contacts of a full answer, and bytes of the value.
const K: u8 = 20;
const VALUE: usize = 100;
/// Other nodes, so that the table has enough for a full answer.
const OTHERS: usize = 24;
/// Seconds of a round. Each is beside one of the reference: on a busy machine both are disturbed alike.
const ROUND: f64 = 0.2;

/// One kind of request.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(crate) struct Kind {
    /// Medians of the rounds.
    pub(crate) rate: Rate,
    /// Medians of this rate over the reference's in the round beside it.
    pub(crate) rate_ratio: f64,
    /// The same of processor time per request.
    pub(crate) cpu_ratio: f64,
    /// Share of the time in which the node's thread ran: near 1, or the rate is the loader's.
    pub(crate) server_busy: f64,
    pub(crate) loader_busy: f64,
    pub(crate) lost: u64,
}

/// All figures of this suite. CPU is that of the server's thread.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(crate) struct Serve {
    pub(crate) raw: Rate,
    pub(crate) ping: Kind,
    pub(crate) find_node: Kind,
    pub(crate) find_value: Kind,
    pub(crate) ping_rate_ratio: f64,
    pub(crate) ping_cpu_ratio: f64,
    pub(crate) find_node_rate_ratio: f64,
    pub(crate) find_node_cpu_ratio: f64,
    pub(crate) find_value_rate_ratio: f64,
    pub(crate) find_value_cpu_ratio: f64,
}

/// Measures each kind for `seconds` altogether.
pub(crate) fn measure(seconds: f64, progress: &Progress) -> Result<Serve, Failure> {
    let runtime = runtime()?;
    progress.say("serve: a node and its table");
    let (server, threads) = start(node(None), 1)?;
    let (key, value) = (Key::hash("served"), vec![7; VALUE]);
    let others = runtime.block_on(prepare(&server, key, &value))?;
    let echo = Echo::start()?;
    let round = Duration::from_secs_f64(ROUND);
    let count = (seconds / ROUND).ceil() as usize;
    let mut raws = Vec::new();
    let mut of = |name: &str, question: Question| -> Result<Kind, Failure> {
        let mut requests = Requests::new(network_id(), question)?;
        let mut rounds = Vec::new();
        for number in 1..=count {
            progress.say(&format!("serve: {name}, round {number} of {count}"));
            let raw = load(echo.address, &[echo.thread], &mut Echoed, Sending::Apart, round)?;
            rounds.push((raw, load(server.local_addr(), &threads, &mut requests, Sending::Apart, round)?));
            raws.push(raw.rate);
        }
        Ok(kind(&rounds))
    };
    let ping = of("ping", Question::Ping)?;
    let find_node = of("find node", Question::FindNode { k: K })?;
    let find_value = of("find value", Question::FindValue { key, value })?;
    runtime.block_on(close(&others))?;
    runtime.block_on(close(&[server]))?;
    Ok(Serve {
        raw: Rate::median(&raws),
        ping_rate_ratio: ping.rate_ratio,
        ping_cpu_ratio: ping.cpu_ratio,
        find_node_rate_ratio: find_node.rate_ratio,
        find_node_cpu_ratio: find_node.cpu_ratio,
        find_value_rate_ratio: find_value.rate_ratio,
        find_value_cpu_ratio: find_value.cpu_ratio,
        ping,
        find_node,
        find_value,
    })
}

fn kind(rounds: &[(Round, Round)]) -> Kind {
    let of = |figure: fn(&(Round, Round)) -> f64| median(rounds.iter().map(figure));
    Kind {
        rate: Rate::median(&rounds.iter().map(|(_, kad)| kad.rate).collect::<Vec<_>>()),
        rate_ratio: of(|(raw, kad)| kad.rate.per_second / raw.rate.per_second),
        cpu_ratio: of(|(raw, kad)| kad.rate.cpu_us / raw.rate.cpu_us),
        server_busy: of(|(_, kad)| kad.server_busy),
        loader_busy: of(|(_, kad)| kad.loader_busy),
        lost: rounds.iter().map(|(_, kad)| kad.lost).sum(),
    }
}

/// Gives the server contacts and a value. Answers with the others, which must stay.
async fn prepare(server: &Dht, key: Key, value: &[u8]) -> Result<Vec<Dht>, Failure> {
    let mut others = Vec::new();
    for _ in 0..OTHERS {
        let other = node(Some(server)).capacity(Capacity::SMALL).start()?;
        other.joined().await?;
        others.push(other);
    }
    acquaint(std::slice::from_ref(server), K.into()).await?;
    server.store(key, value.to_vec()).copies(Copies::AtLeast(0)).await?;
    Ok(others)
}

impl Serve {
    pub(crate) fn tables(&self) -> Vec<Table> {
        let mut table = Table::new(
            "One node that answers, against a bare echo",
            ["request", "a second", "x echo", "CPU us each", "x echo", "server busy", "loader busy", "lost"],
        );
        let raw = self.raw;
        table.row([
            "echo of 100 B".into(),
            count(raw.per_second),
            "1".into(),
            two(raw.cpu_us),
            "1".into(),
            "".into(),
            "".into(),
            "0".into(),
        ]);
        for (name, kind) in
            [("PING", &self.ping), ("FIND_NODE", &self.find_node), ("FIND_VALUE of 100 B", &self.find_value)]
        {
            table.row([
                name.into(),
                count(kind.rate.per_second),
                two(kind.rate_ratio),
                two(kind.rate.cpu_us),
                two(kind.cpu_ratio),
                percent(kind.server_busy),
                percent(kind.loader_busy),
                kind.lost.to_string(),
            ]);
        }
        vec![table.with_note(
            "CPU is that of the server's thread. Ratios are medians of rounds of the echo and the node in turn. Where the \
             server is not busy, something else bounded the rate.",
        )]
    }
}
