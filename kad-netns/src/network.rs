//! The network: a namespace that is the switch, and one for each host.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use crate::command::{ip, ip_in, run_with};
use crate::faults::Faults;
use crate::{Error, Host, Result};

/// Where `ip netns` keeps the names of namespaces.
const NAMESPACES: &str = "/run/netns";
/// What the names of a network's namespaces start with; the number of the process that made them follows.
const PREFIX: &str = "kadnet-";

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
pub struct Network {
    name: String,
    ports: AtomicU32,
    faults: Mutex<Faults>,
    remover: Child,
}

impl Network {
    /// Makes a network with nobody in it.
    ///
    /// # Errors
    /// Nothing of it is possible without root; see [`missing`](crate::missing).
    pub fn start() -> Result<Self> {
        static LEFTOVERS: Once = Once::new();
        static NETWORKS: AtomicU32 = AtomicU32::new(0);

        LEFTOVERS.call_once(remove_leftovers);
        let name = format!("{PREFIX}{}-{}", std::process::id(), NETWORKS.fetch_add(1, Ordering::Relaxed));
        let faults = Mutex::default();
        let network = Self { remover: remover(&name)?, name, ports: AtomicU32::new(0), faults };
        ip(&["netns", "add", &network.name])?;
        // Snooping would hold back IPv6 neighbour discovery until the bridge knows who listens.
        network.ip(&["link", "add", "name", "bridge", "type", "bridge", "mcast_snooping", "0"])?;
        network.ip(&["link", "set", "bridge", "up"])?;
        Ok(network)
    }

    /// Adds a host with these addresses, as in `10.77.0.1/24`, to run programs or to open sockets on.
    ///
    /// # Errors
    /// `ip` fails: a name may be taken, or an address be none.
    pub fn host(&self, name: &str, addresses: &[&str]) -> Result<Host> {
        let namespace = format!("{}-{name}", self.name);
        let (port, mac) = self.port("host");
        ip(&["netns", "add", &namespace])?;
        self.ip(&["link", "add", "name", &port, "type", "veth", "peer", "name", "eth0", "netns", &namespace])?;
        self.connect(&port)?;
        // A virtual link would carry what the system splits only at the card as one packet: a longer one than any real path
        // sees, and one that is lost, or too large, as a whole.
        ip_in(&namespace, &["link", "set", "eth0", "address", &mac, "gso_max_segs", "1"])?;
        for address in addresses {
            let address = ["address", "add", address, "dev", "eth0"];
            // IPv6 addresses would be unusable until it is sure that nobody else has them.
            let nodad: &[&str] = if address[2].contains(':') { &["nodad"] } else { &[] };
            ip_in(&namespace, &[&address, nodad].concat())?;
        }
        ip_in(&namespace, &["link", "set", "lo", "up"])?;
        ip_in(&namespace, &["link", "set", "eth0", "up"])?;
        Ok(Host::new(name, namespace, port, mac))
    }

    /// Adds a TAP device, and answers with its name.
    ///
    /// # Errors
    /// `ip` fails: the kernel may have no TAP devices.
    pub fn tap_device(&self, kind: &str) -> Result<String> {
        let (port, _) = self.port(kind);
        self.ip(&["tuntap", "add", "dev", &port, "mode", "tap"])?;
        self.connect(&port)?;
        Ok(port)
    }

    /// Tells every host the hardware addresses of all. Hosts find them by themselves, but all namespaces of a machine
    /// share one table (`net.ipv4.neigh.default.gc_thresh3`, 1024 entries where nobody changed it), which the square of
    /// some thirty hosts fills. What is told does not count there.
    ///
    /// # Errors
    /// `ip` fails.
    pub fn introduce(&self, hosts: &[(&Host, IpAddr)]) -> Result<()> {
        let line = |(host, address): &(&Host, IpAddr)| {
            format!("neighbour replace {address} lladdr {} dev eth0 nud permanent\n", host.mac())
        };
        for (host, own) in hosts {
            let others: String = hosts.iter().filter(|(_, address)| address != own).map(line).collect();
            run_with(Command::new("ip").args(["-netns", host.namespace(), "-batch", "-"]), &others)?;
        }
        Ok(())
    }

