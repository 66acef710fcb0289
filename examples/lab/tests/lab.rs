//! The lab itself: daemons in it, and that nothing is left of it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kad_lab::{Daemon, Firmware, Lab, Result};

const START: Duration = Duration::from_secs(20);

/// In the environment of this program: be the lab that is killed.
const VICTIM: &str = "KAD_LAB_VICTIM";

#[test]
fn daemons_talk_with_each_other() {
    if !kad_lab::available() {
        return;
    }
    put_and_get().unwrap_or_else(|error| panic!("{error}"));
}

fn put_and_get() -> Result<()> {
    let kad = kad_lab::kad_program()?;
    let lab = Lab::start()?;
    let (a, b) = (lab.host("a", &["10.77.0.1/24"])?, lab.host("b", &["10.77.0.2/24"])?);
    let mut first = Daemon::start(&a, &kad, &["--listen", "10.77.0.1:9000"])?;
    first.wait_for("listen=10.77.0.1:9000", START)?;
    let mut second = Daemon::start(&b, &kad, &["--listen", "10.77.0.2:9000", "--bootstrap", "10.77.0.1:9000"])?;
    second.wait_for("listen=10.77.0.2:9000", START)?;
    let deadline = Instant::now() + START;
    while first.kad("peers", &[])?.is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    first.kad("put", &["--name", "greeting", "hello"])?;
    assert_eq!(second.kad("get", &["--name", "greeting"])?, b"hello");
    Ok(())
}

/// Not a test by itself: [`nothing_is_left_of_a_lab_whose_process_was_killed`] runs it as a program, and kills that.
#[test]
#[ignore = "run by another test"]
fn victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let firmware = Firmware::build("echo", 32).expect("builds");
    let lab = Lab::start().expect("starts");
    let mut board = lab.board(&firmware, &["ip=10.77.0.11/24", "seed=01"]).expect("starts");
    board.wait_for("ready", START).expect("gets ready");
    eprintln!("victim: {} {}", lab.name(), board.id());
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn nothing_is_left_of_a_lab_whose_process_was_killed() {
    if !kad_lab::available() {
        return;
    }
    let program = std::env::current_exe().expect("this program");
    let mut victim = Command::new(program)
        .args(["--ignored", "--exact", "victim", "--nocapture"])
        .env(VICTIM, "yes")
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(victim.stderr.take().expect("piped")).lines().map_while(std::io::Result::ok);
    let line = lines.into_iter().find(|line| line.starts_with("victim: ")).expect("it says who it is");
    let [_, namespace, board] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
    let namespace = Path::new("/run/netns").join(namespace);
    let board = Path::new("/proc").join(board);
    assert!(namespace.exists() && board.exists());

    victim.kill().expect("is alive");
    victim.wait().expect("is dead");
    let deadline = Instant::now() + START;
    while (namespace.exists() || board.exists()) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!namespace.exists(), "the network is left");
    assert!(!board.exists(), "the board is left");
}
