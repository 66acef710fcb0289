//! `kad stop`

use std::time::{Duration, Instant};

use serde_json::json;

use super::Peer;
use crate::args::Stop;
use crate::client::{Client, Place};
use crate::data_dir::{ControlFile, DataDir};
use crate::error::Failure;
use crate::output;

/// The interval of checking for the end.
const POLL: Duration = Duration::from_millis(20);

pub(crate) async fn run(args: Stop) -> Result<(), Failure> {
    let Peer::Daemon(client) = Peer::of(&args.target).await? else {
        return Err(Failure::Setting("`kad stop` needs a data directory or --api: omit --bootstrap".into()));
    };
    let deadline = Instant::now() + args.target.timeout;
    let pid = match Place::of(&args.target)? {
        Place::Here(data_dir) => {
            let stopped = data_dir.read_control()?;
            let pid = client.stop()?.pid;
            wait(deadline, || is_up(&data_dir, &stopped)).await?;
            pid
        }
        Place::Elsewhere { .. } => {
            // Another daemon may start at once: it has a shorter uptime.
            let before = client.status()?.uptime_seconds;
            let pid = client.stop()?.pid;
            wait(deadline, || answers(&client, before)).await?;
            output::remark("the daemon no longer answers; it may still hand values over (its --leave-timeout)");
            pid
        }
    };
    if args.output.json { output::json(&json!({ "pid": pid, "stopped": true })) } else { Ok(()) }
}

async fn wait(deadline: Instant, is_up: impl Fn() -> bool) -> Result<(), Failure> {
    while is_up() {
        if Instant::now() > deadline {
            return Err(Failure::Timeout);
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Returns whether a remote daemon, with this uptime before, still answers.
fn answers(client: &Client, before: f64) -> bool {
    client.status().is_ok_and(|status| status.uptime_seconds >= before)
}

/// Returns whether the daemon still runs. It removes its control file last, and its lock ends with the process. Another
/// daemon may start at once.
fn is_up(data_dir: &DataDir, stopped: &ControlFile) -> bool {
    match data_dir.read_control() {
        Ok(control) => control.token == stopped.token,
        Err(_) => matches!(data_dir.lock(), Err(Failure::AlreadyRunning(_))),
    }
}
