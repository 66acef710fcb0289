//! A member of the network with the system's own network stack.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::command::{ip_in, run};
use crate::{Error, Process, Result};

/// A member of the network that runs programs, or has sockets of this process.
#[derive(Debug)]
pub struct Host {
    name: String,
    namespace: String,
    port: String,
    mac: String,
}

impl Host {
    pub(crate) fn new(name: &str, namespace: String, port: String, mac: String) -> Self {
        Self { name: name.to_owned(), namespace, port, mac }
    }

    /// The name of its namespace: to look inside with `ip netns exec`.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Where the bridge has it.
    pub(crate) fn port(&self) -> &str {
        &self.port
    }

    pub(crate) fn mac(&self) -> &str {
        &self.mac
    }

    /// A socket of this process that is bound on this host.
    ///
    /// # Errors
    /// What the system says.
    pub fn udp(&self, address: impl ToSocketAddrs + Send) -> Result<UdpSocket> {
        self.inside(|| UdpSocket::bind(address))
    }

    /// A connection of this process that begins on this host.
    ///
    /// # Errors
    /// What the system says: nobody may listen there.
    pub fn connect(&self, address: SocketAddr) -> Result<TcpStream> {
        self.inside(|| TcpStream::connect(address))
    }

    /// A socket stays where it was opened; so only one thread goes there, and ends.
    fn inside<T: Send>(&self, open: impl FnOnce() -> io::Result<T> + Send) -> Result<T> {
        let fail = || Error::system(self.name.clone());
        let namespace = File::open(format!("/run/netns/{}", self.namespace)).map_err(fail())?;
        let go = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            open()
        };
        let opened = thread::scope(|scope| thread::Builder::new().spawn_scoped(scope, go).map(|thread| thread.join()));
        let opened = opened.map_err(fail())?;
        opened.unwrap_or_else(|_| Err(io::Error::other("a thread panicked"))).map_err(fail())
    }

    /// Delays everything that this host sends, from now on. Zero: no longer.
    ///
    /// # Errors
    /// [`Error::NoDelay`] where the kernel has no netem.
    pub fn delay(&self, delay: Duration) -> Result<()> {
        let mut tc = Command::new("tc");
        tc.args(["-netns", &self.namespace, "qdisc", "replace", "dev", "eth0", "root"]);
        match delay.is_zero() {
            true => tc.args(["pfifo", "limit", "1000"]),
            // Room for what is on its way: at the default of 1000 frames a fast sender would lose some.
            false => tc.args(["netem", "delay", &format!("{}us", delay.as_micros()), "limit", "100000"]),
        };
        match run(&mut tc) {
            Err(Error::Command { message, .. }) if message.contains("qdisc kind is unknown") => Err(Error::NoDelay),
            result => result.map(drop),
        }
    }

    /// Sets the largest packet that this host's link carries, in bytes of IP; 1500 is usual. Its own system refuses larger ones,
    /// and the others are not told of those that are lost on the way to it.
    ///
    /// # Errors
    /// `ip` fails: below 1280 a link carries no IPv6.
    pub fn mtu(&self, bytes: u16) -> Result<()> {
        ip_in(&self.namespace, &["link", "set", "eth0", "mtu", &bytes.to_string()])
    }

    /// Sends what is for a subnet through a router, from now on.
    ///
    /// # Errors
    /// `ip` fails: the router must be in a subnet of this host's.
    pub fn route(&self, subnet: &str, router: &str) -> Result<()> {
        ip_in(&self.namespace, &["route", "replace", subnet, "via", router])
    }

    /// Starts a program on this host.
    ///
    /// # Errors
    /// What the system says.
    pub fn spawn(&self, program: &str, arguments: &[&str]) -> Result<Process> {
        Process::start(&format!("{program} on {}", self.name), self.command(program, arguments))
    }

    /// Runs a program on this host to its end, which must be a success.
    ///
    /// # Errors
    /// The system does not start it, or it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Output> {
        run(&mut self.command(program, arguments))
    }

    /// A program on this host, not started yet. It keeps its process id.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]).args(arguments);
        // The settings of the one who runs this process must not matter.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("KAD_")) {
            command.env_remove(name);
        }
        command
    }
}
