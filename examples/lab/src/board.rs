//! Emulated boards.

use std::ops::{Deref, DerefMut};
use std::process::Command;

use kad_netns::ip_in;

use crate::{Firmware, Process, Result};

/// An emulated board, killed when dropped.
#[derive(Debug)]
pub struct Board {
    process: Process,
    namespace: String,
    port: String,
}

impl Board {
    pub(crate) fn start(namespace: &str, port: &str, firmware: &Firmware, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, "qemu-system-arm", "-machine", "mps2-an386"]);
        command.args(["-display", "none", "-serial", "none", "-monitor", "none"]);
        command.args(["-net", "nic,netdev=lan,model=lan9118"]);
        command.args(["-netdev", &format!("tap,id=lan,ifname={port},script=no,downscript=no")]);
        command.args(["-semihosting-config", &semihosting(arguments), "-kernel"]).arg(firmware.elf());
        let process = Process::start(port, command)?;
        Ok(Self { process, namespace: namespace.to_owned(), port: port.to_owned() })
    }

    /// Pulls the network cable.
    pub fn unplug(&self) -> Result<()> {
        Ok(ip_in(&self.namespace, &["link", "set", &self.port, "down"])?)
    }

    /// Plugs the network cable in again.
    pub fn plug(&self) -> Result<()> {
        Ok(ip_in(&self.namespace, &["link", "set", &self.port, "up"])?)
    }
}

impl Deref for Board {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Board {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// QEMU's option that gives the firmware its command line. A comma in a value is written twice.
fn semihosting(arguments: &[&str]) -> String {
    let arguments = arguments.iter().map(|argument| format!(",arg={}", argument.replace(',', ",,")));
    format!("enable=on,target=native,arg=firmware{}", arguments.collect::<String>())
}
