//! How deep a firmware's stack gets, from a run of it on an emulated board, beside another one.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::requirements::left_out;

/// How long a board may take to say how deep its stack was.
const PATIENCE: Duration = Duration::from_secs(60);

/// A board, switched off when dropped.
struct Board(Child);

impl Drop for Board {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The deepest that the stack gets while a board joins through another, stores and finds. `None` without QEMU.
pub(crate) fn deepest(profile: &str, firmware: &Path, peer: &Path) -> Result<Option<u64>, String> {
    if Command::new("qemu-system-arm").arg("--version").output().is_err() {
        return left_out("footprint", "stacks: `qemu-system-arm` is not installed").map(|()| None);
    }
    let (do_, figure) = match profile.starts_with("client") {
        true => (&["do=put:a:500", "do=get:a", "do=put:b:100", "do=get:b"][..], "stack used="),
        false => (&["do=joined", "do=put:a:1000", "do=get:a", "do=get:b", "do=status"][..], "stack_used="),
    };
    let mut peer = start(peer, 1, &[])?;
    let peer_lines = lines(&mut peer);
    wait_for(&peer_lines, "ready")?;
    let mut board = start(firmware, 2, &[&["peers=10.0.0.1:9000"], do_].concat())?;
    let line = wait_for(&lines(&mut board), figure)?;
    let after = line.split_once(figure).map_or("", |(_, after)| after);
    let digits = after.split(|character: char| !character.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().map(Some).map_err(|_| format!("{profile}: no figure in `{line}`"))
}

/// Starts a board on an Ethernet that all boards of this process share: datagrams of a multicast group on this machine.
fn start(firmware: &Path, number: u8, more: &[&str]) -> Result<Board, String> {
    let process = std::process::id();
    let group = format!("239.{}.{}.7:27123", process >> 8 & 0xff, process & 0xff);
    let mut arguments = "enable=on,target=native,arg=firmware".to_owned();
    let own = [format!("ip=10.0.0.{number}/24"), format!("mac={number}"), format!("seed=0{number}")];
    for argument in own.iter().map(String::as_str).chain(more.iter().copied()) {
        arguments += &format!(",arg={}", argument.replace(',', ",,"));
    }
    let mut qemu = Command::new("qemu-system-arm");
    qemu.args(["-M", "mps2-an386", "-display", "none", "-serial", "none", "-monitor", "none"]);
    qemu.args(["-net", "nic,netdev=lan,model=lan9118"]);
    qemu.args(["-netdev", &format!("socket,id=lan,mcast={group},localaddr=127.0.0.1")]);
    qemu.args(["-semihosting-config", &arguments, "-kernel"]).arg(firmware);
    let child = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    child.map(Board).map_err(|error| format!("qemu-system-arm: {error}"))
}

/// What a board prints, line by line.
fn lines(board: &mut Board) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    if let Some(output) = board.0.stdout.take() {
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody may be interested any more; the pipe must be emptied nevertheless.
                let _ = sender.send(line);
            }
        });
    }
    receiver
}

fn wait_for(lines: &mpsc::Receiver<String>, text: &str) -> Result<String, String> {
    let (until, mut last) = (Instant::now() + PATIENCE, String::new());
    loop {
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains(text) => return Ok(line),
            Ok(line) => last = line,
            Err(_) => return Err(format!("a board did not say `{text}`; the last it said was: {last}")),
        }
    }
}
