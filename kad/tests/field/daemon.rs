//! The daemon as a process: signals, logs, files, the end.
#![cfg(target_os = "linux")]

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::common::{Daemon, fail, free_address, json, kad, run, succeed};

/// What took half a minute must take less than this, on however busy a machine.
const SOON: Duration = Duration::from_secs(6);

/// Polls until something is so.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A program that hears SIGHUP, even if these tests run under `nohup`: a daemon that is started with the signal ignored keeps
/// ignoring it.
fn hearing(program: &std::ffi::OsStr) -> Command {
    let mut command = super::common::program("env");
    command.arg("--default-signal=HUP").arg(program);
    command
}

/// A daemon in the background, told to stop when this is dropped.
struct Detached(PathBuf);

impl Detached {
    fn start(directory: &Path, flags: &[&str]) -> Self {
        let arguments = ["daemon", "--detach", "--listen", "127.0.0.1:0", "--data-dir"];
        let output = hearing(kad().get_program()).args(arguments).arg(directory).args(flags).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self(directory.into())
    }

    fn pid(&self) -> u64 {
        let control = fs::read(self.0.join("control.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&control).unwrap()["pid"].as_u64().unwrap()
    }

    fn signal(&self, signal: &str) {
        send(signal, self.pid());
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        run(&["stop", "--data-dir", self.0.to_str().unwrap()]);
    }
}

fn send(signal: &str, pid: u64) {
    assert!(Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status().unwrap().success());
}

fn text(path: &Path) -> String {
    String::from_utf8(fs::read(path).unwrap_or_default()).expect("text")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).mode() & 0o777
}

#[test]
fn half_a_request_does_not_keep_a_daemon_from_leaving() {
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n";
    for (half, stop) in [("GET / HT", true), (&format!("{head}ab")[..], true), ("GET / HT", false), ("", false)] {
        let daemon = Daemon::start(&[]);
        let other = Daemon::join(&daemon);
        daemon.wait_for("contacts", |count| count == 1);
        let mut connection = TcpStream::connect(daemon.http).unwrap();
        connection.write_all(half.as_bytes()).unwrap();
        // It has come: later requests are answered.
        assert_eq!(daemon.ask("GET", "/health", b"").0, 200);
        let begin = Instant::now();
        match stop {
            true => drop(succeed(&["stop", "--data-dir", daemon.dir()])),
            false => assert_eq!(daemon.signal("TERM"), Some(0)),
        }
        assert!(begin.elapsed() < SOON, "{half:?}: {:?}", begin.elapsed());
        other.wait_for("contacts", |count| count == 0);
        drop(connection);
    }
}

#[test]
fn the_log_of_a_daemon_in_the_background_outlives_a_crash_and_moves_with_a_rotation() {
    let directory = tempfile::tempdir().unwrap();
    let (log, rotated) = (directory.path().join("log"), directory.path().join("log.1"));
    let first = Detached::start(directory.path(), &[]);
    let pid = first.pid();
    first.signal("KILL");
    wait_until("it is gone", || !Path::new(&format!("/proc/{pid}")).exists() || is_zombie(pid));
    std::mem::forget(first);
    let second = Detached::start(directory.path(), &[]);
    assert_eq!(text(&log).matches(" up ").count(), 2, "the log of the crashed run is there: {}", text(&log));

    // Cut to nothing, as `copytruncate` does it: what follows goes to the beginning.
    fs::write(&log, "").unwrap();
    second.signal("HUP");
    wait_until("it says so", || text(&log).contains("SIGHUP"));
    assert!(!text(&log).contains('\0'), "{:?}", text(&log));

    // Moved away: what follows goes to a new file, as soon as the daemon is told.
    fs::rename(&log, &rotated).unwrap();
    second.signal("HUP");
    wait_until("the log is opened anew", || text(&log).contains("SIGHUP"));
    assert_eq!(mode(&log), 0o600);
    let old = text(&rotated);
    drop(second);
    assert!(text(&log).contains("leaving"), "{}", text(&log));
    assert_eq!(text(&rotated), old);
}

/// Whether a process has ended, and nobody has asked for its status: that of a daemon whose parent is gone, in a container.
fn is_zombie(pid: u64) -> bool {
    text(Path::new(&format!("/proc/{pid}/stat"))).contains(") Z ")
}

#[test]
fn a_log_goes_where_it_was_asked_to_go() {
    let directory = tempfile::tempdir().unwrap();
    let (data, log) = (directory.path().join("data"), directory.path().join("kad.log"));
    let daemon = Detached::start(&data, &["--log-file", log.to_str().unwrap()]);
    assert!(text(&log).contains(" up ") && !data.join("log").exists(), "{}", text(&log));
    drop(daemon);
    let (status, message) = fail(&["daemon", "--log-file", "/nonexistent/log", "--data-dir", data.to_str().unwrap()]);
    assert!(status == 5 && message.contains("/nonexistent/log"), "{status}: {message}");
}

/// A daemon that a shell has started in some way, and its log.
struct Shelled {
    child: Child,
    log: PathBuf,
}

impl Shelled {
    fn start(script: &str, directory: &Path, flags: &[&str]) -> Self {
        let log = directory.join("stderr");
        // Others than this shell know no file of more than one digit.
        let mut command = hearing("bash".as_ref());
        command.args(["-c", script, "bash"]).arg(kad().get_program());
        command.args(["daemon", "--listen", "127.0.0.1:0", "--data-dir"]).arg(directory.join("data")).args(flags);
        command.env("XDG_CONFIG_HOME", "/nonexistent").stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        let shelled = Self { child, log };
        shelled.wait_for(" up ");
        shelled
    }

