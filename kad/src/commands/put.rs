//! `kad put`

use std::time::Duration;

use kad_tokio::{Copies, Key};

use super::{Peer, bulk, leave};
use crate::args::Put;
use crate::commands::daemon::VALUE_MAX_MAX;
use crate::error::Failure;
use crate::{input, output};
use kad_http::api::{StoreQuery, Stored};
use kad_http::operations;

/// Larger values are refused before anybody is asked: no node takes more than its own limit, which is not known here.
const READ_MAX: usize = VALUE_MAX_MAX as usize;
/// The limit of a short-lived node.
const VALUE_MAX: usize = kad_tokio::wire::limits::VALUE_MAX;

pub(crate) async fn run(args: Put) -> Result<(), Failure> {
    one_value(&args)?;
    if args.jsonl.is_some() || args.file.len() > 1 {
        return bulk::run(&args).await;
    }
    let chosen = chosen(&args)?;
    let value = match args.file.first() {
        Some(path) => input::file(path, value_max(&args))?,
        None => input::value(args.value.clone(), value_max(&args))?,
    };
    let key = chosen.unwrap_or_else(|| Key::hash(&value));
    let query = query(&args, args.ttl, chosen.is_none());
    let stored = match Peer::of(&args.target).await? {
        Peer::Daemon(client) => client.store(key, &value, &query)?,
        Peer::Own(dht) => {
            let stored = operations::store(&dht, key, value.into(), &query).await?;
            leave(&dht).await;
            stored
        }
    };
    judge(&stored, args.quorum)?;
    if args.output.json {
        return output::json(&stored);
    }
    report(&stored);
    output::line(&stored.key.to_string())
}

/// Explains what to type to those who give more than one value: mostly the first is meant as a name.
fn one_value(args: &Put) -> Result<(), Failure> {
    let (Some(first), Some(second)) = (&args.value, args.surplus.first()) else { return Ok(()) };
    let (words, quoted) =
        (args.surplus.len() + 1, quoted(&[std::slice::from_ref(first), &args.surplus[..]].concat().join(" ")));
    let mut message =
        format!("`kad put` takes one value, and here are {words}; for one of several words type: kad put {quoted}");
    if args.surplus.len() == 1 && args.key.is_none() && args.name.is_none() {
        let named = format!("kad put --name {} {}", self::quoted(first), self::quoted(second));
        message = format!("{message}\n     To store `{second}` under the name `{first}` type: {named}");
    }
    Err(Failure::Setting(message))
}

/// A text as shells take it for one word.
fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=@%+,".contains(letter);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// The key that was chosen, if any.
pub(super) fn chosen(args: &Put) -> Result<Option<Key>, Failure> {
    match (&args.key, &args.name) {
        (Some(key), _) => input::key(key).map(Some),
        (None, name) => Ok(name.as_ref().map(Key::hash)),
    }
}

/// The largest value that is read.
pub(super) fn value_max(args: &Put) -> usize {
    if args.target.bootstrap.is_empty() { READ_MAX } else { VALUE_MAX }
}

pub(super) fn query(args: &Put, ttl: Duration, content: bool) -> StoreQuery {
    let copies = args.quorum.map_or(Copies::All, Copies::AtLeast);
    StoreQuery { ttl, content, copies: Some(copies), timeout: Some(args.target.timeout) }
}

/// Whether as many nodes hold a value as was asked for.
pub(super) fn judge(stored: &Stored, quorum: Option<u8>) -> Result<(), Failure> {
    if stored.copies == 0 && quorum != Some(0) {
        return Err(Failure::StoredNowhere(reasons(stored)));
    }
    match quorum {
        Some(quorum) if stored.elsewhere < quorum.into() => {
            Err(Failure::NoQuorum { elsewhere: stored.elsewhere, quorum })
        }
        // Others are there, and none of them has it.
        None if !stored.reached && stored.elsewhere == 0 => Err(Failure::NoQuorum { elsewhere: 0, quorum: 1 }),
        _ => Ok(()),
    }
}

/// Says to people what was achieved; the key alone goes to standard output.
fn report(stored: &Stored) {
    let ttl = output::span(Duration::from_millis(stored.ttl_ms));
    let bytes = output::count(stored.bytes, "byte", "bytes");
    if stored.elsewhere == 0 {
        let why = if stored.ended { reasons(stored) } else { "others are still being asked".into() };
        output::remark(&format!("{bytes}, stored here only ({why}): lost with this daemon unless others take it"));
        return;
    }
    let more = if stored.ended { "" } else { ", more under way" };
    output::remark(&format!("{bytes}, {}{more}, for {ttl}", output::count(stored.copies, "copy", "copies")));
    for refused in &stored.refused {
        output::remark(&format!("refused by {}: {:?}", refused.node.address, refused.reason));
    }
    if !stored.silent.is_empty() {
        output::remark(&format!("{} did not answer", output::count(stored.silent.len(), "node", "nodes")));
    }
}

fn reasons(stored: &Stored) -> String {
    match (stored.refused.first(), stored.silent.len()) {
        (Some(refused), _) => {
            let nodes = output::count(stored.refused.len(), "node", "nodes");
            format!("{nodes} refused, {:?} for one", refused.reason)
        }
        (None, 0) if stored.complete => "no other node is known".into(),
        (None, 0) => "no node of the network answers".into(),
        (None, silent) => format!("{} did not answer", output::count(silent, "node", "nodes")),
    }
}
