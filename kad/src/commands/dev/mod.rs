//! `kad dev`: a whole network on this machine, in this process or in network namespaces.

mod check;
#[cfg(target_os = "linux")]
mod cluster;
mod http;
mod local;
mod member;

use std::time::{Duration, Instant};

use crate::args::Dev;
use crate::error::Failure;
use crate::output::{self, progress};
use crate::signals::Signals;
use check::Report;

/// The rejoin interval of the nodes: short, so that parts of a cut network meet soon after it heals.
const REJOIN_INTERVAL: Duration = Duration::from_secs(10);

pub(crate) async fn run(args: Dev) -> Result<(), Failure> {
    if args.netns { in_namespaces(&args).await } else { in_this_process(&args).await }
}

async fn in_this_process(args: &Dev) -> Result<(), Failure> {
    let start = Instant::now();
    let network = local::Local::start(args).await?;
    let report = check::run(args, network.members(), start).await?;
    let mut signals = Signals::catch()?;
    report.print(args.output.json)?;
    if !args.once {
        invite(args, &report);
        signals.next().await;
    }
    network.end().await?;
    report.verdict(args.values)
}

#[cfg(target_os = "linux")]
async fn in_namespaces(args: &Dev) -> Result<(), Failure> {
    let start = Instant::now();
    let mut cluster = cluster::Cluster::start(args).await?;
    let report = check::run(args, cluster.members(), start).await?;
    let mut signals = Signals::catch()?;
    report.print(args.output.json)?;
    if !args.once {
        invite(args, &report);
        tokio::select! {
            _ = signals.next() => {}
            ended = cluster::orders::follow(&mut cluster, args.output.json) => ended?,
        }
    }
    report.verdict(args.values)
}

#[cfg(not(target_os = "linux"))]
async fn in_namespaces(_: &Dev) -> Result<(), Failure> {
    Err(Failure::Setting("--netns: only Linux has network namespaces".into()))
}

/// Prints what the user can do with the network.
fn invite(args: &Dev, report: &Report) {
    let Some(first) = report.members.first().filter(|_| !args.output.json) else { return };
    output::remark("\nThe network is up; Ctrl-C stops it. Try:");
    output::remark(&format!("  http://{}/ in a browser: put, get, watch lookups", first.http));
    output::remark(&format!("  curl -i -d value=hello http://{}/", first.http));
    match &first.namespace {
        Some(_) => output::remark("  kill 1, restart 2-4, partition 0-4, heal, loss 5%, or help"),
        None => {
            output::remark(&format!("  kad put hello --bootstrap {}", first.address));
            output::remark(&format!("  kad lookup --name anything --trace --bootstrap {}", first.address));
        }
    }
}
