//! kad daemons.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::Command;

use kad_netns::run;
use tempfile::TempDir;

use crate::{Host, Process, Result};

/// Returns the path of the program `kad`: see [`program`].
pub fn kad_program() -> Result<String> {
    program("kad", "kad")
}

/// Returns the path of a program of one of the workspace's packages. Builds it, unless `KAD_PROGRAMS` in the environment is the
/// directory of programs that are built already.
pub fn program(package: &str, name: &str) -> Result<String> {
    if let Some(directory) = std::env::var_os("KAD_PROGRAMS") {
        let program = Path::new(&directory).join(name);
        return match program.is_file() {
            true => Ok(program.to_string_lossy().into_owned()),
            false => Err(format!("{} is not there", program.display())),
        };
    }
    // Tests are in `target/PROFILE/deps`, programs in `target/PROFILE`.
    let test = std::env::current_exe().map_err(|error| error.to_string())?;
    let directory = test.parent().and_then(Path::parent).ok_or("the test is not where cargo puts tests")?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--package", package, "--bin", name]);
    if directory.ends_with("release") {
        cargo.arg("--release");
    }
    run(&mut cargo)?;
    Ok(directory.join(name).to_string_lossy().into_owned())
}

/// A kad daemon on a host, killed when dropped.
#[derive(Debug)]
pub struct Daemon<'a> {
    host: &'a Host,
    program: String,
    process: Process,
    directory: TempDir,
}

impl<'a> Daemon<'a> {
    /// Starts a kad daemon: `program` is the path of `kad`.
    pub fn start(host: &'a Host, program: &str, arguments: &[&str]) -> Result<Self> {
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
        Ok(self.host.run(&self.program, &[&target, arguments].concat())?.stdout)
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
