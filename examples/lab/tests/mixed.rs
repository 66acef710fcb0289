//! One network of servers and emulated boards: `kad` daemons in namespaces, firmware in QEMU, one Ethernet.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use kad_lab::{Board, Daemon, Firmware, Host, Lab, Result};
use kad_wire::Key;

const START: Duration = Duration::from_secs(40);
/// How long a command may take on a board, on a machine that is busy with others.
const COMMAND: Duration = Duration::from_secs(45);
const PORT: u16 = 9000;
const DOOR: &str = "10.77.0.1:9000";
/// Static RAM of the boards, in KiB, which is also what their firmware is called by.
const BOARDS: [u32; 3] = [32, 64, 128];

/// The network under test.
struct Mixed<'a> {
    hosts: &'a [Host],
    servers: Vec<Daemon<'a>>,
    boards: Vec<Board>,
    /// Where the test itself talks to boards from.
    socket: UdpSocket,
}

/// Runs a test in a network of five servers and three boards, or leaves it out if this machine has no lab.
fn in_a_mixed_network(test: impl FnOnce(&Lab, &mut Mixed<'_>) -> Result<()>) {
    if !kad_lab::available() {
        return;
    }
    let run = || {
        let program = kad_lab::kad_program()?;
        let lab = Lab::start()?;
        let tester = lab.host("test", &["10.77.0.100/24"])?;
        lab.spare(&tester)?;
        let names = (1..=5).map(|number| (format!("server{number}"), format!("10.77.0.{number}/24")));
        let hosts = names.map(|(name, address)| Ok(lab.host(&name, &[&address])?)).collect::<Result<Vec<_>>>()?;
        let servers = (0..hosts.len()).map(|number| server(&hosts, &program, number)).collect::<Result<_>>()?;
        let boards = (0..BOARDS.len()).map(|number| board(&lab, number)).collect::<Result<_>>()?;
        let socket = tester.udp("10.77.0.100:0")?;
        socket.set_read_timeout(Some(COMMAND)).map_err(|error| error.to_string())?;
        let mut mixed = Mixed { hosts: &hosts, servers, boards, socket };
        mixed.settle()?;
        test(&lab, &mut mixed)
    };
    run().unwrap_or_else(|error: String| panic!("{error}"));
}

fn server<'a>(hosts: &'a [Host], program: &str, number: usize) -> Result<Daemon<'a>> {
    let listen = format!("10.77.0.{}:{PORT}", number + 1);
    let bootstrap: &[&str] = if number == 0 { &[] } else { &["--bootstrap", DOOR] };
    let mut daemon = Daemon::start(&hosts[number], program, &[&["--listen", &listen][..], bootstrap].concat())?;
    daemon.wait_for(&listen, START)?;
    Ok(daemon)
}

fn board(lab: &Lab, number: usize) -> Result<Board> {
    let kib = BOARDS[number];
    let firmware = Firmware::build(&format!("node_{kib}"), kib)?;
    let (ip, mac) = (format!("ip={}/24", ip(number)), format!("mac={}", number + 1));
    let (seed, peers) = (format!("seed={:02x}{:08x}", number + 1, std::process::id()), format!("peers={DOOR}"));
    let mut board = lab.board(&firmware, &[&ip, &mac, &seed, &peers, "port=9000"])?;
    board.wait_for("ready port=9000", START)?;
    Ok(board)
}

fn ip(number: usize) -> String {
    format!("10.77.0.{}", 11 + number)
}

/// What boards store under a length: see `value.rs` of the firmware.
fn text(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491u32;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as u8
    };
    (0..len).map(next).collect()
}

