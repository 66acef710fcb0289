//! Commands for the network, line by line on standard input.

use std::collections::BTreeSet;
use std::io::BufRead as _;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;

use super::Cluster;
use crate::commands::dev::member;
use crate::error::Failure;
use crate::{input, output};

const HELP: &str = "\
nodes                 list the nodes
kill 3,5-9            kill daemons, as a crash would
stop 3                stop daemons gracefully
start 3               start stopped daemons
restart 0-9           stop and start daemons, one after the other
partition 0-4 5-9     cut the groups off from each other and from the other nodes
heal                  remove all partitions
loss 5%               lose this share of all datagrams
delay 20ms            delay all datagrams that a node sends
quit                  stop the network";

/// A parsed command.
enum Order {
    Nodes,
    Kill(BTreeSet<usize>),
    Stop(BTreeSet<usize>),
    Start(BTreeSet<usize>),
    Restart(BTreeSet<usize>),
    Partition(Vec<Vec<usize>>),
    Heal,
    Loss(u16),
    Delay(Duration),
    Help,
    Quit,
}

/// Runs the commands from standard input, until `quit`.
pub(in crate::commands::dev) async fn follow(cluster: &mut Cluster, as_json: bool) -> Result<(), Failure> {
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        let order = match Order::parse(&line, cluster.nodes.len()) {
            Ok(None) => continue,
            Ok(Some(Order::Quit)) => return Ok(()),
            Ok(Some(order)) => order,
            Err(failure) => {
                answer(as_json, &line, Err(failure))?;
                continue;
            }
        };
        let result = order.run(cluster, as_json).await;
        answer(as_json, &line, result)?;
    }
    // Standard input has ended; Ctrl-C stops the network.
    std::future::pending().await
}

/// Returns the lines of standard input. A separate thread reads them, which does not delay the exit of this process.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let lines = std::io::stdin().lock().lines().map_while(Result::ok);
        // Ends when the receiver is dropped.
        let _ = lines.map(|line| sender.blocking_send(line)).take_while(Result::is_ok).count();
    });
    receiver
}

/// Prints the result of a command.
fn answer(as_json: bool, line: &str, result: Result<(), Failure>) -> Result<(), Failure> {
    match (as_json, result) {
        (true, Ok(())) => output::json(&json!({ "done": line.trim() })),
        (true, Err(failure)) => output::json(&json!({ "error": failure.to_string(), "order": line.trim() })),
        (false, Ok(())) => {
            output::remark("done");
            Ok(())
        }
        (false, Err(failure)) => {
            output::remark(&format!("{failure}; `help` lists the commands"));
            Ok(())
        }
    }
}

impl Order {
    /// Parses a command; an empty line is none.
    fn parse(line: &str, nodes: usize) -> Result<Option<Self>, Failure> {
        let words: Vec<_> = line.split_whitespace().collect();
        let Some((&verb, rest)) = words.split_first() else { return Ok(None) };
        let wrong = |message: String| Failure::Setting(format!("{verb}: {message}"));
        let set = || match rest {
            [] => Err(wrong("which nodes? as in 3,5-9".into())),
            [one] => numbers(one, nodes).map_err(wrong),
            _ => Err(wrong("give one list of nodes, as in 3,5-9".into())),
        };
        let one = |what| match rest {
            [one] => Ok(*one),
            _ => Err(wrong(format!("give {what}"))),
        };
        Ok(Some(match verb {
            "nodes" => Self::Nodes,
            "kill" => Self::Kill(set()?),
            "stop" => Self::Stop(set()?),
            "start" => Self::Start(set()?),
            "restart" => Self::Restart(set()?),
            "partition" => Self::Partition(groups(rest, nodes).map_err(wrong)?),
            "heal" => Self::Heal,
            "loss" => Self::Loss(input::loss(one("a share, as in 5%")?).map_err(wrong)?),
            "delay" => Self::Delay(
                humantime::parse_duration(one("a time, as in 20ms")?).map_err(|error| wrong(error.to_string()))?,
            ),
            "help" => Self::Help,
            "quit" => Self::Quit,
            _ => return Err(Failure::Setting(format!("unknown command `{verb}`"))),
        }))
    }

    async fn run(self, cluster: &mut Cluster, as_json: bool) -> Result<(), Failure> {
        match self {
            Self::Nodes if as_json => output::json(&json!({ "members": cluster.members() })),
            Self::Nodes => member::print(&cluster.members()),
            Self::Kill(numbers) => numbers.into_iter().try_for_each(|number| cluster.nodes[number].kill()),
            Self::Stop(numbers) => stop(cluster, &numbers).await,
            Self::Start(numbers) => start(cluster, &numbers).await,
            Self::Restart(numbers) => {
                for number in numbers {
                    let one = BTreeSet::from([number]);
                    stop(cluster, &one).await?;
                    start(cluster, &one).await?;
                }
                Ok(())
            }
            Self::Partition(groups) => cluster.partition(&groups),
            Self::Heal => cluster.heal(),
            Self::Loss(per_mille) => cluster.lose(per_mille),
            Self::Delay(delay) => cluster.delay(delay),
            Self::Help | Self::Quit => output::line(HELP),
        }
    }
}

/// Makes daemons leave together, and waits until they have.
async fn stop(cluster: &mut Cluster, numbers: &BTreeSet<usize>) -> Result<(), Failure> {
    for &number in numbers {
        cluster.nodes[number].terminate()?;
    }
    for &number in numbers {
        cluster.nodes[number].wait_until_down().await?;
    }
    Ok(())
}

/// Starts daemons together, and waits until each reaches its network.
async fn start(cluster: &mut Cluster, numbers: &BTreeSet<usize>) -> Result<(), Failure> {
    for &number in numbers {
        cluster.nodes[number].spawn()?;
    }
    for &number in numbers {
        cluster.nodes[number].wait_until_up().await?;
        cluster.nodes[number].wait_until_ready().await?;
    }
    Ok(())
}

/// Numbers as in `3,5-9`.
fn numbers(text: &str, nodes: usize) -> Result<BTreeSet<usize>, String> {
    let mut numbers = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<usize>().map_err(|_| format!("`{text}` is not the number of a node"));
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last >= nodes {
            return Err(format!("`{part}`: the nodes are 0 to {}", nodes - 1));
        }
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

/// Checks that groups are disjoint.
fn groups(words: &[&str], nodes: usize) -> Result<Vec<Vec<usize>>, String> {
    if words.is_empty() {
        return Err("which nodes? as in 0-4".into());
    }
    let mut seen = BTreeSet::new();
    let mut groups = Vec::new();
    for word in words {
        let group = numbers(word, nodes)?;
        if let Some(twice) = group.iter().find(|number| !seen.insert(**number)) {
            return Err(format!("node {twice} is in two groups"));
        }
        groups.push(group.into_iter().collect());
    }
    Ok(groups)
}
