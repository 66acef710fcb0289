//! Workers, stores and bursts that fail.
//!
//! Faults of the system are made by a small library that is loaded before the system's own: while a file of its name lies in a
//! directory, a call fails.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{fail, free_address, json, kad, run};

/// Calls of the system that can be made to fail.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int fault(const char *name) {
    char path[4096];
    const char *faults = getenv("FAULTS");
    if (!faults) return 0;
    snprintf(path, sizeof path, "%s/%s", faults, name);
    int before = errno, found = access(path, F_OK) == 0;
    errno = before;
    return found;
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout) {
    static int (*real)(int, struct mmsghdr *, unsigned int, int, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "recvmmsg");
    if (fault("memory")) { errno = ENOMEM; return -1; }
    if (fault("socket")) { errno = ENOTSOCK; return -1; }
    return real(fd, messages, count, flags, timeout);
}

/* Once, and on a worker: whoever reads a clock expects that there is one, and panics. */
int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    static atomic_int done;
    char thread[16] = "";
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    prctl(PR_GET_NAME, thread);
    if (!strncmp(thread, "kad-worker", 10) && fault("clock") && !atomic_exchange(&done, 1)) { errno = EINVAL; return -1; }
    return real(clock, time);
}
"#;

/// A daemon whose system can be made to fail.
struct Faulty {
    child: Child,
    directory: TempDir,
    address: String,
}

impl Faulty {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (at, address) = (directory.path(), free_address().to_string());
        std::fs::create_dir(at.join("faults")).expect("a new directory");
        let child = kad()
            .args(["daemon", "--workers", "4", "--listen", &address, "--http", "127.0.0.1:0", "--data-dir"])
            .arg(at.join("data"))
            .env("LD_PRELOAD", library(at))
            .env("FAULTS", at.join("faults"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(at.join("log")).expect("a new file"))
            .spawn()
            .expect("the daemon starts");
        let daemon = Self { child, directory, address };
        until("the daemon is up", || run(&["status", "--data-dir", &daemon.data()]).status.success());
        daemon
    }

    fn data(&self) -> String {
        self.directory.path().join("data").to_str().expect("a plain path").to_owned()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).expect("a log")
    }

    fn fault(&self, name: &str) -> PathBuf {
        let file = self.directory.path().join("faults").join(name);
        std::fs::write(&file, "").expect("a new file");
        file
    }

    fn counter(&self, name: &str) -> u64 {
        let status: Value = json(&["status", "--json", "--data-dir", &self.data()]);
        status["counters"][name].as_u64().expect("a counter")
    }

    fn pings(&self) -> bool {
        run(&["ping", &self.address, "--timeout", "500ms"]).status.success()
    }

    /// Asks until the daemon has ended by itself.
    fn end(&mut self) -> ExitStatus {
        let mut ended = None;
        let (child, address) = (&mut self.child, &self.address);
        until("the daemon ends", || {
            // Its four workers take turns: whichever fails, one of these wakes it.
            let _ = run(&["ping", address, "--timeout", "200ms"]);
            ended = child.try_wait().expect("a child");
            ended.is_some()
        });
        ended.expect("it has ended")
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn library(directory: &Path) -> PathBuf {
    let (source, library) = (directory.join("faults.c"), directory.join("faults.so"));
    std::fs::write(&source, SHIM).expect("a new file");
    let cc = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]).arg("-ldl").status();
    assert!(cc.expect("a C compiler, as for linking").success());
    library
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_worker_that_panics_ends_the_daemon_with_a_message_and_a_status() {
    let mut daemon = Faulty::start();
    daemon.fault("clock");
    assert_eq!(daemon.end().code(), Some(1));
    let log = daemon.log();
    assert!(log.contains("the node ended by itself: the thread kad-worker-") && log.contains("panicked"), "{log}");
    let (status, _) = fail(&["status", "--data-dir", &daemon.data()]);
    assert_eq!(status, 7, "nobody serves its commands");
}

#[test]
fn a_socket_that_breaks_ends_the_daemon_with_a_message_and_a_status() {
    let mut daemon = Faulty::start();
    daemon.fault("socket");
    assert_eq!(daemon.end().code(), Some(1));
    let log = daemon.log();
    assert!(log.contains("the node ended by itself: a socket is broken: "), "{log}");
}

#[test]
fn a_system_without_memory_for_datagrams_is_asked_less_and_less_often_and_the_node_goes_on() {
    let daemon = Faulty::start();
    assert!(daemon.pings());
    let fault = daemon.fault("memory");
    until("reading pauses", || !daemon.pings() && daemon.counter("socket_receive_pauses") > 3);
    let (begun, errors) = (Instant::now(), daemon.counter("socket_receive_errors"));
    std::thread::sleep(Duration::from_secs(1));
    let more = daemon.counter("socket_receive_errors") - errors;
    // Four workers may have a few pauses each; a thread that spins has a hundred thousand.
    assert!(more < 200 * (1 + begun.elapsed().as_secs()), "{more} errors in {:?}", begun.elapsed());
    std::fs::remove_file(fault).expect("it is there");
    until("the node answers again", || daemon.pings());
}
