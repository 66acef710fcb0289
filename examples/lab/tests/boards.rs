//! The emulated board, by its application `echo`: frames of all sizes in both directions, DHCP, IPv6, and how it ends.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use kad_lab::{Board, Firmware, Host, Lab, Result};

const START: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(5);
const HOST: &str = "10.77.0.1:0";
/// Static RAM that is enough for the echo.
const RAM_KIB: u32 = 32;
/// Bytes of stack that the echo may use.
const STACK_MAX: u64 = 8192;

/// Runs a test in a lab, or leaves it out if this machine has none.
fn in_lab(test: impl FnOnce(&Lab, &Host, &Firmware) -> Result<()>) {
    if !kad_lab::available() {
        return;
    }
    let run = || {
        let firmware = Firmware::build("echo", RAM_KIB)?;
        let lab = Lab::start()?;
        let host = lab.host("test", &["10.77.0.1/24", "fd77::1/64"])?;
        test(&lab, &host, &firmware)
    };
    run().unwrap_or_else(|error: String| panic!("{error}"));
}

/// Starts board 1, 2, ..., which has the address 10.77.0.11, 12, ..., and waits until it answers.
fn board(lab: &Lab, firmware: &Firmware, number: u8, more: &[&str]) -> Result<Board> {
    let ip = format!("ip=10.77.0.{}/24", 10 + number);
    let ip6 = format!("ip6=fd77::{:x}/64", 10 + number);
    let (mac, seed) = (format!("mac={number}"), format!("seed={number:02x}"));
    let mut board = lab.board(firmware, &[&[&*ip, &ip6, &mac, &seed, "port=7"], more].concat())?;
    board.wait_for("ready port=7", START)?;
    Ok(board)
}

/// A socket of the test, with a deadline for answers.
fn socket(host: &Host, address: &str) -> Result<UdpSocket> {
    let socket = host.udp(address)?;
    socket.set_read_timeout(Some(ANSWER)).map_err(|error| error.to_string())?;
    Ok(socket)
}

fn datagram(len: usize, number: usize) -> Vec<u8> {
    (0..len).map(|index| (index + number) as u8).collect()
}

/// Sends datagrams one after the other; each must come back.
fn assert_echo(socket: &UdpSocket, to: &str, len: usize, count: usize) {
    for number in 0..count {
        let sent = datagram(len, number);
        socket.send_to(&sent, to).expect("sends");
        let (answer, from) =
            receive(socket).unwrap_or_else(|| panic!("{to}: no answer to {len} bytes, number {number}"));
        assert_eq!(from, to.parse().expect("an address"));
        assert!(answer == sent, "{to}: an answer to {len} bytes differs");
    }
}

fn receive(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut buffer = [0; 2048];
    let (len, from) = socket.recv_from(&mut buffer).ok()?;
    Some((buffer[..len].to_vec(), from))
}

/// Sends datagrams all at once. Answers with how many came back right.
fn burst(socket: &UdpSocket, to: &str, len: usize, count: usize) -> usize {
    let sent: Vec<_> = (0..count).map(|number| datagram(len, number)).collect();
    for datagram in &sent {
        socket.send_to(datagram, to).expect("sends");
    }
    sent.iter().map_while(|_| receive(socket)).filter(|(answer, _)| sent.contains(answer)).count()
}

/// The board's figures, as `name=value` words.
fn figure(socket: &UdpSocket, to: &str, name: &str) -> u64 {
    socket.send_to(b"?", to).expect("sends");
    let (text, _) = receive(socket).expect("the board answers");
    let text = String::from_utf8(text).expect("text");
    let word = text.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    word.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// Answers every datagram with itself until the test ends.
fn echo(socket: UdpSocket) {
    socket.set_read_timeout(None).expect("no deadline");
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..len], from);
        }
    });
}

#[test]
fn the_host_talks_with_two_boards() {
    in_lab(|lab, host, firmware| {
        let _boards = [board(lab, firmware, 1, &[])?, board(lab, firmware, 2, &[])?];
        let socket = socket(host, HOST)?;
        for to in ["10.77.0.11:7", "10.77.0.12:7"] {
            for len in [1, 64, 1471, 1472] {
                assert_echo(&socket, to, len, 20);
            }
        }
        assert_eq!(figure(&socket, "10.77.0.11:8", "rx_errors"), 0);
        assert_eq!(figure(&socket, "10.77.0.11:8", "tx_errors"), 0);
        let stack = figure(&socket, "10.77.0.11:8", "stack_used");
        println!("deepest stack: {stack} bytes");
        assert!(stack <= STACK_MAX);
        Ok(())
    });
}

