//! The network: a namespace that is the switch, and one for each host.

use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, path::Path};

use std::os::unix::process::CommandExt;

use crate::process::run;
use crate::{Board, Firmware, Host, Result, Tap};

/// Where `ip netns` keeps the names of namespaces.
const NAMESPACES: &str = "/run/netns";
/// What the names of a lab's namespaces start with; the number of the process that made them follows.
const PREFIX: &str = "kadlab-";

/// Removes the namespace of this name, those whose names go on from it with a dash, and all that runs in them; but first
/// waits until standard input is closed.
const REMOVER: &str = r#"
cat
for path in /run/netns/"$1" /run/netns/"$1"-*; do
    [ -e "$path" ] || continue
    name=${path##*/}
    for process in $(ip netns pids "$name"); do kill -KILL "$process"; done
    ip netns delete "$name"
done
"#;

/// A network. All of it goes when this is dropped, or when the process ends in whatever way.
#[derive(Debug)]
pub struct Lab {
    name: String,
    ports: AtomicU32,
    remover: Child,
}

impl Lab {
    /// Makes a network with nobody in it.
    pub fn start() -> Result<Self> {
        static LEFTOVERS: Once = Once::new();
        static LABS: AtomicU32 = AtomicU32::new(0);

        LEFTOVERS.call_once(remove_leftovers);
        let name = format!("{PREFIX}{}-{}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed));
        let lab = Self { remover: remover(&name)?, name, ports: AtomicU32::new(0) };
        ip(&["netns", "add", &lab.name])?;
        // Snooping would hold back IPv6 neighbour discovery until the bridge knows who listens.
        lab.ip(&["link", "add", "name", "bridge", "type", "bridge", "mcast_snooping", "0"])?;
        lab.ip(&["link", "set", "bridge", "up"])?;
        Ok(lab)
    }

    /// Adds a host with these addresses, as in `10.77.0.1/24`, to run daemons or to open sockets on.
    pub fn host(&self, name: &str, addresses: &[&str]) -> Result<Host> {
        let namespace = format!("{}-{name}", self.name);
        let port = self.port("host");
        ip(&["netns", "add", &namespace])?;
        self.ip(&["link", "add", "name", &port, "type", "veth", "peer", "name", "eth0", "netns", &namespace])?;
        self.connect(&port)?;
        for address in addresses {
            let address = ["address", "add", address, "dev", "eth0"];
            // IPv6 addresses would be unusable until it is sure that nobody else has them.
            let nodad: &[&str] = if address[2].contains(':') { &["nodad"] } else { &[] };
            ip_in(&namespace, &[&address, nodad].concat())?;
        }
        ip_in(&namespace, &["link", "set", "lo", "up"])?;
        ip_in(&namespace, &["link", "set", "eth0", "up"])?;
        Ok(Host::new(name, namespace))
    }

    /// Starts an emulated board with these arguments.
    pub fn board(&self, firmware: &Firmware, arguments: &[&str]) -> Result<Board> {
        Board::start(&self.name, &self.new_tap("board")?, firmware, arguments)
    }

    /// Adds a TAP device, for a program that has a network stack of its own.
    pub fn tap(&self) -> Result<Tap> {
        Ok(Tap::new(&self.name, self.new_tap("tap")?))
    }

    fn new_tap(&self, kind: &str) -> Result<String> {
        let port = self.port(kind);
        self.ip(&["tuntap", "add", "dev", &port, "mode", "tap"])?;
        self.connect(&port)?;
        Ok(port)
    }

    /// Loses this many of 1000 frames between members of the network, from now on.
    ///
    /// This is a rule of nftables, as not every kernel has netem; so there is loss, but no delay.
    pub fn lose(&self, per_mille: u16) -> Result<()> {
        let mut rules = "add table bridge lab; delete table bridge lab".to_owned();
        if per_mille > 0 {
            rules += "; add table bridge lab; add chain bridge lab forward { type filter hook forward priority 0; }";
            rules += &format!("; add rule bridge lab forward numgen random mod 1000 < {per_mille} counter drop");
        }
        run(Command::new("ip").args(["netns", "exec", &self.name, "nft", &rules])).map(drop)
    }

    /// The name of the namespace that is the switch: to look inside with `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn port(&self, kind: &str) -> String {
        format!("{kind}{}", self.ports.fetch_add(1, Ordering::Relaxed))
    }

    fn connect(&self, port: &str) -> Result<()> {
        self.ip(&["link", "set", port, "master", "bridge", "up"])
    }

    fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip_in(&self.name, arguments)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Closes its standard input.
        let _ = self.remover.wait();
    }
}

/// Starts the process that removes the network. It outlives this one, however this one ends.
fn remover(name: &str) -> Result<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", REMOVER, "kad-lab-remover", name]).stdin(Stdio::piped());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // Signals for the test and all that belongs to it, as by Ctrl-C, must not reach it.
    command.process_group(0);
    command.spawn().map_err(|error| format!("sh: {error}"))
}

/// Removes networks whose process has ended, should its remover have been killed as well.
fn remove_leftovers() {
    let Ok(namespaces) = fs::read_dir(NAMESPACES) else { return };
    for entry in namespaces.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists())
            && let Ok(mut remover) = remover(&name)
        {
            let _ = remover.wait();
        }
    }
}

pub(crate) fn ip_in(namespace: &str, arguments: &[&str]) -> Result<()> {
    ip(&[&["-netns", namespace], arguments].concat())
}

fn ip(arguments: &[&str]) -> Result<()> {
    run(Command::new("ip").args(arguments)).map(drop)
}
