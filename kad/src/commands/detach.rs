//! `kad daemon --detach`: the same daemon in the background.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::args::Daemon;
use crate::data_dir::DataDir;
use crate::error::Failure;
use crate::log;
use crate::output;

/// The interval of checking the start.
const POLL: Duration = Duration::from_millis(20);
/// The amount of log shown if the daemon does not come up.
const TAIL: usize = 4;

/// A log file, and the offset at which a daemon's part begins.
pub(crate) struct Log {
    pub(crate) path: PathBuf,
    begins: u64,
}

impl Log {
    /// Opens the log of a daemon that is about to start, and returns it with the file for its standard error.
    pub(crate) fn open(path: PathBuf) -> Result<(Self, File), Failure> {
        let file = log::append(&path)?;
        let begins = file.metadata().map_or(0, |metadata| metadata.len());
        Ok((Self { path, begins }, file))
    }

    /// Returns the daemon's last lines.
    fn tail(&self) -> String {
        let mut text = Vec::new();
        // Without a log there is nothing to show.
        let _ = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.begins))?;
            file.read_to_end(&mut text)
        });
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

/// Starts this program again without `--detach`, and waits until commands can reach it.
pub(crate) async fn run(args: &Daemon) -> Result<(), Failure> {
    let data_dir = DataDir::new(args.data_dir.clone())?;
    data_dir.create()?;
    // The control file of an earlier daemon must not be mistaken for that of the new one.
    drop(data_dir.lock()?);
    data_dir.remove_control();
    let (log, stderr) = Log::open(args.log_file.clone().unwrap_or_else(|| data_dir.log()))?;
    let mut child = spawn(&log.path, stderr).map_err(Failure::System)?;
    wait_until_up(&mut child, &data_dir, &log).await?;
    output::remark(&format!("up, process {}, log in {}", child.id(), log.path.display()));
    Ok(())
}

/// Waits until commands can reach a daemon that was just started, or until it has ended.
pub(crate) async fn wait_until_up(child: &mut Child, data_dir: &DataDir, log: &Log) -> Result<(), Failure> {
    loop {
        if data_dir.read_control().is_ok_and(|control| control.pid == child.id()) {
            return Ok(());
        }
        if let Some(status) = child.try_wait().map_err(Failure::System)? {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Err(Failure::NotUp { log: format!("{status}\n{}", log.tail()), code });
        }
        tokio::time::sleep(POLL).await;
    }
}

fn spawn(log: &Path, stderr: File) -> std::io::Result<Child> {
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != "--detach");
    let mut command = Command::new(std::env::current_exe()?);
    // The daemon reopens the log on SIGHUP; standard error catches output outside the log.
    command.args(arguments).env("KAD_LOG_FILE", log).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    // A session of its own would take a system call that the standard library lacks; a group of its own is enough that
    // Ctrl-C in the terminal does not reach it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn()
}
