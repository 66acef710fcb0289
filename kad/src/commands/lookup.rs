//! `kad lookup`

use super::{Peer, leave};
use crate::error::Failure;
use crate::{args, output};
use kad_http::api::{Lookup, Patience};
use kad_http::operations;

pub(crate) async fn run(args: args::Lookup) -> Result<(), Failure> {
    let key = args.key.resolve()?;
    let lookup = match Peer::of(&args.target).await? {
        Peer::Daemon(client) => client.lookup(key, &Patience { timeout: Some(args.target.timeout) })?,
        Peer::Own(dht) => {
            let lookup = operations::lookup(&dht, key).await?;
            leave(&dht).await;
            lookup
        }
    };
    if args.output.json {
        return output::json(&lookup);
    }
    if args.trace {
        trace(&lookup)?;
    } else {
        closest(&lookup)?;
    }
    output::line(&format!(
        "{} answered, {}, {}, {:.3} ms",
        output::count(lookup.closest.len(), "node", "nodes"),
        output::count(lookup.hops, "hop", "hops"),
        output::count(lookup.requests, "request", "requests"),
        lookup.milliseconds
    ))
}

fn closest(lookup: &Lookup) -> Result<(), Failure> {
    let mut table = output::table(["closest nodes", "address"]);
    for node in &lookup.closest {
        table.add_row([node.id.to_string(), node.address.to_string()]);
    }
    output::line(&table.to_string())
}

/// Prints the nodes in the order in which they were asked, with their distances.
fn trace(lookup: &Lookup) -> Result<(), Failure> {
    let mut steps: Vec<_> = lookup.trace.iter().collect();
    steps.sort_by_key(|step| step.order.unwrap_or(u16::MAX));
    let mut table = output::table(["asked", "node", "address", "shared bits", "hops", "state", "time"]);
    for step in steps {
        table.add_row([
            step.order.map_or(String::new(), |order| order.to_string()),
            output::short(&step.node.id),
            step.node.address.to_string(),
            step.node.id.distance(&lookup.target).shared_bits().to_string(),
            step.hops.to_string(),
            step.state.clone(),
            step.milliseconds.map_or(String::new(), |time| format!("{time:.3} ms")),
        ]);
    }
    output::line(&table.to_string())
}
