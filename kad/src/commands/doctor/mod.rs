//! `kad doctor`: checks whether this host suits a daemon, and prints what to change.

mod disk;
mod facts;
mod host;
mod judge;
mod network;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::args::{Daemon, Doctor};
use crate::data_dir::DataDir;
use crate::error::Failure;
use crate::output;
use facts::{Facts, Wanted};

/// The severity of a finding.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// No problem.
    Ok,
    /// A daemon runs, but not as well as it could; or the check could not read the fact.
    Warn,
    /// A daemon does not start, or does not work.
    Fail,
}

/// The result of a check.
#[derive(Serialize, Debug)]
struct Finding {
    check: &'static str,
    level: Level,
    message: String,
    /// What to change.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// The JSON output.
#[derive(Serialize)]
struct Report {
    findings: Vec<Finding>,
    warnings: usize,
    failures: usize,
}

pub(crate) async fn run(args: Doctor) -> Result<(), Failure> {
    let data_dir = DataDir::new(args.daemon.data_dir.clone())?;
    let facts = read(&args.daemon, &data_dir).await;
    let findings = judge::judge(&facts);
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (warnings, failures, all) = (count(Level::Warn), count(Level::Fail), findings.len());
    if args.output.json {
        output::json(&Report { findings, warnings, failures })?;
    } else {
        findings.iter().try_for_each(show)?;
    }
    match failures {
        0 => Ok(()),
        _ => Err(Failure::CheckFailed(format!("{failures} of {all} checks failed"))),
    }
}

fn show(finding: &Finding) -> Result<(), Failure> {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Warn => "warn",
        Level::Fail => "FAIL",
    };
    output::line(&format!("{level:<5} {:<12} {}", finding.check, finding.message))?;
    finding.advice.as_ref().map_or(Ok(()), |advice| output::line(&format!("{:18} {advice}", "")))
}

/// Reads all facts from this host.
async fn read(args: &Daemon, data_dir: &DataDir) -> Facts {
    let wanted = Wanted::of(args);
    let running = network::running(data_dir);
    let udp = network::udp(&wanted, running.as_ref());
    Facts {
        sockets: network::sockets(&wanted, &udp),
        tcp: network::tcp(&wanted, running.as_ref()),
        udp,
        buffer_limits: host::buffer_limits(),
        files: host::files(),
        clock: host::clock(),
        entropy_ready: host::entropy_ready(),
        neighbours_max: host::number("/proc/sys/net/ipv4/neigh/default/gc_thresh3"),
        interfaces: host::interfaces(),
        ipv6: network::ipv6(),
        disk: disk::read(data_dir.path()),
        bootstrap: network::bootstrap(args).await,
        running,
        wanted,
    }
}