    fn wait_for(&self, words: &str) {
        wait_until(words, || text(&self.log).contains(words));
    }

    fn signal(&self, signal: &str) {
        send(signal, self.child.id().into());
    }

    fn end(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Shelled {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_terminal_that_closes_does_not_end_a_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let mut daemon = Shelled::start("exec \"$@\"", directory.path(), &[]);
    daemon.signal("HUP");
    daemon.wait_for("SIGHUP");
    assert_eq!(daemon.end(), Some(0));
    assert!(!text(&daemon.log).contains("why=\"SIGHUP\""), "{}", text(&daemon.log));
}

#[test]
fn what_nohup_has_a_daemon_ignore_stays_ignored() {
    let directory = tempfile::tempdir().unwrap();
    let mut daemon = Shelled::start("trap '' HUP; exec \"$@\"", directory.path(), &[]);
    for _ in 0..3 {
        daemon.signal("HUP");
    }
    // Signals are delivered in the order of their numbers: it has had SIGHUP when it hears of SIGTERM.
    assert_eq!(daemon.end(), Some(0));
    assert!(!text(&daemon.log).contains("SIGHUP"), "{}", text(&daemon.log));
}

#[test]
fn sighup_takes_over_what_has_changed_in_the_file_and_says_what_needs_a_restart() {
    let other = Daemon::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kad.toml");
    fs::write(&file, "log = \"info\"\nk = 20\n").unwrap();
    let mut daemon = Shelled::start("exec \"$@\"", directory.path(), &["--config", file.to_str().unwrap()]);
    let data = directory.path().join("data");
    let status = || json(&["status", "--json", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(status()["contacts"], 0);

    let changed =
        "log = \"kad=debug,info\"\nk = 10\nhttp-host = [\"kad.example\"]\nhttp-origin = [\"https://app.example\"]\n";
    fs::write(&file, format!("{changed}bootstrap = [\"{}\"]\n", other.address)).unwrap();
    daemon.signal("HUP");
    daemon.wait_for("bootstrap, http-host, http-origin, log");
    assert!(text(&daemon.log).lines().any(|line| line.contains("need a restart") && line.contains("\"k\"")));
    wait_until("it has joined", || status()["contacts"] == 1);
    let shown = status()["settings"].clone();
    assert_eq!((&shown["k"], &shown["http-host"]), (&"20".into(), &"kad.example".into()), "what it runs with");
    let control: serde_json::Value = serde_json::from_slice(&fs::read(data.join("control.json")).unwrap()).unwrap();
    let mut connection = TcpStream::connect(control["address"].as_str().unwrap()).unwrap();
    let ask = "GET /health HTTP/1.1\r\nHost: kad.example\r\nOrigin: https://app.example\r\nConnection: close\r\n\r\n";
    connection.write_all(ask.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("access-control-allow-origin: https://app.example"), "{answer}");

    fs::write(&file, "nonsense = 1\n").unwrap();
    daemon.signal("HUP");
    daemon.wait_for("there is no setting `nonsense`");
    assert_eq!(status()["contacts"], 1, "it goes on");
    assert_eq!(daemon.end(), Some(0));
}

#[test]
fn what_a_daemon_keeps_is_closed_to_others_also_where_it_was_open() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let files = ["id", "secret", "control.json", "lock", "values", "log"];
    let umask = "umask 000; exec \"$@\"";
    let start = || {
        let mut command = Command::new("sh");
        command.args(["-c", umask, "sh"]).arg(kad().get_program()).args(["daemon", "--detach"]);
        command.args(["--storage", "disk", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data);
        let output = command.env("XDG_CONFIG_HOME", "/nonexistent").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Detached(data.clone())
    };
    drop(start());
    assert_eq!(mode(&data), 0o700);
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    for name in files.iter().filter(|name| data.join(name).exists()) {
        fs::set_permissions(data.join(name), Permissions::from_mode(0o666)).unwrap();
    }
    let daemon = start();
    assert_eq!(mode(&data), 0o700);
    for name in files {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    drop(daemon);

    fs::set_permissions(&data, Permissions::from_mode(0o777)).unwrap();
    let (status, message) = fail(&["daemon", "--data-dir", data.to_str().unwrap()]);
    assert!(status == 5 && message.contains("others may write"), "{status}: {message}");
}

#[test]
fn a_daemon_that_does_not_come_up_in_the_background_has_the_status_of_what_went_wrong() {
    let (taken, directory) = (std::net::UdpSocket::bind(free_address()).unwrap(), tempfile::tempdir().unwrap());
    let address = taken.local_addr().unwrap().to_string();
    let data = directory.path().to_str().unwrap();
    fs::write(directory.path().join("log"), "an old line\n").unwrap();
    let (status, message) = fail(&["daemon", "--detach", "--listen", &address, "--data-dir", data]);
    assert!(status == 6 && message.contains("--listen"), "{status}: {message}");
    assert!(!message.contains("an old line"), "{message}");
}

#[test]
fn a_limit_of_threads_is_a_message_and_no_panic() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let (program, data) = (directory.path().join("kad"), directory.path().join("data"));
    fs::copy(kad().get_program(), &program).unwrap();
    // Root has no limit, and an own number has no other processes.
    let user = 50_000 + std::process::id() % 10_000;
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    fs::create_dir(&data).unwrap();
    let mut refused = 0;
    for threads in 1..40 {
        let mut command = Command::new(if is_root { "setpriv" } else { "env" });
        if is_root {
            std::os::unix::fs::chown(&data, Some(user), Some(user)).unwrap();
            command.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".into()]);
        }
        let script = format!("exec prlimit --nproc={threads} \"$@\"");
        command.args(["sh", "-c", &script, "sh"]).arg(&program).args(["daemon", "--listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(&data).env("XDG_CONFIG_HOME", "/nonexistent").stdout(Stdio::null());
        let mut daemon = command.stderr(Stdio::piped()).spawn().expect("setpriv");
        let mut said = String::new();
        let mut stderr = daemon.stderr.take().unwrap();
        let mut buffer = [0; 4096];
        while !said.contains(" up ")
            && let Ok(len @ 1..) = stderr.read(&mut buffer)
        {
            said.push_str(&String::from_utf8_lossy(&buffer[..len]));
        }
        assert!(!said.contains("panicked"), "{threads} threads: {said}");
        if said.contains(" up ") {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
            break;
        }
        assert_eq!(daemon.wait().unwrap().code(), Some(1), "{threads} threads: {said}");
        assert!(said.contains("ulimit -u"), "{threads} threads: {said}");
        refused += 1;
    }
    assert!(refused > 0, "the limit had an effect");
}

/// A number of a socket that children of this process inherit.
fn inherited(socket: impl std::os::fd::AsFd) -> std::os::fd::OwnedFd {
    // High enough that a shell can move it to where it belongs.
    let copy = rustix::io::fcntl_dupfd_cloexec(socket, 40).unwrap();
    rustix::io::fcntl_setfd(&copy, rustix::io::FdFlags::empty()).unwrap();
    copy
}

#[test]
fn sockets_of_a_service_manager_are_used_and_stay_open_over_a_restart() {
    use std::os::fd::AsRawFd as _;
    let (udp, tcp) =
        (std::net::UdpSocket::bind("127.0.0.1:0").unwrap(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let (address, http) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
    let (udp, tcp) = (inherited(udp), inherited(tcp));
    let (datagram, stream) = (udp.as_raw_fd(), tcp.as_raw_fd());
    let script = format!("exec 3<&{datagram} 4<&{stream}; export LISTEN_PID=$$ LISTEN_FDS=2; exec \"$@\"");
    let directory = tempfile::tempdir().unwrap();
    for workers in [&[][..], &["--workers", "2"]] {
        // Nobody answers yet, and nobody is refused.
        let mut waiting = TcpStream::connect(http).unwrap();
        waiting.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut daemon = Shelled::start(&script, directory.path(), workers);
        let mut answer = String::new();
        waiting.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let up = text(&daemon.log);
        assert!(up.contains(&format!("listen={address} http={http} ")), "{up}");
        let other = Daemon::start(&["--bootstrap", &address.to_string()]);
        other.wait_for("contacts", |count| count == 1);
        let stored = other.ask("POST", "/", b"by way of it");
        assert_eq!(stored.0, 202);
        assert_eq!(daemon.end(), Some(0));
    }
}
