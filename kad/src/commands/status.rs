//! `kad status`

use std::time::Duration;

use bytesize::ByteSize;

use super::Peer;
use crate::error::Failure;
use crate::{args, output};
use kad_http::{api, operations};

pub(crate) async fn run(args: args::Status) -> Result<(), Failure> {
    let status = match Peer::of(&args.target).await? {
        Peer::Daemon(client) => client.status()?,
        Peer::Own(dht) => operations::status(&dht).await?,
    };
    if args.output.json { output::json(&status) } else { report(&status) }
}

fn report(status: &api::Status) -> Result<(), Failure> {
    let listens = status.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let observed = status.observed.map_or("unknown".into(), |address| address.to_string());
    let state = match (status.joined, status.contacts, status.remembered) {
        (false, ..) => "not in the network".into(),
        (true, 0, 0) => "alone, waiting for other nodes".into(),
        (true, 0, known) => {
            let nodes = output::count(known, "node", "nodes");
            format!("alone, waiting for other nodes; no answer yet from the {nodes} saved at the last run")
        }
        (true, ..) => "in the network".into(),
    };
    if let Some(duplicate) = &status.duplicate {
        let seen = output::span(Duration::from_secs_f64(duplicate.idle_seconds));
        output::line(&format!(
            "{:<12} another node has this id, at {}, seen {seen} ago: stop one of the two",
            "duplicate", duplicate.address
        ))?;
    }
    let count = |name: &str| status.counters.get(name).copied().unwrap_or(0);
    let rows = [
        ("state", format!("{state}, up {}", output::span(Duration::from_secs_f64(status.uptime_seconds)))),
        ("id", status.id.to_string()),
        ("listens on", listens),
        ("seen as", observed),
        ("contacts", format!("{} in {} buckets", status.contacts, status.buckets)),
        ("holds", format!("{} values, {}", status.items, ByteSize::b(status.bytes))),
        ("largest", format!("{} a value", ByteSize::b(status.value_max as u64))),
        ("evicted", status.evicted.to_string()),
        ("store", format!("{} failures", count("store_failed"))),
        ("under way", format!("{} operations, {} transfers", status.operations, status.transfers)),
        ("datagrams", format!("{} in, {} out", count("datagrams_in"), count("datagrams_out"))),
        (
            "bytes",
            format!("{} in, {} out", ByteSize::b(count("socket_bytes_in")), ByteSize::b(count("socket_bytes_out"))),
        ),
        ("send errors", count("socket_send_errors").to_string()),
        ("small paths", format!("found {} times", count("small_paths"))),
        (
            "buffers",
            format!(
                "{} in, {} out for each of {}; {} requested",
                ByteSize::b(status.receive_buffer as u64),
                ByteSize::b(status.send_buffer as u64),
                output::count(status.workers, "worker", "workers"),
                ByteSize::b(status.buffer_wanted as u64)
            ),
        ),
        ("process", format!("{}, kad {}", status.pid, status.version)),
    ];
    for (name, value) in rows {
        output::line(&format!("{name:<12} {value}"))?;
    }
    Ok(())
}
