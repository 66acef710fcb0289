//! A member of the network with the system's own network stack.

use std::fs::File;
use std::net::{ToSocketAddrs, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process::{self, Process};
use crate::{Daemon, Result};

/// How long a DHCP server may take to start.
const DHCP_START: Duration = Duration::from_secs(10);

/// A member of the network that runs programs, or has sockets of the test itself.
#[derive(Debug)]
pub struct Host {
    name: String,
    namespace: String,
}

impl Host {
    pub(crate) fn new(name: &str, namespace: String) -> Self {
        Self { name: name.to_owned(), namespace }
    }

    /// A socket of this process that is bound on this host.
    pub fn udp(&self, address: impl ToSocketAddrs + Send) -> Result<UdpSocket> {
        let namespace = File::open(format!("/run/netns/{}", self.namespace)).map_err(|error| error.to_string())?;
        // A socket stays where it was opened; so only one thread goes there, and ends.
        let bind = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            UdpSocket::bind(address)
        };
        let socket = thread::scope(|scope| scope.spawn(bind).join()).map_err(|_| "a thread panicked")?;
        socket.map_err(|error| format!("{}: {error}", self.name))
    }

    /// Starts a program on this host.
    pub fn spawn(&self, program: &str, arguments: &[&str]) -> Result<Process> {
        Process::start(&format!("{program} on {}", self.name), self.command(program, arguments))
    }

    /// Runs a program on this host to its end, which must be a success.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        process::run(&mut self.command(program, arguments))
    }

    /// Starts a kad daemon: `program` is the path of `kad`.
    pub fn daemon(&self, program: &str, arguments: &[&str]) -> Result<Daemon<'_>> {
        Daemon::start(self, program, arguments)
    }

    /// Starts a DHCP server for addresses from `first` to `last`. Needs dnsmasq (Debian: dnsmasq-base).
    pub fn dhcp_server(&self, first: &str, last: &str) -> Result<Process> {
        let range = format!("--dhcp-range={first},{last}");
        // Neither DNS nor files; and no asking around whether an address is in use, which takes seconds.
        let plain = ["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--leasefile-ro", "--no-ping"];
        let plain = [&plain[..], &["--pid-file=", "--interface=eth0", "--log-facility=-", "--log-dhcp", &range]];
        let mut server = self.spawn("dnsmasq", &plain.concat())?;
        server.wait_for("IP range", DHCP_START)?;
        Ok(server)
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]).args(arguments);
        // The settings of the one who runs the tests must not matter.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("KAD_")) {
            command.env_remove(name);
        }
        command
    }
}