#[test]
fn frames_that_are_too_long_are_skipped() {
    in_lab(|lab, host, firmware| {
        let _board = board(lab, firmware, 1, &[])?;
        for interface in ["host0", "board1", "bridge"] {
            let arguments = ["-netns", lab.name(), "link", "set", interface, "mtu", "1900"];
            assert!(Command::new("ip").args(arguments).status().expect("ip runs").success());
        }
        host.run("ip", &["link", "set", "eth0", "mtu", "1900"])?;
        let socket = socket(host, HOST)?;
        assert_echo(&socket, "10.77.0.11:7", 64, 1);
        for len in [1473, 1600, 1872] {
            socket.send_to(&datagram(len, 0), "10.77.0.11:7").expect("sends");
            assert_echo(&socket, "10.77.0.11:7", 1472, 2);
        }
        assert_eq!(figure(&socket, "10.77.0.11:8", "rx_errors"), 3);
        Ok(())
    });
}

#[test]
fn many_boards_share_a_network() {
    in_lab(|lab, host, firmware| {
        let boards: Vec<_> = (1..=12).map(|number| board(lab, firmware, number, &[])).collect::<Result<_>>()?;
        let socket = socket(host, HOST)?;
        for number in 1..=boards.len() {
            assert_echo(&socket, &format!("10.77.0.{}:7", 10 + number), 1472, 10);
        }
        Ok(())
    });
}

#[test]
fn boards_talk_with_the_host_and_with_each_other() {
    in_lab(|lab, host, firmware| {
        echo(socket(host, "10.77.0.1:7")?);
        let _other = board(lab, firmware, 1, &[])?;
        let actions = "do=ping:64:20:10.77.0.1:7,ping:1472:20:10.77.0.1:7,ping:64:20:10.77.0.11:7,\
                       ping:1472:20:10.77.0.11:7,burst:64:10:10.77.0.11:7";
        let mut board = board(lab, firmware, 2, &[actions])?;
        for done in ["10.77.0.1:7 len=64", "10.77.0.1:7 len=1472", "10.77.0.11:7 len=64", "10.77.0.11:7 len=1472"] {
            let line = board.wait_for(done, START)?;
            assert!(line.ends_with("sent=20 back=20"), "{line}");
        }
        let line = board.wait_for("ping 10.77.0.11:7", START)?;
        assert!(line.ends_with("sent=10 back=10"), "{line}");
        Ok(())
    });
}

#[test]
fn bursts_are_answered_as_far_as_there_is_room() {
    in_lab(|lab, host, firmware| {
        let _board = board(lab, firmware, 1, &[])?;
        let socket = socket(host, HOST)?;
        socket.set_read_timeout(Some(Duration::from_millis(500))).map_err(|error| error.to_string())?;
        // The board knows the host's address then, and need not ask for it while datagrams wait.
        assert_echo(&socket, "10.77.0.11:7", 64, 1);
        for _ in 0..20 {
            assert_eq!(burst(&socket, "10.77.0.11:7", 64, 10), 10);
        }
        // The chip holds 6 frames of this size, and so does the socket; others may take some of that room.
        let answered: Vec<_> = (0..20).map(|_| burst(&socket, "10.77.0.11:7", 1472, 10)).collect();
        let full = figure(&socket, "10.77.0.11:8", "rx_full");
        println!("of 10 datagrams of 1472 bytes at once, these many were answered: {answered:?}; rx_full={full}");
        assert!(answered.iter().all(|&count| count >= 4), "{answered:?}");
        Ok(())
    });
}

#[test]
fn boards_speak_ipv6() {
    in_lab(|lab, host, firmware| {
        echo(socket(host, "[fd77::1]:7")?);
        let actions = "do=ping:64:10:[fd77::1]:7,ping:1452:10:[fd77::1]:7";
        let mut board = board(lab, firmware, 1, &[actions])?;
        for len in [64, 1452] {
            let line = board.wait_for(&format!("len={len}"), START)?;
            assert!(line.ends_with("sent=10 back=10"), "{line}");
        }
        let socket = socket(host, "[fd77::1]:0")?;
        assert_echo(&socket, "[fd77::b]:7", 64, 20);
        assert_echo(&socket, "[fd77::b]:7", 1452, 20);
        Ok(())
    });
}

