//! Programs that run beside this process.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// Lines that an error message repeats.
const LINES_SHOWN: usize = 30;
/// How often to look whether a program has ended.
const POLL: Duration = Duration::from_millis(10);

/// A running program, killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    incoming: Receiver<String>,
    lines: Vec<String>,
    /// How many of `lines` were looked at.
    seen: usize,
}

impl Process {
    /// Starts a program. What it prints, to standard output and to standard error, is read line by line.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(name: &str, command: Command) -> Result<Self> {
        Self::start_with(name, command, Stdio::null())
    }

    /// The same for a program that is told what to do, with [`tell`](Self::tell).
    ///
    /// # Errors
    /// What the system says.
    pub fn start_with_input(name: &str, command: Command) -> Result<Self> {
        Self::start_with(name, command, Stdio::piped())
    }

    fn start_with(name: &str, mut command: Command, input: Stdio) -> Result<Self> {
        let fail = || Error::system(name);
        let (reader, writer) = io::pipe().map_err(fail())?;
        let errors = writer.try_clone().map_err(fail())?;
        let child = command.stdin(input).stdout(writer).stderr(errors).spawn().map_err(fail())?;
        // The command keeps its ends of the pipe, which would never close otherwise.
        drop(command);
        let (sender, incoming) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(reader).split(b'\n').map_while(io::Result::ok) {
                // Nobody may be interested any more; the pipe must be emptied nevertheless.
                let _ = sender.send(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
        });
        Ok(Self { name: name.to_owned(), child, incoming, lines: Vec::new(), seen: 0 })
    }

    /// Writes a line to the program's standard input.
    ///
    /// # Errors
    /// The program has ended, or was started without an input.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        let nobody = || io::Error::other("nothing reads what this program is told");
        let told = self.child.stdin.as_mut().ok_or_else(nobody).and_then(|input| writeln!(input, "{line}"));
        told.map_err(Error::system(self.name.clone()))
    }

    /// Waits for the next line that contains this text, after those that were waited for before.
    ///
    /// # Errors
    /// There is none within the time, or the program ends.
    pub fn wait_for(&mut self, text: &str, timeout: Duration) -> Result<String> {
        let deadline = Instant::now() + timeout;
        loop {
            while let Some(line) = self.lines.get(self.seen) {
                self.seen += 1;
                if line.contains(text) {
                    return Ok(line.clone());
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.incoming.recv_timeout(left) {
                Ok(line) => self.lines.push(line),
                Err(RecvTimeoutError::Timeout) => return Err(self.describe(&format!("no `{text}` within {timeout:?}"))),
                Err(RecvTimeoutError::Disconnected) => return Err(self.describe(&format!("it ended without `{text}`"))),
            }
        }
    }

    /// Waits until the program ends by itself.
    ///
    /// # Errors
    /// It does not within the time.
    pub fn wait_for_end(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
                Ok(None) => return Err(self.describe("it does not end")),
                Err(error) => return Err(self.describe(&error.to_string())),
            }
        }
    }

    /// All that the program printed so far.
    pub fn lines(&mut self) -> &[String] {
        self.lines.extend(self.incoming.try_iter());
        &self.lines
    }

    /// The number that the system knows the program by.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How long the program has kept a core of this machine busy.
    ///
    /// # Errors
    /// It has ended, and somebody has asked how.
    pub fn cpu_time(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(&path).map_err(Error::system(path))?;
        // The second field is the program's name in parentheses, which may hold anything; user and system time are the
        // 14th and the 15th.
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    /// Kills the program.
    pub fn stop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn describe(&mut self, problem: &str) -> Error {
        let lines = self.lines();
        let printed = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n  ");
        Error::Program { name: self.name.clone(), problem: problem.into(), printed }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}
