//! `kad top` in a terminal, with a real daemon: what a person sees and presses.
#![cfg(unix)]

use crate::common;

use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Daemon, succeed};
use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};

/// A terminal with a program in it.
struct Terminal {
    pty: Arc<Pty>,
    child: Child,
    screen: Arc<Mutex<vt100::Parser>>,
    /// Everything that was ever written.
    written: Arc<Mutex<Vec<u8>>>,
}

fn size(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap()
}

impl Terminal {
    fn start(arguments: &[&str]) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(24, 80)).unwrap();
        let command = Command::new(env!("CARGO_BIN_EXE_kad")).args(arguments).env("TERM", "xterm-256color");
        let child = command.spawn(pts).unwrap();
        let (pty, screen) = (Arc::new(pty), Arc::new(Mutex::new(vt100::Parser::new(size(24), size(80), 0))));
        let written = Arc::new(Mutex::new(Vec::new()));
        let (reader, shown, kept) = (pty.clone(), screen.clone(), written.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The end of the program is an error here.
            while let Ok(len @ 1..) = (&*reader).read(&mut bytes) {
                kept.lock().unwrap().extend_from_slice(&bytes[..len]);
                shown.lock().unwrap().process(&bytes[..len]);
            }
        });
        Self { pty, child, screen, written }
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    fn press(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).unwrap();
    }

    fn resize(&self, rows: u16, columns: u16) {
        self.screen.lock().unwrap().set_size(size(rows), size(columns));
        self.pty.resize(Size::new(rows, columns)).unwrap();
    }

    fn wait_for(&self, what: &str, is_there: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !is_there(&self.text()) {
            assert!(Instant::now() < deadline, "{what}:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end. Answers with the exit status, and whether the screen is the shell's again.
    fn end(&mut self) -> (Option<i32>, bool) {
        let status = self.child.wait().unwrap();
        self.wait_for("the terminal is given back", |_| !self.screen.lock().unwrap().screen().alternate_screen());
        let hidden = self.screen.lock().unwrap().screen().hide_cursor();
        (status.code(), !hidden)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_person_watches_a_daemon() {
    let first = Daemon::start(&[]);
    let second = Daemon::join(&first);
    let mut terminal = Terminal::start(&["top", "--interval", "100ms", "--data-dir", second.dir()]);
    terminal.wait_for("a frame", |text| text.contains("READY") && text.contains(&first.address.to_string()));
    succeed(&["put", "seen", "--data-dir", second.dir()]);
    terminal.wait_for("the store", |text| text.contains("store") && text.contains("1 copies"));
    terminal.wait_for("its walk", |text| text.contains("answered"));
    terminal.press("?");
    terminal.wait_for("the help", |text| text.contains("operations or contacts"));
    terminal.press("?\t");
    terminal.wait_for("the contacts", |text| text.contains("1 contacts *") && !text.contains("operations or contacts"));

    terminal.resize(12, 60);
    terminal.wait_for("the small terminal", |text| text.contains("too small"));
    terminal.resize(40, 120);
    let is_wide = |text: &str| text.contains("READY") && text.lines().any(|line| line.chars().count() > 100);
    terminal.wait_for("the large terminal", is_wide);

    succeed(&["stop", "--data-dir", second.dir()]);
    terminal.wait_for("the daemon's end", |text| text.contains("LOST"));
    terminal.press("q");
    assert_eq!(terminal.end(), (Some(0), true));
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let daemon = Daemon::start(&[]);
    for end in ["\u{3}", ""] {
        let mut terminal = Terminal::start(&["top", "--interval", "100ms", "--data-dir", daemon.dir()]);
        terminal.wait_for("a frame", |text| text.contains("READY"));
        match end {
            "" => {
                let kill = std::process::Command::new("kill").arg(terminal.child.id().to_string()).status();
                assert!(kill.unwrap().success());
            }
            keys => terminal.press(keys),
        }
        assert_eq!(terminal.end(), (Some(0), true));
    }
}

#[test]
fn a_person_sees_how_far_a_bulk_store_is() {
    let daemon = Daemon::start(&[]);
    let file = daemon.path().join("lines");
    let lines: String = (0..1000).map(|number| format!("{{\"text\": \"{number}\"}}\n")).collect();
    std::fs::write(&file, lines).unwrap();
    let mut terminal = Terminal::start(&["put", "--jsonl", file.to_str().unwrap(), "--data-dir", daemon.dir()]);
    terminal.wait_for("the summary", |text| text.contains("1000 values, "));
    assert_eq!(terminal.end().0, Some(0));
    let written = String::from_utf8_lossy(&terminal.written.lock().unwrap()).into_owned();
    assert!(written.contains("storing") && written.contains("/1000"), "{written}");
    assert!(!terminal.text().contains("storing"), "the bar goes when it is done:\n{}", terminal.text());
}
