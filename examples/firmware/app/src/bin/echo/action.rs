//! What the settings tell the application to do.
#![forbid(unsafe_code)]

use core::hint::black_box;
use core::net::SocketAddr;

use board::log::Shown;
use board::{error, info};
use embassy_net::udp::UdpSocket;
use kad_firmware::udp::DATAGRAM_MAX;

use crate::ping::{self, Ping};

/// Does one thing; what cannot be understood ends the program.
pub(crate) async fn run(action: &'static str, socket: &UdpSocket<'static>) {
    let (verb, arguments) = action.split_once(':').unwrap_or((action, ""));
    match (verb, parse(arguments)) {
        ("ping", Some(ping)) => log(ping, ping::one_by_one(socket, ping).await),
        ("burst", Some(ping)) => log(ping, ping::all_at_once(socket, ping).await),
        ("exit", None) => board::exit(true),
        ("panic", None) => panic!("as told"),
        ("overflow", None) => info!("the stack is deeper than {}", recurse(0)),
        _ => {
            error!("`do={}`: this application has no such action", action);
            board::exit(false)
        }
    }
}

fn log(ping: Ping, answers: usize) {
    info!("ping {} len={} sent={} back={}", Shown(ping.to), ping.len, ping.count, answers);
}

/// `LEN:COUNT:ADDRESS:PORT`.
fn parse(arguments: &str) -> Option<Ping> {
    let mut parts = arguments.splitn(3, ':');
    let len = parts.next()?.parse().ok().filter(|&len| (1..=DATAGRAM_MAX).contains(&len))?;
    let count = parts.next()?.parse().ok()?;
    let to: SocketAddr = parts.next()?.parse().ok()?;
    Some(Ping { to, len, count })
}

/// Never returns: the stack has an end.
#[expect(unconditional_recursion, reason = "to see what happens")]
#[inline(never)]
fn recurse(depth: usize) -> usize {
    let local = black_box([depth; 64]);
    recurse(depth + 1) + black_box(local)[0]
}