impl Mixed<'_> {
    /// Gives a board a command, and waits for its answer.
    fn tell(&self, board: usize, command: &str) -> String {
        let to = format!("{}:{}", ip(board), PORT + 1);
        self.socket.send_to(command.as_bytes(), &to).expect("sends");
        let mut answer = [0; 512];
        let answered = self.socket.recv_from(&mut answer);
        let (len, _) = answered.unwrap_or_else(|error| panic!("board {board}, {command}: {error}"));
        String::from_utf8_lossy(&answer[..len]).into_owned()
    }

    /// Waits until everybody knows enough others.
    fn settle(&mut self) -> Result<()> {
        for board in 0..self.boards.len() {
            let joined = self.tell(board, "joined");
            assert!(joined.starts_with("ok "), "board {board}: {joined}");
        }
        let deadline = Instant::now() + START;
        let knows = |answer: &str| figure(answer, "contacts").is_some_and(|contacts| contacts >= 5);
        while !(0..self.boards.len()).all(|board| knows(&self.tell(board, "status"))) {
            assert!(Instant::now() < deadline, "the boards know too few: {}", self.tell(0, "status"));
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// Publishes on a server, and answers with what `kad put --json` says.
    fn put(&self, server: usize, name: &str, value: &[u8]) -> serde_json::Value {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), value).expect("written");
        let path = file.path().to_string_lossy();
        let said = self.servers[server].kad("put", &["--file", &path, "--name", name, "--json"]).expect("put");
        serde_json::from_slice(&said).expect("JSON")
    }

    /// Whether a server finds exactly this value.
    fn assert_server_reads(&self, server: usize, name: &str, value: &[u8]) {
        let found = self.servers[server].kad("get", &["--name", name]).expect("found");
        assert!(found == value, "server {server} reads {} bytes of {name}", found.len());
    }

    /// Whether a board finds exactly this value.
    fn assert_board_reads(&self, board: usize, name: &str, value: &[u8]) {
        let expected = format!("ok len={} hash={}", value.len(), Key::hash(value));
        assert_eq!(self.tell(board, &format!("get:{name}")), expected, "board {board} reads {name}");
    }
}

