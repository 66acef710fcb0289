//! A full node: runs it, does what the settings say, and takes commands on the port above the node's.

use core::fmt::Write;
use core::net::SocketAddr;
use core::time::Duration;

use board::log::Shown;
use board::settings::Settings;
use board::{counters, info, stack_paint};
use embassy_net::Stack;
use embassy_time::Timer;
use heapless::String;
use kad_core::{FindOptions, Key};
use kad_embassy::{Copies, Dht, Error, StoreOptions};

use crate::{udp_socket, value};

/// Bytes of an answer to a command.
const ANSWER: usize = 200;
/// Bytes of a command.
const COMMAND: usize = 64;
/// How long a command may take: longer than a large value takes on a bad link.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is answered to a command.
type Answer = String<ANSWER>;

/// Does what the settings say, then what comes on the port above the node's: each datagram is a command, and is answered.
pub async fn serve(stack: Stack<'static>, dht: Dht, settings: &Settings) -> ! {
    let dht = dht.with_timeout(PATIENCE);
    let socket = udp_socket!(stack, settings.port + 1, datagrams: 1, rx: COMMAND, tx: ANSWER);
    info!("ready port={} id={}", settings.port, Shown(dht.id()));
    for action in &settings.actions {
        let answer = run(dht, action).await;
        info!("{} {}", *action, answer.as_str());
    }
    loop {
        let mut command = [0; COMMAND];
        let Ok((len, from)) = socket.recv_from(&mut command).await else { continue };
        let Ok(command) = core::str::from_utf8(&command[..len]) else { continue };
        let answer = run(dht, command.trim()).await;
        // Who asked asks again.
        let _ = socket.send_to(answer.as_bytes(), from).await;
    }
}

/// Runs one command: `put:NAME:LEN`, `get:NAME`, `ping:ADDRESS`, `wait:MILLISECONDS`, `joined`, `status`, `leave`, `exit`.
async fn run(dht: Dht, command: &str) -> Answer {
    let mut answer = Answer::new();
    // An error says that the answer is full: what is there is true.
    let _ = match understand(dht, command, &mut answer).await {
        Ok(()) => Ok(()),
        Err(Failure::Command) => write!(answer, "error: no such command"),
        Err(Failure::Call(error)) => write!(answer, "error: {error}"),
    };
    answer
}

enum Failure {
    Command,
    Call(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

async fn understand(dht: Dht, command: &str, answer: &mut Answer) -> Result<(), Failure> {
    let (verb, arguments) = command.split_once(':').unwrap_or((command, ""));
    let said = match verb {
        "put" => {
            let (name, len) = arguments.split_once(':').ok_or(Failure::Command)?;
            let value = len.parse().ok().and_then(value::of_len).ok_or(Failure::Command)?;
            let options = StoreOptions { copies: Copies::All, ..StoreOptions::default() };
            let receipt = dht.store(Key::hash(name), value, &options).await?;
            let (copies, elsewhere) = (receipt.copies, receipt.elsewhere);
            let (refused, silent) = (receipt.refused, receipt.silent);
            write!(answer, "ok copies={copies} elsewhere={elsewhere} refused={refused} silent={silent}")
        }
        "get" => {
            let mut found = None;
            dht.find_all(Key::hash(arguments), FindOptions::FIRST, |_, bytes| {
                found = Some((bytes.len(), Key::hash(bytes)));
            })
            .await?;
            match found {
                Some((len, hash)) => write!(answer, "ok len={len} hash={hash}"),
                None => write!(answer, "none"),
            }
        }
        "ping" => {
            let address: SocketAddr = arguments.parse().map_err(|_| Failure::Command)?;
            let pong = dht.ping(address).await?;
            write!(answer, "ok us={}", pong.rtt.as_micros())
        }
        "wait" => {
            Timer::after_millis(arguments.parse().map_err(|_| Failure::Command)?).await;
            write!(answer, "ok")
        }
        "joined" => write!(answer, "ok contacts={}", dht.joined().await?),
        "status" => status(dht, answer),
        "leave" => {
            dht.leave().await?;
            write!(answer, "ok")
        }
        "exit" => board::exit(true),
        _ => return Err(Failure::Command),
    };
    // See `run`.
    let _ = said;
    Ok(())
}

fn status(dht: Dht, answer: &mut Answer) -> core::fmt::Result {
    let (status, usage, link, frames) = (dht.status(), dht.usage(), dht.link_stats(), counters());
    write!(answer, "ok contacts={} items={} bytes={}", status.contacts, usage.items, usage.bytes)?;
    write!(answer, " dead={} resets={} crowded={}", link.dead, link.resets, link.crowded)?;
    write!(answer, " rx_dropped={} rx_full={}", frames.rx_dropped, frames.rx_full)?;
    write!(answer, " stack_used={} stack_size={}", stack_paint::high_water(), stack_paint::size())
}
