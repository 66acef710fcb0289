//! `kad stop`

use std::time::{Duration, Instant};

use serde_json::json;

use super::Peer;
use crate::args::Stop;
use crate::data_dir::{ControlFile, DataDir};
use crate::error::Failure;
use crate::output;

/// How often the end is looked for.
const POLL: Duration = Duration::from_millis(20);

pub(crate) async fn run(args: Stop) -> Result<(), Failure> {
    let Peer::Daemon(client) = Peer::of(&args.target).await? else {
        return Err(Failure::Setting("a daemon is stopped through its data directory: leave --bootstrap out".into()));
    };
    let data_dir = DataDir::new(args.target.data_dir)?;
    let stopped = data_dir.read_control()?;
    client.stop()?;
    let deadline = Instant::now() + args.target.timeout;
    while is_up(&data_dir, &stopped) {
        if Instant::now() > deadline {
            return Err(Failure::Timeout);
        }
        tokio::time::sleep(POLL).await;
    }
    if args.output.json { output::json(&json!({ "pid": stopped.pid, "stopped": true })) } else { Ok(()) }
}

/// Whether the daemon is still there. It removes its control file last; its lock goes with the process. Another may take its
/// place at once.
fn is_up(data_dir: &DataDir, stopped: &ControlFile) -> bool {
    match data_dir.read_control() {
        Ok(control) => control.token == stopped.token,
        Err(_) => matches!(data_dir.lock(), Err(Failure::AlreadyRunning(_))),
    }
}
