//! What stands for a board: a TAP device, a clock, a source of entropy, and somebody who types commands.
#![forbid(unsafe_code)]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant as Clock};

use clap::Parser;
use kad_example_smoltcp::memory::Memory;
use kad_example_smoltcp::{Copies, Network, Outcome, Parts, Plain, Receipt, StoreOptions};
use kad_wire::{Instant, Key, NodeId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smoltcp::phy::{Medium, TunTapInterface, wait};
use static_cell::ConstStaticCell;

/// How long to wait for a frame at the most: nothing but frames wakes this program, and there may be a new command.
const LONGEST_WAIT: Duration = Duration::from_millis(20);

static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());

/// A kad node on plain smoltcp, on a TAP device.
///
/// Each line of standard input is a command: `put NAME VALUE`, `get NAME`, `status`, `leave`.
#[derive(Parser)]
struct Arguments {
    /// The TAP device.
    #[arg(long, default_value = "tap0")]
    tap: String,
    /// The node's address in its network.
    #[arg(long, value_name = "ADDRESS/PREFIX", value_parser = network)]
    ip: (Ipv4Addr, u8),
    /// Who forwards to other networks.
    #[arg(long)]
    gateway: Option<Ipv4Addr>,
    /// The UDP port.
    #[arg(long, default_value_t = 4570, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Where the network is reached: at most four addresses.
    #[arg(long, value_name = "ADDRESS:PORT")]
    bootstrap: Vec<SocketAddr>,
    /// Commands to run before those of standard input.
    #[arg(value_name = "COMMAND")]
    commands: Vec<String>,
}

fn network(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let (address, prefix) = text.split_once('/').ok_or("expected ADDRESS/PREFIX")?;
    let address = address.parse().map_err(|error| format!("{error}"))?;
    let prefix = prefix.parse().ok().filter(|bits| *bits <= 32).ok_or("a prefix has 0 to 32 bits")?;
    Ok((address, prefix))
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { tap, ip, gateway, port, bootstrap, commands } = Arguments::parse();
    let mut device = TunTapInterface::new(&tap, Medium::Ethernet).map_err(|error| format!("{tap}: {error}"))?;
    let (mut seed, mut id) = ([0; 32], [0; 32]);
    getrandom::fill(&mut seed)?;
    getrandom::fill(&mut id)?;
    let id = NodeId::from_bytes(id);
    // A locally administered address that follows from the other one.
    let [a, b, c, d] = ip.0.octets();
    let network = Network { mac: [2, 0, a, b, c, d], address: ip, gateway };
    let parts = Parts { id, seed: &seed, port, bootstrap: &bootstrap, memory: MEMORY.take() };

    let start = Clock::now();
    let mut plain = Plain::new(now(start), &mut device, &network, parts)?;
    println!("ready id={id} memory={} node={}", size_of::<Memory>(), size_of::<Plain>());
    let mut owner = Owner { lines: commands.into(), ..Owner::default() };
    while !plain.has_left() {
        let again = plain.poll(now(start), &mut device);
        if owner.look(&mut plain, now(start))? {
            continue;
        }
        let pause = again.map_or(u64::MAX, |at| at.micros_since(now(start)));
        let pause = Duration::from_micros(pause).min(LONGEST_WAIT);
        wait(device.as_raw_fd(), Some(pause.into()))?;
    }
    println!("left");
    Ok(())
}

/// The node's clock.
fn now(start: Clock) -> Instant {
    Instant::from_micros(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_add(1))
}

/// Waits for every node that is to hold a value.
const STORE: StoreOptions = StoreOptions { copies: Copies::All, ..StoreOptions::DEFAULT };

/// Somebody who types commands, one after the other.
#[derive(Default)]
struct Owner {
    lines: std::collections::VecDeque<String>,
    typed: Vec<u8>,
    /// Whether standard input has ended.
    silent: bool,
    /// What waits for its outcome, and since when.
    under_way: Option<(String, Instant)>,
}

impl Owner {
    /// Shows an outcome, or runs the next command. Answers whether there was one.
    fn look(&mut self, plain: &mut Plain, now: Instant) -> Result<bool, Box<dyn Error>> {
        if let Some((command, since)) = &self.under_way {
            let Some(outcome) = plain.outcome(now) else { return Ok(false) };
            let ms = now.micros_since(*since) / 1000;
            match outcome {
                Ok(Outcome::Stored(Receipt { copies, elsewhere, .. })) => {
                    println!("{command}: stored copies={copies} elsewhere={elsewhere} ms={ms}");
                }
                Ok(_) => match plain.found() {
                    Some(value) => println!("{command}: ms={ms} value={}", String::from_utf8_lossy(value)),
                    None => println!("{command}: not found ms={ms}"),
                },
                Err(error) => println!("{command}: {error} ms={ms}"),
            }
            self.under_way = None;
            return Ok(true);
        }
        self.read()?;
        let Some(line) = self.lines.pop_front() else { return Ok(false) };
        self.run(plain, now, &line);
        Ok(true)
    }

    fn run(&mut self, plain: &mut Plain, now: Instant, line: &str) {
        let mut words = line.trim().splitn(3, ' ');
        let started = match (words.next(), words.next(), words.next()) {
            (Some("put"), Some(name), Some(value)) => plain.put(now, Key::hash(name), value.as_bytes(), &STORE),
            (Some("get"), Some(name), None) => plain.get(now, Key::hash(name)),
            (Some("status"), None, None) => return show(plain),
            (Some("leave"), None, None) => return plain.leave(now),
            _ => return println!("`{line}`: put NAME VALUE, get NAME, status, or leave"),
        };
        // The value is not repeated.
        let command: Vec<_> = line.split(' ').take(2).collect();
        match started {
            Ok(()) => self.under_way = Some((command.join(" "), now)),
            Err(error) => println!("{}: {error}", command.join(" ")),
        }
    }

    /// Takes what has been typed, and does not wait for more.
    fn read(&mut self) -> Result<(), Box<dyn Error>> {
        let stdin = std::io::stdin();
        while !self.silent && poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&Timespec::default()))? > 0 {
            let mut bytes = [0; 1024];
            let len = rustix::io::read(&stdin, &mut bytes)?;
            self.silent = len == 0;
            self.typed.extend_from_slice(&bytes[..len]);
        }
        while let Some(end) = self.typed.iter().position(|byte| *byte == b'\n') {
            let line: Vec<_> = self.typed.drain(..=end).collect();
            self.lines.push_back(String::from_utf8_lossy(&line).trim().to_owned());
        }
        Ok(())
    }
}

fn show(plain: &mut Plain) {
    let (status, usage, link) = (plain.status(), plain.usage(), plain.link_stats());
    println!(
        "status: contacts={} items={} bytes={} questions={} resets={} suppressed={} crowded={} refused={}",
        status.contacts,
        usage.items,
        usage.bytes,
        link.questions,
        link.resets,
        link.suppressed,
        link.crowded,
        link.refused
    );
}
