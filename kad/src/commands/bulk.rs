//! `kad put` of many values: sent to the daemon in batches, because values for the same nodes share datagrams.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytesize::ByteSize;
use kad_http::api::{BATCH_BYTES, StoreQuery, Stored, type_name};
use kad_http::operations;
use kad_tokio::wire::limits::TTL_MAX_MS;
use kad_tokio::{ItemType, Key};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::put::{chosen, judge, query, value_max};
use super::{Peer, leave};
use crate::args::Put;
use crate::error::Failure;
use crate::{input, output};

/// Values per batch: enough that several go to the same nodes, few enough that the progress bar moves.
const BATCH: usize = 256;

/// A value to store.
struct Item {
    /// Its name in the output.
    label: Option<String>,
    key: Key,
    value: Vec<u8>,
    content: bool,
    ttl: Duration,
}

pub(super) async fn run(args: &Put) -> Result<(), Failure> {
    let start = Instant::now();
    // Everything is read and checked before anything is stored.
    let items = match &args.jsonl {
        Some(path) => lines(args, path)?,
        None => files(args)?,
    };
    let peer = Peer::of(&args.target).await?;
    check_lengths(&items, &peer)?;
    let (stored, failure) = store(args, &items, &peer).await;
    if let Peer::Own(dht) = &peer {
        leave(dht).await;
    }
    report(args, &items, &stored, start)?;
    if failure.is_some() {
        output::remark(&format!("{} of {} values were stored before the failure", stored.len(), items.len()));
    }
    failure.map_or_else(|| judge_all(args, &stored), Err)
}

/// Each file is a value, under its own hash if no key was chosen.
fn files(args: &Put) -> Result<Vec<Item>, Failure> {
    let chosen = chosen(args)?;
    let item = |path: &std::path::PathBuf| {
        let value = input::file(path, value_max(args))?;
        let key = chosen.unwrap_or_else(|| Key::hash(&value));
        Ok(Item { label: Some(path.display().to_string()), key, value, content: chosen.is_none(), ttl: args.ttl })
    };
    args.file.iter().map(item).collect()
}

/// A line, written by hand or printed by `kad get --all`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    text: Option<String>,
    /// In base 64.
    value: Option<String>,
    key: Option<String>,
    name: Option<String>,
    ttl: Option<String>,
    ttl_ms: Option<u64>,
    #[serde(rename = "type")]
    item_type: Option<String>,
    // Fields that follow from others, or that the daemon decides.
    #[serde(rename = "digest")]
    _digest: Option<IgnoredAny>,
    #[serde(rename = "bytes")]
    _bytes: Option<IgnoredAny>,
    #[serde(rename = "origin")]
    _origin: Option<IgnoredAny>,
    #[serde(rename = "age_ms")]
    _age_ms: Option<IgnoredAny>,
}

