//! Daemons and commands as processes.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod network;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub(crate) fn kad() -> Command {
    program(env!("CARGO_BIN_EXE_kad"))
}

/// Any program, without the settings for kad of the user who runs these tests.
pub(crate) fn program(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("KAD_")) {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

/// Runs a command with these bytes as standard input.
pub(crate) fn run_with(input: &[u8], arguments: &[&str]) -> Output {
    let mut child = kad()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kad starts");
    // A command that reads nothing closes the pipe.
    let _ = child.stdin.take().expect("piped").write_all(input);
    child.wait_with_output().expect("kad ends")
}

pub(crate) fn run(arguments: &[&str]) -> Output {
    run_with(b"", arguments)
}

/// Runs a command that must succeed. Answers with what it printed.
pub(crate) fn succeed(arguments: &[&str]) -> Vec<u8> {
    let output = run(arguments);
    let (status, stderr) = (output.status, String::from_utf8_lossy(&output.stderr));
    assert!(status.success(), "kad {arguments:?}: {status}: {stderr}");
    output.stdout
}

pub(crate) fn json(arguments: &[&str]) -> Value {
    serde_json::from_slice(&succeed(arguments)).expect("one JSON value")
}

/// Runs a command that must fail. Answers with its exit status and what it told the user.
pub(crate) fn fail(arguments: &[&str]) -> (i32, String) {
    fail_with(b"", arguments)
}

pub(crate) fn fail_with(input: &[u8], arguments: &[&str]) -> (i32, String) {
    let output = run_with(input, arguments);
    assert!(output.stdout.is_empty(), "a failure prints nothing to standard output");
    (output.status.code().expect("no signal"), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// An address of loopback that nobody has, for UDP and TCP. Its port is none that a system gives out by itself, so nobody who
/// asks for any port gets it before it is used.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let apart = (std::process::id() as u16).wrapping_mul(101).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let address = SocketAddr::from(([127, 0, 0, 1], 10_000 + apart % 20_000));
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// A daemon as a process, killed when dropped.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) directory: TempDir,
    pub(crate) address: SocketAddr,
    /// Where it serves HTTP.
    pub(crate) http: SocketAddr,
}

impl Daemon {
    /// Starts a daemon and waits until it can be reached.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary directory"), arguments)
    }

    /// Starts a daemon at an address.
    pub(crate) fn start_at(listen: &str, arguments: &[&str]) -> Self {
        Self::spawn(listen, tempfile::tempdir().expect("a temporary directory"), arguments)
    }

    /// Starts a daemon in a directory that one may have used before.
    pub(crate) fn start_in(directory: TempDir, arguments: &[&str]) -> Self {
        Self::spawn("127.0.0.1:0", directory, arguments)
    }

    fn spawn(listen: &str, directory: TempDir, arguments: &[&str]) -> Self {
        let mut child = kad()
            .args(["daemon", "--listen", listen, "--data-dir"])
            .arg(directory.path())
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let log = child.stderr.take().expect("piped");
        let mut lines = BufReader::new(log).lines();
        let up = lines.find_map(|line| {
            let line = line.expect("text");
            let address = |name| line.split(name).nth(1)?.split_whitespace().next()?.parse().ok();
            Some((address("listen=")?, address("http=")?))
        });
        // The log must be read on, or the daemon would block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let (address, http) = up.expect("the daemon says where it listens");
        Self { child, directory, address, http }
    }

    /// Starts a daemon that joins through another.
    pub(crate) fn join(other: &Self) -> Self {
        let daemon = Self::start(&["--bootstrap", &other.address.to_string()]);
        daemon.wait_for("contacts", |count| count > 0);
        daemon
    }

    pub(crate) fn dir(&self) -> &str {
        self.path().to_str().expect("a plain path")
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn status(&self) -> Value {
        json(&["status", "--json", "--data-dir", self.dir()])
    }

    /// Asks its HTTP server. Answers with the status and the body.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
        let request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.http));
        let mut answer = agent.run(request.body(body).expect("a request")).expect("the daemon answers");
        (answer.status().as_u16(), answer.body_mut().read_to_vec().expect("a whole answer"))
    }

    /// Waits until a number of the status is as expected.
    pub(crate) fn wait_for(&self, name: &str, expected: impl Fn(u64) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let status = self.status();
            if status[name].as_u64().is_some_and(&expected) {
                return;
            }
            assert!(Instant::now() < deadline, "{name} is still {}", status[name]);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as a crash would. Answers with its directory.
    pub(crate) fn crash(mut self) -> TempDir {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        std::mem::replace(&mut self.directory, tempfile::tempdir().expect("a temporary directory"))
    }

    /// Sends a signal and waits for the end. Answers with the exit status.
    pub(crate) fn signal(mut self, signal: &str) -> Option<i32> {
        let kill = Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
        self.child.wait().expect("the daemon ends").code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
