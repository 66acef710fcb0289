//! `kad daemon --detach`: the same daemon in the background.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::args::Daemon;
use crate::data_dir::DataDir;
use crate::error::Failure;
use crate::output;

/// Where its log goes, in the data directory.
const LOG: &str = "log";
/// How often the start is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How much of the log is shown when it does not come up.
const TAIL: usize = 4;

/// Starts this program again without `--detach`, and waits until commands can reach it.
pub(crate) async fn run(args: &Daemon) -> Result<(), Failure> {
    let data_dir = DataDir::new(args.data_dir.clone())?;
    data_dir.create()?;
    // Somebody else's control file must not be taken for the new daemon's.
    drop(data_dir.lock()?);
    data_dir.remove_control();
    let path = data_dir.path().join(LOG);
    let log = File::create(&path).map_err(|source| Failure::File { what: "write", path: path.clone(), source })?;
    let mut child = spawn(log).map_err(Failure::System)?;
    wait_until_up(&mut child, &data_dir, &path).await?;
    output::remark(&format!("up, process {}, log in {}", child.id(), path.display()));
    Ok(())
}

/// Waits until commands can reach a daemon that was just started, or until it has ended.
pub(crate) async fn wait_until_up(child: &mut Child, data_dir: &DataDir, log: &Path) -> Result<(), Failure> {
    loop {
        if data_dir.read_control().is_ok_and(|control| control.pid == child.id()) {
            return Ok(());
        }
        if let Some(status) = child.try_wait().map_err(Failure::System)? {
            return Err(Failure::NotUp(format!("{status}\n{}", tail(log))));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn spawn(log: File) -> std::io::Result<Child> {
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != "--detach");
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // A session of its own would take a system call that the standard library lacks; a group of its own is enough that
    // Ctrl-C in the terminal does not reach it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn()
}

/// The last lines of the log.
fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}
