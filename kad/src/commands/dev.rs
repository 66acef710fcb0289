//! `kad dev`: a whole network on this machine.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kad_tokio::{Capacity, Copies, Dht, Key};
use serde::Serialize;
use tokio::task::JoinSet;

use super::daemon::signal;
use crate::args::Dev;
use crate::error::Failure;
use crate::output;

/// Calls at a time while values are stored and read.
const AT_A_TIME: usize = 16;
/// Lengths of the values in turn: empty, small, the largest that fits a datagram, larger, the largest.
const LENGTHS: [usize; 6] = [0, 1, 64, 1084, 5000, 32 * 1024];
/// A node among many in one process needs no more.
const SOCKET_BUFFER: usize = 512 << 10;

/// What the check found.
#[derive(Serialize)]
struct Report {
    nodes: usize,
    /// Values that were stored with all the copies that the network can have.
    stored: usize,
    /// Values that were read by another node, byte for byte.
    found: usize,
    /// Values that were not stored or not read.
    failed: usize,
    copies: Spread,
    put_milliseconds: Spread,
    get_milliseconds: Spread,
    seconds: f64,
    bootstrap: String,
}

/// The least, the median and the most.
#[derive(Serialize, Clone, Copy)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
        Self { min: at(0), median: at(values.len() / 2), max: at(values.len().saturating_sub(1)) }
    }

    fn row(&self, name: &str, unit: &str) -> [String; 4] {
        [
            name.to_owned(),
            format!("{:.2}{unit}", self.min),
            format!("{:.2}{unit}", self.median),
            format!("{:.2}{unit}", self.max),
        ]
    }
}

pub(crate) async fn run(args: Dev) -> Result<(), Failure> {
    let start = Instant::now();
    let quiet = args.output.json;
    allow_sockets(args.nodes)?;
    let nodes = start_nodes(&args, quiet).await?;
    let report = check(&args, &nodes, start, quiet).await;
    if args.output.json {
        output::json(&report)?;
    } else {
        print(&report)?;
    }
    let failed = report.failed;
    if !args.once {
        if !quiet {
            output::remark("\nThe network is up; Ctrl-C ends it. Try:");
            output::remark(&format!("  kad put hello --bootstrap {}", report.bootstrap));
            output::remark(&format!("  kad lookup --name anything --trace --bootstrap {}", report.bootstrap));
        }
        signal().await?;
    }
    match failed {
        0 => Ok(()),
        failed => Err(Failure::CheckFailed(format!("{failed} of {} values failed the check", args.values))),
    }
}

/// Each node has a socket and a runtime, which take some files each.
fn allow_sockets(nodes: u32) -> Result<(), Failure> {
    const FILES_PER_NODE: u64 = 5;
    #[cfg(unix)]
    {
        let wanted = 64 + u64::from(nodes) * FILES_PER_NODE;
        let granted = rlimit::increase_nofile_limit(wanted).map_err(Failure::System)?;
        if granted < wanted {
            let most = granted.saturating_sub(64) / FILES_PER_NODE;
            return Err(Failure::Setting(format!(
                "--nodes {nodes}: this user may open {granted} files, enough for {most} nodes; see `ulimit -Hn`"
            )));
        }
    }
    Ok(())
}

fn progress(len: u64, what: &'static str, quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style = ProgressStyle::with_template("{msg:>8} {bar:40} {pos}/{len} {elapsed}");
    let bar = ProgressBar::with_draw_target(Some(len), target).with_message(what);
    // The template above is right; were it not, the default bar would do.
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}

/// Starts the nodes one by one, each joining through a random-looking earlier one.
async fn start_nodes(args: &Dev, quiet: bool) -> Result<Vec<Dht>, Failure> {
    let bar = progress(args.nodes.into(), "starting", quiet);
    let mut nodes: Vec<Dht> = Vec::new();
    for number in 0..args.nodes as usize {
        let mut builder = Dht::builder()
            .listen((Ipv4Addr::LOCALHOST, 0).into())
            .k(args.k)
            .capacity(Capacity::SMALL)
            .workers(1)
            .socket_buffer(SOCKET_BUFFER)
            .leave_timeout(Duration::ZERO);
        if number > 0 {
            builder = builder.bootstrap([nodes[number * 7919 % number].local_addr().to_string()]);
        }
        let dht = builder.start()?;
        if number > 0 {
            dht.joined().await?;
        }
        nodes.push(dht);
        bar.inc(1);
    }
    bar.finish();
    Ok(nodes)
}

