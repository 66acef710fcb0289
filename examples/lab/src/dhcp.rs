//! A server that gives out addresses.

use std::time::Duration;

use crate::{Host, Process, Result};

/// How long it may take to start.
const START: Duration = Duration::from_secs(10);

/// Starts a DHCP server on a host, for addresses from `first` to `last`. Needs dnsmasq (Debian: dnsmasq-base).
pub fn dhcp_server(host: &Host, first: &str, last: &str) -> Result<Process> {
    let range = format!("--dhcp-range={first},{last}");
    // Neither DNS nor files; and no asking around whether an address is in use, which takes seconds.
    let plain = ["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--leasefile-ro", "--no-ping"];
    let plain = [&plain[..], &["--pid-file=", "--interface=eth0", "--log-facility=-", "--log-dhcp", &range]];
    let mut server = host.spawn("dnsmasq", &plain.concat())?;
    server.wait_for("IP range", START)?;
    Ok(server)
}
