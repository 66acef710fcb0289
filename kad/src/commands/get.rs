//! `kad get`

use std::fs;
use std::path::Path;

use kad_tokio::Key;

use super::Peer;
use super::put::millis;
use crate::api::{FindQuery, Found};
use crate::args::Get;
use crate::control::client;
use crate::error::Failure;
use crate::{input, operations, output};

pub(crate) async fn run(args: Get) -> Result<(), Failure> {
    let key = input::key_or_name(&args.key)?;
    let query = FindQuery {
        all: args.all,
        newer_than_ms: args.newer_than.map(millis),
        timeout_ms: millis(args.target.timeout),
    };
    let found = find(&args, key, &query).await?;
    let Some(first) = found.first() else { return Err(Failure::NotFound(key.to_string())) };
    match (&args.output, args.all) {
        (Some(directory), true) => {
            fs::create_dir_all(directory).map_err(|source| failure("create", directory, source))?;
            for value in &found {
                write(&directory.join(&value.digest), value)?;
            }
        }
        (Some(path), false) => write(path, first)?,
        (None, true) => {}
        (None, false) if args.json.json => {}
        (None, false) => return output::bytes(&client::bytes(first)?),
    }
    if args.json.json || (args.all && args.output.is_none()) {
        found.iter().try_for_each(output::json)?;
    }
    Ok(())
}

async fn find(args: &Get, key: Key, query: &FindQuery) -> Result<Vec<Found>, Failure> {
    match Peer::of(&args.target).await? {
        Peer::Daemon(client) => client.find(key, query),
        Peer::Own(dht) => {
            let values = operations::find(&dht, key, query).await?;
            dht.close().await?;
            Ok(values.iter().map(|value| operations::found(key, value)).collect())
        }
    }
}

fn write(path: &Path, value: &Found) -> Result<(), Failure> {
    fs::write(path, client::bytes(value)?).map_err(|source| failure("write", path, source))
}

fn failure(what: &'static str, path: &Path, source: std::io::Error) -> Failure {
    Failure::File { what, path: path.into(), source }
}
