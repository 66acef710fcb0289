//! A member of the network with a network stack of its own.

use std::process::Command;

use crate::{Process, Result};

/// A TAP device of the network, for one program.
#[derive(Debug)]
pub struct Tap {
    namespace: String,
    name: String,
}

impl Tap {
    pub(crate) fn new(namespace: &str, name: String) -> Self {
        Self { namespace: namespace.to_owned(), name }
    }

    /// The device's name: what the program is to open.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts a program where the device is. It can be [told](Process::tell) what to do.
    pub fn spawn(&self, program: &str, arguments: &[&str]) -> Result<Process> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]).args(arguments);
        Ok(Process::start_with_input(&format!("{program} on {}", self.name), command)?)
    }
}
