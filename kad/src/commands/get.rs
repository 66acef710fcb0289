//! `kad get`

use std::fs;
use std::path::Path;

use kad_tokio::{ItemType, Key};

use super::{Peer, leave};
use crate::args::Get;
use crate::client;
use crate::error::Failure;
use crate::output;
use kad_http::api::{FindQuery, Found, FoundAll};
use kad_http::operations;

pub(crate) async fn run(args: Get) -> Result<(), Failure> {
    let key = args.key.resolve()?;
    let query = FindQuery {
        all: args.all,
        // The hash of a name is not the hash of the value stored there.
        item_type: args.key.name.as_ref().map(|_| ItemType::RAW),
        newer_than: args.newer_than,
        timeout: Some(args.target.timeout),
    };
    let FoundAll { values, incomplete } = find(&args, key, &query).await?;
    let Some(first) = values.first() else { return Err(Failure::NotFound(key.to_string())) };
    show(&args, first, &values)?;
    incomplete.map_or(Ok(()), |why| Err(Failure::Incomplete(why)))
}

fn show(args: &Get, first: &Found, values: &[Found]) -> Result<(), Failure> {
    match (&args.output, args.all) {
        (Some(directory), true) => {
            fs::create_dir_all(directory).map_err(|source| failure("create", directory, source))?;
            let bar = output::progress(values.len(), "writing", args.json.json);
            for value in values {
                write(&directory.join(&value.digest), value)?;
                bar.inc(1);
            }
            bar.finish_and_clear();
        }
        (Some(path), false) => write(path, first)?,
        (None, true) => {}
        (None, false) if args.json.json => {}
        (None, false) => return output::bytes(&client::bytes(first)?),
    }
    if args.json.json || (args.all && args.output.is_none()) {
        values.iter().try_for_each(output::json)?;
    }
    Ok(())
}

async fn find(args: &Get, key: Key, query: &FindQuery) -> Result<FoundAll, Failure> {
    match Peer::of(&args.target).await? {
        Peer::Daemon(client) => client.find(key, query),
        Peer::Own(dht) => {
            let found = operations::find(&dht, key, query).await?;
            leave(&dht).await;
            Ok(found)
        }
    }
}

fn write(path: &Path, value: &Found) -> Result<(), Failure> {
    fs::write(path, client::bytes(value)?).map_err(|source| failure("write", path, source))
}

fn failure(what: &'static str, path: &Path, source: std::io::Error) -> Failure {
    Failure::File { what, path: path.into(), source }
}