fn lines(args: &Put, path: &Path) -> Result<Vec<Item>, Failure> {
    let text = match path.to_str() {
        Some("-") => std::io::read_to_string(std::io::stdin()).map_err(Failure::Stdin)?,
        _ => fs::read_to_string(path).map_err(|source| Failure::File { what: "read", path: path.into(), source })?,
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let item = |(at, line): (usize, &str)| {
        let wrong = |message| Failure::Line { path: path.into(), line: at + 1, message };
        let line = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        item(line, args.ttl).map_err(wrong)
    };
    let items: Vec<Item> = lines.map(item).collect::<Result<_, _>>()?;
    match items.is_empty() {
        true => Err(Failure::Line { path: path.into(), line: 1, message: "the file contains no value".into() }),
        false => Ok(items),
    }
}

/// Parses a line.
fn item(line: Line, default_ttl: Duration) -> Result<Item, String> {
    let value = match (line.text, line.value) {
        (Some(text), None) => text.into_bytes(),
        (None, Some(text)) => {
            BASE64_STANDARD.decode(&text).map_err(|error| format!("value: invalid base 64: {error}"))?
        }
        _ => return Err("give either `text`, or `value` in base 64".into()),
    };
    let key = match (line.key, line.name) {
        (Some(text), None) => Some(text.parse::<Key>().map_err(|error| format!("key: {error}"))?),
        (None, name) => name.map(Key::hash),
        _ => return Err("give either `key` or `name`".into()),
    };
    let hash = Key::hash(&value);
    let is_content = match line.item_type.as_deref() {
        None => key.is_none(),
        Some(name) if name == type_name(ItemType::RAW) => false,
        Some(name) if name == type_name(ItemType::CONTENT) && key.is_none_or(|key| key == hash) => true,
        Some(name) if name == type_name(ItemType::CONTENT) => return Err("the key is not the hash of the value".into()),
        Some(name) => return Err(format!("type: `{name}` cannot be stored, only raw and content")),
    };
    let ttl = match (line.ttl, line.ttl_ms) {
        (Some(text), _) => humantime::parse_duration(&text).map_err(|error| format!("ttl: {error}"))?,
        (None, Some(ms)) => Duration::from_millis(ms),
        (None, None) => default_ttl,
    };
    if !(1..=TTL_MAX_MS.into()).contains(&ttl.as_millis()) {
        return Err("ttl: a value lives from a millisecond to seven days".into());
    }
    Ok(Item { label: None, key: key.unwrap_or(hash), value, content: is_content, ttl })
}

/// Checks the sizes against the daemon's own limit first, so that nothing is stored unless everything can be.
fn check_lengths(items: &[Item], peer: &Peer) -> Result<(), Failure> {
    let max = match peer {
        Peer::Daemon(client) => client.status()?.value_max,
        Peer::Own(dht) => dht.value_max().min(kad_tokio::wire::limits::VALUE_MAX),
    };
    match items.iter().find(|item| item.value.len() > max) {
        Some(large) => Err(Failure::TooLarge { len: large.value.len(), max }),
        None => Ok(()),
    }
}

/// Stores all values, and returns their results by position: of all, or of those before a failure.
async fn store(args: &Put, items: &[Item], peer: &Peer) -> (BTreeMap<usize, Stored>, Option<Failure>) {
    let bar = output::progress(items.len(), "storing", args.output.json);
    let mut results = BTreeMap::new();
    for places in batches(items) {
        let Some(first) = places.first().map(|&place| &items[place]) else { continue };
        let query = query(args, first.ttl, first.content);
        let values = places.iter().map(|&place| (items[place].key, items[place].value.clone())).collect();
        match send(peer, values, &query).await {
            Ok(stored) => {
                bar.inc(stored.len() as u64);
                results.extend(places.into_iter().zip(stored));
            }
            Err(failure) => {
                bar.abandon();
                return (results, Some(failure));
            }
        }
    }
    bar.finish_and_clear();
    (results, None)
}

async fn send(peer: &Peer, values: Vec<(Key, Vec<u8>)>, query: &StoreQuery) -> Result<Vec<Stored>, Failure> {
    match peer {
        Peer::Daemon(client) => client.store_many(&values, query),
        Peer::Own(dht) => {
            let values = values.into_iter().map(|(key, value)| (key, value.into())).collect();
            Ok(operations::store_many(dht, values, query).await?)
        }
    }
}

/// Groups the items into batches of the same lifetime and kind.
fn batches(items: &[Item]) -> Vec<Vec<usize>> {
    let mut alike: BTreeMap<(Duration, bool), Vec<usize>> = BTreeMap::new();
    for (place, item) in items.iter().enumerate() {
        alike.entry((item.ttl, item.content)).or_default().push(place);
    }
    let mut batches = Vec::new();
    for places in alike.into_values() {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for place in places {
            let len = items[place].value.len();
            if batch.len() == BATCH || (!batch.is_empty() && bytes + len > BATCH_BYTES) {
                batches.push(std::mem::take(&mut batch));
                bytes = 0;
            }
            batch.push(place);
            bytes += len;
        }
        batches.push(batch);
    }
    batches
}

fn report(args: &Put, items: &[Item], stored: &BTreeMap<usize, Stored>, start: Instant) -> Result<(), Failure> {
    for (&place, stored) in stored {
        match &items[place].label {
            _ if args.output.json => output::json(stored)?,
            Some(label) => output::line(&format!("{}  {label}", stored.key))?,
            None => output::line(&stored.key.to_string())?,
        }
    }
    if args.output.json {
        return Ok(());
    }
    let bytes: usize = stored.values().map(|stored| stored.bytes).sum();
    let copies = stored.values().map(|stored| stored.copies).min().unwrap_or_default();
    output::remark(&format!(
        "{}, {}, {} each or more, {}",
        output::count(stored.len(), "value", "values"),
        ByteSize::b(bytes as u64),
        output::count(copies, "copy", "copies"),
        output::span(start.elapsed())
    ));
    Ok(())
}

/// Returns whether each value has the requested number of holders.
fn judge_all(args: &Put, stored: &BTreeMap<usize, Stored>) -> Result<(), Failure> {
    let failures: Vec<_> = stored.values().filter_map(|stored| judge(stored, args.quorum).err()).collect();
    match failures.first() {
        Some(first) => Err(Failure::Bulk { failed: failures.len(), all: stored.len(), first: first.to_string() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BATCH, BATCH_BYTES, Item, batches, item};
    use kad_tokio::Key;

    fn of(len: usize, seconds: u64) -> Item {
        let (key, ttl) = (Key::hash("x"), Duration::from_secs(seconds));
        Item { label: None, key, value: vec![0; len], content: false, ttl }
    }

    #[test]
    fn batches_have_one_lifetime_and_bounds() {
        let many: Vec<_> = (0..2 * BATCH + 1).map(|at| of(1, at as u64 % 2)).collect();
        let lengths: Vec<_> = batches(&many).iter().map(Vec::len).collect();
        assert_eq!(lengths, [BATCH, 1, BATCH]);
        let large = [of(BATCH_BYTES - 1, 1), of(1, 1), of(1, 1), of(2 * BATCH_BYTES, 1), of(0, 1)];
        assert_eq!(batches(&large), [vec![0, 1], vec![2], vec![3], vec![4]]);
    }

    #[test]
    fn a_line_means_a_value_with_a_key() {
        let read = |text: &str| item(serde_json::from_str(text).unwrap(), Duration::from_secs(60));
        let plain = read(r#"{"text": "abc"}"#).unwrap();
        assert!(plain.content && plain.key == Key::hash("abc") && plain.ttl == Duration::from_secs(60));
        let named = read(r#"{"value": "YWJj", "name": "n", "ttl": "2h"}"#).unwrap();
        assert_eq!((&named.value[..], named.key, named.content), (&b"abc"[..], Key::hash("n"), false));
        assert_eq!(named.ttl, Duration::from_secs(7200));
        for (text, says) in [
            ("{}", "either `text`"),
            (r#"{"text": "a", "value": "YQ=="}"#, "either `text`"),
            (r#"{"value": "?"}"#, "base 64"),
            (r#"{"text": "a", "key": "12"}"#, "key:"),
            (r#"{"text": "a", "key": "12", "name": "b"}"#, "either `key`"),
            (r#"{"text": "a", "ttl": "soon"}"#, "ttl:"),
            (r#"{"text": "a", "ttl": "8days"}"#, "seven days"),
            (r#"{"text": "a", "ttl_ms": 0}"#, "seven days"),
            (r#"{"text": "a", "name": "b", "type": "content"}"#, "not the hash"),
            (r#"{"text": "a", "type": "type 9"}"#, "cannot be stored"),
        ] {
            let message = read(text).err().unwrap_or_default();
            assert!(message.contains(says), "{text}: {message}");
        }
    }
}