/// A number in an answer, as `name=number`.
fn figure(answer: &str, name: &str) -> Option<u64> {
    answer.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

#[test]
fn values_go_from_servers_to_boards_and_back_and_from_board_to_board() {
    in_a_mixed_network(|_, net| {
        for (name, len) in [("a small one", 64), ("a datagram full", 1000)] {
            net.put(1, name, &text(len));
            (0..BOARDS.len()).for_each(|board| net.assert_board_reads(board, name, &text(len)));
        }
        for board in 0..BOARDS.len() {
            let name = format!("from-board-{board}");
            let put = net.tell(board, &format!("put:{name}:100"));
            assert!(figure(&put, "elsewhere").is_some_and(|copies| copies >= 3), "{put}");
            (0..net.servers.len()).for_each(|server| net.assert_server_reads(server, &name, &text(100)));
            (0..BOARDS.len()).for_each(|board| net.assert_board_reads(board, &name, &text(100)));
        }
        // Larger than a datagram, in both directions.
        net.put(2, "four thousand", &text(4000));
        net.assert_board_reads(1, "four thousand", &text(4000));
        net.assert_board_reads(2, "four thousand", &text(4000));
        let put = net.tell(1, "put:from-a-board:4000");
        assert!(figure(&put, "elsewhere").is_some_and(|copies| copies >= 3), "{put}");
        net.assert_server_reads(3, "from-a-board", &text(4000));
        net.assert_board_reads(2, "from-a-board", &text(4000));
        for (board, kib) in BOARDS.iter().enumerate() {
            println!("board with {kib} KiB: {}", net.tell(board, "status"));
        }
        Ok(())
    });
}

#[test]
fn a_large_value_reaches_the_board_that_has_room_for_it_and_is_refused_by_the_others() {
    in_a_mixed_network(|lab, net| {
        lab.lose(50)?;
        let value = text(16 * 1024);
        let receipt = net.put(0, "large", &value);
        let refused = receipt["refused"].as_array().expect("a list").iter();
        let mut refused: Vec<_> = refused.map(|node| (node["address"].as_str(), node["reason"].as_str())).collect();
        refused.sort_unstable();
        let too_large = |address| (Some(address), Some("too_large"));
        let boards = [too_large("10.77.0.11:9000"), too_large("10.77.0.12:9000")];
        assert_eq!(refused, boards, "the boards with 32 and 64 KiB: {receipt}");
        net.assert_board_reads(2, "large", &value);
        let small = net.tell(0, "get:large");
        assert!(small.starts_with("error: there are more values, or larger ones"), "{small}");
        let put = net.tell(2, "put:from-a-board:16384");
        assert!(figure(&put, "elsewhere").is_some_and(|copies| copies >= 3), "{put}");
        net.assert_server_reads(4, "from-a-board", &value);
        Ok(lab.lose(0)?)
    });
}

#[test]
fn boards_leave_and_return_and_a_server_dies_and_values_stay() {
    in_a_mixed_network(|lab, net| {
        net.put(3, "kept", &text(500));
        assert_eq!(net.tell(0, "leave"), "ok");
        net.servers[3].stop();
        net.boards[2].stop();
        for server in [0, 1, 2, 4] {
            net.assert_server_reads(server, "kept", &text(500));
        }
        net.assert_board_reads(1, "kept", &text(500));
        net.boards[0].stop();
        for number in [0, 2] {
            net.boards[number] = board(lab, number)?;
            assert!(net.tell(number, "joined").starts_with("ok "));
            net.assert_board_reads(number, "kept", &text(500));
        }
        let put = net.tell(2, "put:again:300");
        assert!(figure(&put, "elsewhere").is_some_and(|copies| copies >= 3), "{put}");
        net.assert_board_reads(0, "again", &text(300));
        assert_eq!(net.hosts.len(), 5);
        Ok(())
    });
}

#[test]
fn a_board_that_is_unplugged_costs_the_others_at_most_three_seconds() {
    in_a_mixed_network(|_, net| {
        net.put(0, "wanted", &text(64));
        // Long enough for boards to forget each other's hardware addresses.
        std::thread::sleep(Duration::from_secs(62));
        net.boards[0].unplug()?;
        let (mut longest, end) = (Duration::ZERO, Instant::now() + Duration::from_secs(20));
        let mut rounds = 0;
        while Instant::now() < end {
            let start = Instant::now();
            net.assert_board_reads(1, "wanted", &text(64));
            let missing = net.tell(1, &format!("get:nothing-{rounds}"));
            assert_eq!(missing, "none");
            longest = longest.max(start.elapsed());
            rounds += 1;
        }
        let status = net.tell(1, "status");
        println!("{rounds} rounds, the longest took {longest:?}; {status}");
        assert!(figure(&status, "dead").is_some_and(|dead| dead > 0), "it was missed: {status}");
        assert!(longest <= Duration::from_secs(3), "{longest:?}");
        Ok(())
    });
}

#[test]
fn a_sleepy_board_stores_and_finds_and_nobody_counts_on_it() {
    in_a_mixed_network(|lab, net| {
        net.put(1, "wanted", &text(64));
        let firmware = Firmware::build("client_16", 16)?;
        let (peers, seed) = (format!("peers={DOOR}"), format!("seed=77{:08x}", std::process::id()));
        let arguments =
            ["ip=10.77.0.50/24", "mac=50", &seed, &peers, "do=get:wanted,put:from-client:400,get:from-client"];
        let mut client = lab.board(&firmware, &arguments)?;
        client.wait_for(&format!("get wanted len=64 hash={}", Key::hash(text(64))), START)?;
        let put = client.wait_for("put from-client", COMMAND)?;
        assert!(figure(&put, "copies").is_some_and(|copies| copies >= 3), "{put}");
        client.wait_for(&format!("get from-client len=400 hash={}", Key::hash(text(400))), COMMAND)?;
        let costs = client.lines().iter().filter_map(|line| figure(line, "sent"));
        assert!(costs.clone().count() >= 2 && costs.clone().all(|sent| sent <= 64), "{:?}", client.lines());
        net.assert_server_reads(4, "from-client", &text(400));
        let peers = net.servers[0].kad("peers", &[])?;
        assert!(!String::from_utf8_lossy(&peers).contains("10.77.0.50"), "it is in nobody's table");
        Ok(())
    });
}
