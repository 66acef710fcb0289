//! Stores values through one node and reads them through another, over HTTP.

use std::time::Instant;

use kad_tokio::Key;
use serde::Serialize;
use tokio::task::JoinSet;

use super::http::Http;
use super::member::Member;
use super::{member, progress};
use crate::args::Dev;
use crate::error::Failure;
use crate::output;

/// Parallel calls while values are stored and read.
const AT_A_TIME: usize = 16;
/// Lengths of the values in turn: empty, small, the largest that fits a datagram, larger, the largest.
const LENGTHS: [usize; 6] = [0, 1, 64, 1084, 5000, 32 * 1024];

/// The result of the check.
#[derive(Serialize)]
pub(super) struct Report {
    nodes: usize,
    /// Values stored with the maximum number of copies.
    stored: usize,
    /// Values read through another node with the right bytes.
    found: usize,
    /// Values that were not stored or not read.
    failed: usize,
    copies: Spread,
    put_milliseconds: Spread,
    get_milliseconds: Spread,
    seconds: f64,
    bootstrap: String,
    pub(super) members: Vec<Member>,
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

impl Report {
    /// Prints the members and the result of the check.
    pub(super) fn print(&self, as_json: bool) -> Result<(), Failure> {
        if as_json {
            return output::json(self);
        }
        member::print(&self.members)?;
        let mut table = output::table(["", "min", "median", "max"]);
        table.add_row(self.copies.row("copies", ""));
        table.add_row(self.put_milliseconds.row("put", " ms"));
        table.add_row(self.get_milliseconds.row("get", " ms"));
        output::line(&table.to_string())?;
        output::line(&format!(
            "{}, {} values stored, {} found {}, {} failed, {:.1} s",
            output::count(self.nodes, "node", "nodes"),
            self.stored,
            self.found,
            if self.nodes > 1 { "by another node" } else { "by itself" },
            self.failed,
            self.seconds
        ))
    }

    pub(super) fn verdict(&self, values: u32) -> Result<(), Failure> {
        match self.failed {
            0 => Ok(()),
            failed => Err(Failure::CheckFailed(format!("the check failed for {failed} of {values} values"))),
        }
    }
}

/// A value that differs from every other.
fn value(number: usize) -> Vec<u8> {
    let len = LENGTHS[number % LENGTHS.len()];
    (0..len).map(|at| (at * 31 + at / 251 + number * 7) as u8).collect()
}

fn key(number: usize) -> Key {
    Key::hash(format!("kad dev value {number}"))
}

/// Stores each value through one node and reads it through another.
pub(super) async fn run(args: &Dev, members: Vec<Member>, start: Instant) -> Result<Report, Failure> {
    let (values, quiet, http) = (args.values as usize, args.output.json, Http::new());
    let expected = members.len().min(args.k.into());
    let addresses: Vec<_> = members.iter().map(|member| member.http).collect();
    let puts = run_all(values, "storing", quiet, |number| {
        let (http, at) = (http.clone(), addresses[number % addresses.len()]);
        move || http.put(at, key(number), &value(number))
    })
    .await;
    let gets = run_all(values, "reading", quiet, |number| {
        let (http, at) = (http.clone(), addresses[(number + addresses.len() / 2) % addresses.len()]);
        move || http.get(at, key(number)).map(|bytes| usize::from(bytes == value(number)))
    })
    .await;
    let is_stored = |put: &(Option<usize>, f64)| put.0.is_some_and(|copies| copies >= expected);
    let is_found = |get: &(Option<usize>, f64)| get.0 == Some(1);
    let both = puts.iter().zip(&gets).filter(|(put, get)| is_stored(put) && is_found(get)).count();
    Ok(Report {
        nodes: members.len(),
        stored: puts.iter().filter(|put| is_stored(put)).count(),
        found: gets.iter().filter(|get| is_found(get)).count(),
        failed: values - both,
        copies: Spread::of(puts.iter().filter_map(|put| put.0).map(|copies| copies as f64).collect()),
        put_milliseconds: Spread::of(puts.iter().map(|put| put.1).collect()),
        get_milliseconds: Spread::of(gets.iter().map(|get| get.1).collect()),
        seconds: start.elapsed().as_secs_f64(),
        bootstrap: members.first().map_or(String::new(), |member| member.address.to_string()),
        members,
    })
}

/// Runs a call for each number, some in parallel. Returns each result and its milliseconds, in order.
async fn run_all<F>(
    count: usize,
    what: &'static str,
    quiet: bool,
    call: impl Fn(usize) -> F,
) -> Vec<(Option<usize>, f64)>
where
    F: FnOnce() -> Option<usize> + Send + 'static,
{
    let bar = progress(count, what, quiet);
    let mut results = vec![(None, 0.0); count];
    let mut running = JoinSet::new();
    let mut next = 0;
    loop {
        while next < count && running.len() < AT_A_TIME {
            let (number, call) = (next, call(next));
            running.spawn_blocking(move || {
                let start = Instant::now();
                (number, call(), start.elapsed().as_secs_f64() * 1e3)
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
