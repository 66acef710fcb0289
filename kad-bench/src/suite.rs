//! What is measured together.

use crate::apart::apart;
use crate::args::Measure;
use crate::compared::Compared;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::progress::Progress;
use crate::results::Results;
use crate::{bulk, cluster, disk, gateway, idle, serve, values, workers};

/// A suite, by its name on the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Suite {
    Serve,
    Workers,
    Cluster,
    Values,
    Gateway,
    Disk,
    Bulk,
    Idle,
    /// One implementation, or all of them.
    Peers {
        only: Option<String>,
    },
    All,
}

/// What `all` runs, each in a process of its own: memory that one suite has left would hide what the next one takes.
const ALL: [&str; 8] = ["serve", "workers", "cluster", "values", "gateway", "disk", "bulk", "idle"];

impl Suite {
    pub(crate) fn run(self, measure: &Measure) -> Result<Results, Failure> {
        let mut results = Results::new(Machine::here(), measure.seconds);
        let (seconds, progress) = (measure.seconds, Progress::new());
        match self {
            Self::Serve => results.serve = Some(serve::measure(seconds, &progress)?),
            Self::Workers => results.workers = Some(workers::measure(seconds, &progress)?),
            Self::Cluster => results.cluster = Some(cluster::measure(seconds, &progress)?),
            Self::Values => results.values = Some(values::measure(seconds, &progress)?),
            Self::Gateway => results.gateway = Some(gateway::measure(seconds, &progress)?),
            Self::Disk => results.disk = Some(disk::measure(&measure.directory, seconds, &progress)?),
            Self::Bulk => results.bulk = Some(bulk::measure(&progress)?),
            Self::Idle => results.idle = Some(idle::measure(seconds, &progress)?),
            Self::Peers { only } => results.peers = Some(peers(only.as_deref(), measure, &progress)?),
            Self::All => {
                drop(progress);
                let peers = cfg!(feature = "peers").then_some("peers");
                for suite in ALL.into_iter().chain(peers) {
                    // One that measured nothing must not take the others' figures along.
                    match apart(&[suite], measure) {
                        Ok(more) => results.add(more),
                        Err(failure) => results.missing.push(format!("{suite}: {failure}")),
                    }
                }
            }
        }
        Ok(results)
    }
}

/// Other implementations are there if they were asked for when this was built.
#[cfg(feature = "peers")]
fn peers(only: Option<&str>, measure: &Measure, progress: &Progress) -> Result<Compared, Failure> {
    match only {
        Some(name) => crate::peers::measure(name, measure.seconds, progress),
        None => {
            let mut peers = Vec::new();
            for name in crate::peers::NAMES {
                peers.extend(apart(&["peers", "--only", name], measure)?.peers.map_or(Vec::new(), |found| found.peers));
            }
            Ok(Compared { peers })
        }
    }
}

#[cfg(not(feature = "peers"))]
fn peers(_: Option<&str>, _: &Measure, _: &Progress) -> Result<Compared, Failure> {
    Err(Failure::NoPeers)
}
