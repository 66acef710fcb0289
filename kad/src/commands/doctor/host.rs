//! Reads facts from the system, mostly on Linux; missing facts are unknown.

use std::fs;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use super::facts::{Clock, Interface};

/// Reads a number from a file of the system.
pub(super) fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

pub(super) fn buffer_limits() -> Option<(u64, u64)> {
    Some((number("/proc/sys/net/core/rmem_max")?, number("/proc/sys/net/core/wmem_max")?))
}

/// Returns the soft and the hard limit of open files.
#[cfg(unix)]
pub(super) fn files() -> Option<(u64, u64)> {
    rlimit::getrlimit(rlimit::Resource::NOFILE).ok()
}

#[cfg(not(unix))]
pub(super) fn files() -> Option<(u64, u64)> {
    None
}

/// Returns whether random bytes are available without blocking.
#[cfg(target_os = "linux")]
pub(super) fn entropy_ready() -> Option<bool> {
    use rustix::rand::{GetRandomFlags, getrandom};
    match getrandom(&mut [0_u8; 1][..], GetRandomFlags::NONBLOCK) {
        Ok(_) => Some(true),
        Err(rustix::io::Errno::AGAIN) => Some(false),
        Err(_) => None,
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn entropy_ready() -> Option<bool> {
    None
}

pub(super) fn clock() -> Clock {
    Clock { now: SystemTime::now(), synchronised: synchronised() }
}

/// What systemd knows of it, which asks the kernel.
fn synchronised() -> Option<bool> {
    let mut command = Command::new("timedatectl");
    command.args(["show", "--property=NTPSynchronized", "--value"]).stdin(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// Returns the interfaces that are up, without loopback, whose MTU is large.
pub(super) fn interfaces() -> Vec<Interface> {
    let Ok(entries) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    let interface = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok().filter(|name| name != "lo")?;
        let state = fs::read_to_string(entry.path().join("operstate")).ok()?;
        let mtu = number(entry.path().join("mtu").to_str()?)?;
        (state.trim() != "down").then_some(Interface { name, mtu })
    };
    entries.filter_map(|entry| interface(entry.ok()?)).collect()
}
