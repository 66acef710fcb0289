//! kad daemons.

use std::ops::{Deref, DerefMut};

use tempfile::TempDir;

use crate::process::Process;
use crate::{Host, Result};

/// A kad daemon on a host, killed when dropped.
#[derive(Debug)]
pub struct Daemon<'a> {
    host: &'a Host,
    program: String,
    process: Process,
    directory: TempDir,
}

impl<'a> Daemon<'a> {
    pub(crate) fn start(host: &'a Host, program: &str, arguments: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = directory.path().to_string_lossy();
        let process = host.spawn(program, &[&["daemon", "--data-dir", &path], arguments].concat())?;
        drop(path);
        Ok(Self { host, program: program.to_owned(), process, directory })
    }

    /// Runs `kad COMMAND ARGUMENTS...` against this daemon; answers with what it printed.
    pub fn kad(&self, command: &str, arguments: &[&str]) -> Result<Vec<u8>> {
        let path = self.directory.path().to_string_lossy();
        let target = [command, "--data-dir", &path];
        self.host.run(&self.program, &[&target, arguments].concat()).map(|output| output.stdout)
    }
}

impl Deref for Daemon<'_> {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Daemon<'_> {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
