//! What a service manager hears of a daemon (sd_notify(3)).
#![cfg(target_os = "linux")]

use crate::common;

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::kad;

/// Waits for the message that says this.
fn hear(socket: &UnixDatagram, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut buffer = [0; 256];
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left)).unwrap();
        let len = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
        if str::from_utf8(&buffer[..len]).unwrap().lines().any(|line| line == wanted) {
            return;
        }
    }
}

#[test]
fn a_service_manager_hears_that_a_daemon_is_up_lives_and_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut daemon = kad()
        .args(["daemon", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory.path().join("data"))
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "200000")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    hear(&socket, "READY=1");
    assert!(directory.path().join("data/control.json").exists(), "commands reach a daemon that is up");
    for _ in 0..3 {
        hear(&socket, "WATCHDOG=1");
    }
    let kill = Command::new("kill").args(["-TERM", &daemon.id().to_string()]).status();
    assert!(kill.unwrap().success());
    hear(&socket, "STOPPING=1");
    assert!(daemon.wait().unwrap().success());
}