    /// Loses this many of 1000 frames between members of the network, from now on.
    ///
    /// # Errors
    /// `nft` fails.
    pub fn lose(&self, per_mille: u16) -> Result<()> {
        self.change(|faults| faults.lost_per_mille = per_mille)
    }

    /// Loses every IPv4 packet of UDP that is larger than this, in bytes of IP, from now on, and tells nobody: a black hole. `None`:
    /// no longer. A [router](Self::router) tells.
    ///
    /// # Errors
    /// `nft` fails.
    pub fn drop_larger(&self, than: Option<u16>) -> Result<()> {
        self.change(|faults| faults.largest = than)
    }

    /// Adds a router between IPv4 subnets, in each of which it has one of these addresses. It refuses packets that are larger than
    /// `mtu` with an ICMP message, in every direction. Hosts need a [route](Host::route) through it.
    ///
    /// # Errors
    /// `ip` fails.
    pub fn router(&self, name: &str, addresses: &[&str], mtu: u16) -> Result<Host> {
        let host = self.host(name, addresses)?;
        // Its subnets share a link: hosts must not be told that there is a shorter way.
        let settings = "cd /proc/sys/net/ipv4 && echo 1 > ip_forward && for each in conf/*/send_redirects; do echo 0 > $each; done";
        host.run("sh", &["-c", settings])?;
        for address in addresses {
            let subnet = subnet(address);
            ip_in(host.namespace(), &["route", "replace", &subnet, "dev", "eth0", "mtu", "lock", &mtu.to_string()])?;
        }
        Ok(host)
    }

    /// Loses no more frames from and to a host by chance: one that gives orders, and is not part of what is tested.
    ///
    /// # Errors
    /// `nft` fails.
    pub fn spare(&self, host: &Host) -> Result<()> {
        self.change(|faults| faults.spared.push(host.port().to_owned()))
    }

    /// Cuts the network: from now on those in a group hear only each other. All who are in no group can hear each other too.
    ///
    /// # Errors
    /// `nft` fails.
    pub fn partition(&self, groups: &[&[&Host]]) -> Result<()> {
        self.change(|faults| faults.cut(groups))
    }

    /// Ends a partition. What is lost otherwise stays lost.
    ///
    /// # Errors
    /// `nft` fails.
    pub fn heal(&self) -> Result<()> {
        self.change(|faults| faults.groups.clear())
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) -> Result<()> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut faults);
        faults.apply(&self.name)
    }

    /// The name of the namespace that is the switch: to look inside with `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names for the next port of the bridge, and for the hardware at its other end.
    fn port(&self, kind: &str) -> (String, String) {
        let number = self.ports.fetch_add(1, Ordering::Relaxed);
        let [.., high, low] = number.to_be_bytes();
        (format!("{kind}{number}"), format!("02:6b:61:64:{high:02x}:{low:02x}"))
    }

    fn connect(&self, port: &str) -> Result<()> {
        self.ip(&["link", "set", port, "master", "bridge", "up"])
    }

    fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip_in(&self.name, arguments)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Closes its standard input.
        let _ = self.remover.wait();
    }
}

/// The subnet of an IPv4 address with the length of its prefix, as in `10.77.0.1/24`; what is none is left to `ip` to refuse.
fn subnet(address: &str) -> String {
    let parts =
        address.split_once('/').and_then(|(ip, len)| Some((ip.parse::<Ipv4Addr>().ok()?, len.parse::<u32>().ok()?)));
    let Some((ip, len)) = parts else { return address.to_owned() };
    let mask = u32::MAX.checked_shl(32 - len.min(32)).unwrap_or(0);
    format!("{}/{len}", Ipv4Addr::from(u32::from(ip) & mask))
}

/// Starts the process that removes the network. It outlives this one, however this one ends.
fn remover(name: &str) -> Result<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", REMOVER, "kad-netns-remover", name]).stdin(Stdio::piped());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // Signals for this process and all that belongs to it, as by Ctrl-C, must not reach it.
    command.process_group(0);
    command.spawn().map_err(Error::system("sh"))
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