#[test]
fn boards_get_an_address_by_dhcp() {
    in_lab(|lab, host, firmware| {
        let _server = kad_lab::dhcp_server(host, "10.77.0.50", "10.77.0.50")?;
        let mut board = lab.board(firmware, &["ip=dhcp", "ip6=fd77::b/64", "seed=01", "port=7"])?;
        board.wait_for("up ip=10.77.0.50/24", START)?;
        board.wait_for("ready", START)?;
        assert_echo(&socket(host, HOST)?, "10.77.0.50:7", 64, 5);
        Ok(())
    });
}

#[test]
fn an_idle_board_lets_the_host_sleep() {
    in_lab(|lab, host, firmware| {
        let board = board(lab, firmware, 1, &[])?;
        let socket = socket(host, HOST)?;
        let (started, cpu) = (Instant::now(), board.cpu_time()?);
        let uptime = figure(&socket, "10.77.0.11:8", "uptime_ms");
        std::thread::sleep(Duration::from_secs(5));
        let share = (board.cpu_time()? - cpu).as_secs_f64() / started.elapsed().as_secs_f64();
        // The board's clock is the host's, as nearly as the two can be read at the same time.
        let passed = figure(&socket, "10.77.0.11:8", "uptime_ms") - uptime;
        println!("idle: {:.1} % of a core; 5 s were {passed} ms", share * 100.0);
        assert!(share < 0.15, "{share}");
        assert!((4900..6000).contains(&passed), "{passed}");
        Ok(())
    });
}

#[test]
fn frames_are_lost_when_told_so_and_cables_pulled() {
    in_lab(|lab, host, firmware| {
        let board = board(lab, firmware, 1, &[])?;
        let socket = socket(host, HOST)?;
        socket.set_read_timeout(Some(Duration::from_millis(50))).map_err(|error| error.to_string())?;
        let answered = || (0..40).filter(|&number| burst(&socket, "10.77.0.11:7", 64 + number, 1) == 1).count();
        assert_eq!(answered(), 40);
        lab.lose(300)?;
        let count = answered();
        // About half: an answer needs that two frames arrive.
        assert!((5..=35).contains(&count), "{count}");
        lab.spare(host)?;
        assert_eq!(answered(), 40, "whoever is spared loses nothing");
        lab.lose(0)?;
        assert_eq!(answered(), 40);
        board.unplug()?;
        assert_eq!(burst(&socket, "10.77.0.11:7", 64, 1), 0);
        board.plug()?;
        assert_eq!(answered(), 40);
        Ok(())
    });
}

#[test]
fn a_board_ends_with_a_status() {
    in_lab(|lab, _, firmware| {
        let ends = [
            ("exit", "ready", true),
            ("panic", "panicked at", false),
            ("overflow", "the stack overflowed", false),
            ("dance", "`do=dance`: this application has no such action", false),
        ];
        for (action, line, success) in ends {
            let mut board = lab.board(firmware, &["ip=10.77.0.11/24", "seed=01", "port=7", &format!("do={action}")])?;
            board.wait_for(line, START)?;
            assert_eq!(board.wait_for_end(START)?.success(), success, "{action}");
        }
        let mut board = lab.board(firmware, &["ip=10.77.0.11", "seed=01"])?;
        board.wait_for("`ip=10.77.0.11`: expected ADDRESS/PREFIX", START)?;
        assert!(!board.wait_for_end(START)?.success());
        Ok(())
    });
}

#[test]
fn the_linker_refuses_what_does_not_fit() {
    if !kad_lab::available() {
        return;
    }
    let sizes = Firmware::build("echo", RAM_KIB).and_then(|firmware| firmware.sizes()).expect("it fits");
    println!("{sizes:?}");
    assert!(sizes.ram <= RAM_KIB * 1024);
    let error = Firmware::build("echo", 16).expect_err("it does not fit");
    assert!(error.contains("region 'RAM'"), "{error}");
}
