//! The node on plain smoltcp of `examples/smoltcp`, on a TAP device, in a network of daemons.

use std::time::{Duration, Instant};

use kad_lab::{Daemon, Host, Lab, Process, Result, Tap};

const START: Duration = Duration::from_secs(20);
/// How long a command of the example may take, and it says so itself.
const PATIENCE: Duration = Duration::from_secs(25);
/// The longest that neighbours who are gone may hold up a command.
const HELD_UP: u64 = 3000;
const SIZES: [usize; 2] = [64, 5000];

/// Runs a test in a lab, or leaves it out if this machine has none.
fn in_lab(test: impl FnOnce(&Lab) -> Result<()>) {
    if kad_lab::available() {
        Lab::start().and_then(|lab| test(&lab)).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Two daemons that know each other, on 10.77.0.1 and 10.77.0.2.
fn daemons<'a>(kad: &str, (a, b): (&'a Host, &'a Host)) -> Result<(Daemon<'a>, Daemon<'a>)> {
    let mut first = Daemon::start(a, kad, &["--listen", "10.77.0.1:9000"])?;
    first.wait_for("listen=10.77.0.1:9000", START)?;
    let mut second = Daemon::start(b, kad, &["--listen", "10.77.0.2:9000", "--bootstrap", "10.77.0.1:9000"])?;
    second.wait_for("listen=10.77.0.2:9000", START)?;
    let deadline = Instant::now() + START;
    while first.kad("peers", &[])?.is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok((first, second))
}

/// The example, on 10.77.0.20.
fn example(tap: &Tap, bootstrap: &[&str]) -> Result<Process> {
    let program = kad_lab::program("kad-example-smoltcp", "kad-smoltcp")?;
    let mut arguments = vec!["--tap", tap.name(), "--ip", "10.77.0.20/24"];
    arguments.extend(bootstrap.iter().flat_map(|address| ["--bootstrap", address]));
    let mut example = tap.spawn(&program, &arguments)?;
    println!("{}", example.wait_for("ready", START)?);
    Ok(example)
}

fn value(len: usize, first: u8) -> String {
    (0..len).map(|index| char::from(b'a' + (first + (index % 23) as u8) % 26)).collect()
}

/// The number after `name=` in a line.
fn figure(line: &str, name: &str) -> u64 {
    let word = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no {name} in `{line}`"))
}

/// Tells the example something; answers with what it says about it.
fn ask(example: &mut Process, command: &str, answer: &str) -> Result<String> {
    example.tell(command)?;
    Ok(example.wait_for(answer, PATIENCE)?)
}

#[test]
fn values_go_both_ways() {
    in_lab(|lab| {
        let kad = kad_lab::kad_program()?;
        let (a, b) = (lab.host("a", &["10.77.0.1/24"])?, lab.host("b", &["10.77.0.2/24"])?);
        let (first, second) = daemons(&kad, (&a, &b))?;
        for len in SIZES {
            first.kad("put", &["--name", &format!("theirs-{len}"), &value(len, 0)])?;
        }
        let tap = lab.tap()?;
        let mut example = example(&tap, &["10.77.0.1:9000"])?;
        for len in SIZES {
            let line = ask(&mut example, &format!("get theirs-{len}"), &format!("get theirs-{len}: "))?;
            assert!(line.ends_with(&format!("value={}", value(len, 0))), "{line}");
        }
        for len in SIZES {
            let name = format!("ours-{len}");
            let line = ask(&mut example, &format!("put {name} {}", value(len, 1)), &format!("put {name}: "))?;
            assert_eq!((figure(&line, "copies"), figure(&line, "elsewhere")), (3, 2), "{line}");
            for daemon in [&first, &second] {
                assert_eq!(daemon.kad("get", &["--name", &name])?, value(len, 1).into_bytes());
            }
        }
        let line = ask(&mut example, "get nothing", "get nothing: ")?;
        assert!(line.contains("not found"), "{line}");
        let line = ask(&mut example, &format!("put much {}", value(5121, 0)), "put much: ")?;
        assert!(line.contains("at most 5120 can be stored"), "{line}");
        let line = ask(&mut example, "status", "status: ")?;
        assert_eq!((figure(&line, "contacts"), figure(&line, "resets")), (2, 0), "{line}");
        ask(&mut example, "leave", "left")?;
        assert!(example.wait_for_end(START)?.success());
        Ok(())
    });
}

#[test]
fn the_daemons_find_what_only_the_example_has() {
    in_lab(|lab| {
        let kad = kad_lab::kad_program()?;
        let tap = lab.tap()?;
        let mut example = example(&tap, &[])?;
        for len in SIZES {
            let name = format!("ours-{len}");
            let line = ask(&mut example, &format!("put {name} {}", value(len, 1)), &format!("put {name}: "))?;
            assert!(line.contains("copies=1 elsewhere=0"), "{line}");
        }
        let host = lab.host("a", &["10.77.0.1/24"])?;
        let mut daemon = Daemon::start(&host, &kad, &["--listen", "10.77.0.1:9000", "--bootstrap", "10.77.0.20:4570"])?;
        daemon.wait_for("listen=10.77.0.1:9000", START)?;
        for len in SIZES {
            assert_eq!(daemon.kad("get", &["--name", &format!("ours-{len}")])?, value(len, 1).into_bytes());
        }
        Ok(())
    });
}

#[test]
fn neighbours_that_are_gone_hold_nobody_up() {
    in_lab(|lab| {
        let kad = kad_lab::kad_program()?;
        let (a, b) = (lab.host("a", &["10.77.0.1/24"])?, lab.host("b", &["10.77.0.2/24"])?);
        let (first, _second) = daemons(&kad, (&a, &b))?;
        for len in SIZES {
            first.kad("put", &["--name", &format!("theirs-{len}"), &value(len, 0)])?;
        }
        // The first daemon still tells of the second, and at three of the bootstrap addresses there never was anybody: more
        // than the example has sockets to send from.
        b.run("ip", &["link", "set", "eth0", "down"])?;
        let tap = lab.tap()?;
        let mut example = example(&tap, &["10.77.0.97:9000", "10.77.0.98:9000", "10.77.0.99:9000", "10.77.0.1:9000"])?;
        let mut commands = Vec::new();
        for len in SIZES {
            commands.push((format!("get theirs-{len}"), value(len, 0)));
            commands.push((format!("put ours-{len} {}", value(len, 1)), "elsewhere=1".to_owned()));
        }
        for (command, expected) in commands {
            let said = command.split(' ').take(2).collect::<Vec<_>>().join(" ");
            let line = ask(&mut example, &command, &format!("{said}: "))?;
            println!("{said}: {} ms", figure(&line, "ms"));
            assert!(line.contains(&expected) && figure(&line, "ms") <= HELD_UP, "{line}");
        }
        for len in SIZES {
            assert_eq!(first.kad("get", &["--name", &format!("ours-{len}")])?, value(len, 1).into_bytes());
        }
        let line = ask(&mut example, "status", "status: ")?;
        println!("{line}");
        // What was sent to them was given up after the time that a neighbour has to answer, or not sent while they were waited
        // for: which of the two depends on how soon the commands came to their end.
        assert!(figure(&line, "resets") + figure(&line, "crowded") >= 4, "the four were waited for: {line}");
        Ok(())
    });
}