/// A value that differs from every other.
fn value(number: usize) -> Vec<u8> {
    let len = LENGTHS[number % LENGTHS.len()];
    (0..len).map(|at| (at * 31 + at / 251 + number * 7) as u8).collect()
}

fn key(number: usize) -> Key {
    Key::hash(format!("kad dev value {number}"))
}

/// Stores each value on one node and reads it from another.
async fn check(args: &Dev, nodes: &[Dht], start: Instant, quiet: bool) -> Report {
    let values = args.values as usize;
    let expected = nodes.len().min(args.k.into());
    let puts = run_all(values, progress(args.values.into(), "storing", quiet), |number| {
        let dht = nodes[number % nodes.len()].clone();
        async move {
            let receipt = dht.store(key(number), value(number)).copies(Copies::All).await.ok()?;
            Some(receipt.copies)
        }
    })
    .await;
    let gets = run_all(values, progress(args.values.into(), "reading", quiet), |number| {
        let dht = nodes[(number + nodes.len() / 2) % nodes.len()].clone();
        async move {
            let found = dht.find(key(number)).await.ok()??;
            Some(usize::from(found.bytes == value(number)))
        }
    })
    .await;
    let is_stored = |put: &(Option<usize>, f64)| put.0.is_some_and(|copies| copies >= expected);
    let is_found = |get: &(Option<usize>, f64)| get.0 == Some(1);
    let both = puts.iter().zip(&gets).filter(|(put, get)| is_stored(put) && is_found(get)).count();
    Report {
        nodes: nodes.len(),
        stored: puts.iter().filter(|put| is_stored(put)).count(),
        found: gets.iter().filter(|get| is_found(get)).count(),
        failed: values - both,
        copies: Spread::of(puts.iter().filter_map(|put| put.0).map(|copies| copies as f64).collect()),
        put_milliseconds: Spread::of(puts.iter().map(|put| put.1).collect()),
        get_milliseconds: Spread::of(gets.iter().map(|get| get.1).collect()),
        seconds: start.elapsed().as_secs_f64(),
        bootstrap: nodes.first().map_or(String::new(), |dht| dht.local_addr().to_string()),
    }
}

/// Runs a call for each number, some at a time. Answers with each result and its milliseconds, in order.
async fn run_all<F>(count: usize, bar: ProgressBar, call: impl Fn(usize) -> F) -> Vec<(Option<usize>, f64)>
where
    F: Future<Output = Option<usize>> + Send + 'static,
{
    let mut results = vec![(None, 0.0); count];
    let mut running = JoinSet::new();
    let mut next = 0;
    loop {
        while next < count && running.len() < AT_A_TIME {
            let (number, future) = (next, call(next));
            running.spawn(async move {
                let start = Instant::now();
                (number, future.await, start.elapsed().as_secs_f64() * 1e3)
            });
            next += 1;
        }
        match running.join_next().await {
            Some(Ok((number, result, milliseconds))) => {
                results[number] = (result, milliseconds);
                bar.inc(1);
            }
            // A call that panicked has no result: it counts as failed.
            Some(Err(_)) => bar.inc(1),
            None => break,
        }
    }
    bar.finish();
    results
}

fn print(report: &Report) -> Result<(), Failure> {
    let mut table = output::table(["", "min", "median", "max"]);
    table.add_row(report.copies.row("copies", ""));
    table.add_row(report.put_milliseconds.row("put", " ms"));
    table.add_row(report.get_milliseconds.row("get", " ms"));
    output::line(&table.to_string())?;
    output::line(&format!(
        "{}, {} values stored, {} found {}, {} failed, {:.1} s",
        output::count(report.nodes, "node", "nodes"),
        report.stored,
        report.found,
        if report.nodes > 1 { "by another node" } else { "by itself" },
        report.failed,
        report.seconds
    ))
}
