//! One node: a daemon on its host.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kad_netns::Host;
use kad_tokio::NodeId;
use rustix::process::{Pid, Signal, kill_process};

use super::super::http::Http;
use super::super::member::Member;
use super::{PORT, forward};
use crate::commands::detach;
use crate::data_dir::DataDir;
use crate::error::Failure;

/// The time limit for a daemon to reach its network, and to stop.
const PATIENCE: Duration = Duration::from_secs(120);
/// The interval of checking that.
const POLL: Duration = Duration::from_millis(50);

/// A node, up or down.
pub(super) struct Node {
    number: usize,
    id: NodeId,
    host: Arc<Host>,
    address: SocketAddr,
    http: SocketAddr,
    data_dir: DataDir,
    flags: Vec<String>,
    daemon: Option<(Child, detach::Log)>,
}

impl Node {
    /// Returns a node that is not running yet, with its HTTP server forwarded to loopback of this process.
    pub(super) async fn new(
        number: usize,
        host: Host,
        address: SocketAddr,
        directory: PathBuf,
        flags: Vec<String>,
    ) -> Result<Self, Failure> {
        let data_dir = DataDir::new(Some(directory))?;
        data_dir.create()?;
        let (id, host) = (data_dir.identity()?, Arc::new(host));
        let http = forward::start(host.clone(), ([127, 0, 0, 1], PORT).into()).await?;
        Ok(Self { number, id, host, address, http, data_dir, flags, daemon: None })
    }

    pub(super) const fn number(&self) -> usize {
        self.number
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn member(&self) -> Member {
        Member {
            number: self.number,
            id: self.id,
            up: self.daemon.is_some(),
            address: self.address,
            http: self.http,
            data_dir: Some(self.data_dir.path().into()),
            namespace: Some(self.host.namespace().to_owned()),
        }
    }

    /// Starts its daemon, unless it runs.
    pub(super) fn spawn(&mut self) -> Result<(), Failure> {
        if self.daemon.is_some() {
            return Ok(());
        }
        // Left by a killed daemon.
        self.data_dir.remove_control();
        let (log, file) = detach::Log::open(self.data_dir.log())?;
        let daemon = self.command()?.stderr(file).spawn().map_err(Failure::System)?;
        self.daemon = Some((daemon, log));
        Ok(())
    }

    fn command(&self) -> Result<Command, Failure> {
        let program = std::env::current_exe().map_err(Failure::System)?;
        let mut command = self.host.command(&program.to_string_lossy(), &["daemon"]);
        command.arg("--data-dir").arg(self.data_dir.path()).args(&self.flags);
        // The configuration file of the user is for another node.
        command.env("XDG_CONFIG_HOME", self.data_dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        // Ctrl-C is for this process, which stops its daemons.
        command.process_group(0);
        Ok(command)
    }

    /// Waits until the daemon accepts commands.
    pub(super) async fn wait_until_up(&mut self) -> Result<(), Failure> {
        match &mut self.daemon {
            Some((daemon, log)) => detach::wait_until_up(daemon, &self.data_dir, log).await,
            None => Err(self.failure("it is down")),
        }
    }

    /// Waits until the daemon reports that it reaches its network.
    pub(super) async fn wait_until_ready(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (http, at) = (Http::new(), self.http);
            let is_ready = tokio::task::spawn_blocking(move || http.is_ready(at)).await;
            match is_ready.map_err(|error| Failure::System(error.into()))? {
                true => return Ok(()),
                false if Instant::now() > deadline => return Err(self.failure("it reaches no other node")),
                false => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Kills the daemon, as a crash would.
    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        let Some((mut daemon, _)) = self.daemon.take() else { return Ok(()) };
        daemon.kill().and_then(|()| daemon.wait()).map(drop).map_err(Failure::System)
    }

    /// Tells the daemon to leave.
    pub(super) fn terminate(&self) -> Result<(), Failure> {
        let Some((daemon, _)) = &self.daemon else { return Ok(()) };
        kill_process(Pid::from_child(daemon), Signal::TERM).map_err(|error| Failure::System(error.into()))
    }

    /// Waits until the daemon that was told to leave has left.
    pub(super) async fn wait_until_down(&mut self) -> Result<(), Failure> {
        let Some((daemon, _)) = &mut self.daemon else { return Ok(()) };
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match daemon.try_wait().map_err(Failure::System)? {
                Some(status) => break status,
                None if Instant::now() > deadline => return Err(self.failure("it does not stop")),
                None => tokio::time::sleep(POLL).await,
            }
        };
        self.daemon = None;
        match status.success() {
            true => Ok(()),
            false => Err(self.failure(&format!("it ended with {status}"))),
        }
    }

    fn failure(&self, problem: &str) -> Failure {
        Failure::CheckFailed(format!("node {}: {problem}; its log: {}", self.number, self.data_dir.log().display()))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.kill();
    }
}
