//! What the network does to datagrams, as one set of rules of nftables that is replaced whole.

use std::process::Command;

use crate::command::run_with;
use crate::{Host, Result};

/// What is lost, and who does not hear whom.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) lost_per_mille: u16,
    /// Ports of the bridge whose frames are never lost by chance.
    pub(crate) spared: Vec<String>,
    /// Larger IPv4 packets of UDP are lost, in bytes of IP.
    pub(crate) largest: Option<u16>,
    /// Ports of the bridge that hear only each other.
    pub(crate) groups: Vec<Vec<String>>,
}

impl Faults {
    pub(crate) fn cut(&mut self, groups: &[&[&Host]]) {
        let ports = |group: &&[&Host]| group.iter().map(|host| host.port().to_owned()).collect();
        self.groups = groups.iter().filter(|group| !group.is_empty()).map(ports).collect();
    }

    /// Puts the rules in the place of those that are there, at once.
    pub(crate) fn apply(&self, namespace: &str) -> Result<()> {
        run_with(Command::new("ip").args(["netns", "exec", namespace, "nft", "-f", "-"]), &self.rules()).map(drop)
    }

    fn rules(&self) -> String {
        let mut rules = "add table bridge kad\ndelete table bridge kad\n".to_owned();
        if self.lost_per_mille == 0 && self.largest.is_none() && self.groups.is_empty() {
            return rules;
        }
        rules += "add table bridge kad\nadd chain bridge kad forward { type filter hook forward priority 0; }\n";
        let mut rule = |text: String| rules += &format!("add rule bridge kad forward {text} counter drop\n");
        for group in &self.groups {
            let ports = group.iter().map(|port| format!("\"{port}\"")).collect::<Vec<_>>().join(", ");
            rule(format!("iifname {{ {ports} }} oifname != {{ {ports} }}"));
            rule(format!("iifname != {{ {ports} }} oifname {{ {ports} }}"));
        }
        if let Some(largest) = self.largest {
            rule(format!("ip protocol udp ip length > {largest}"));
        }
        if self.lost_per_mille > 0 {
            let spared = self.spared.iter().map(|port| format!("iifname != \"{port}\" oifname != \"{port}\" "));
            rule(format!("{}numgen random mod 1000 < {}", spared.collect::<String>(), self.lost_per_mille));
        }
        rules
    }
}
