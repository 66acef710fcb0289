//! Answers UDP datagrams with what they hold, and with figures about the board on the port above.
//!
//! `do=` knows:
//! - `ping:LEN:COUNT:ADDRESS:PORT`: send that many datagrams of this size, each after the answer to the one before;
//! - `burst:LEN:COUNT:ADDRESS:PORT`: the same, all at once;
//! - `exit`: end the program; `panic` and `overflow`: end it by a panic, or by too deep a recursion.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod action;
mod ping;

use core::fmt::Write;

use board::settings::Settings;
use board::{counters, entry, info, stack_paint, warn};
use embassy_executor::Spawner;
use embassy_net::Stack;
use embassy_net::udp::UdpSocket;
use embassy_time::Instant;
use kad_embassy::Neighbours;
use kad_firmware::network::{self, Sockets};
use kad_firmware::udp::DATAGRAM_MAX;
use kad_firmware::{log_stack, udp_socket};
use static_cell::ConstStaticCell;

/// DHCP's, the echo's, that of figures, and that of actions.
static SOCKETS: Sockets<4> = Sockets::new();
static NEIGHBOURS: Neighbours = Neighbours::new();

#[entry]
fn main() -> ! {
    let board = board::start();
    board::run(|spawner| {
        let stack = network::start(spawner, &SOCKETS, NEIGHBOURS.driver(board.ethernet), &board.settings);
        spawner.spawn(application(spawner, stack, board.settings).expect("there is one application"));
    })
}

#[embassy_executor::task]
async fn application(spawner: Spawner, stack: Stack<'static>, settings: Settings) {
    network::wait_until_up(stack).await;
    let socket = udp_socket!(stack, settings.port, datagrams: 16, rx: 6 * DATAGRAM_MAX, tx: 2 * DATAGRAM_MAX);
    spawner.spawn(echo(socket).expect("there is one echo"));
    let socket = udp_socket!(stack, settings.port + 1, datagrams: 1, rx: 64, tx: FIGURES_MAX);
    spawner.spawn(figures(socket).expect("there is one page"));
    info!("ready port={}", settings.port);
    let client = udp_socket!(stack, 0, datagrams: 16, rx: 2 * DATAGRAM_MAX, tx: DATAGRAM_MAX);
    for action in &settings.actions {
        action::run(action, &client).await;
    }
    log_stack();
}

/// Answers every datagram with itself.
#[embassy_executor::task]
async fn echo(socket: UdpSocket<'static>) -> ! {
    static DATAGRAM: ConstStaticCell<[u8; DATAGRAM_MAX]> = ConstStaticCell::new([0; DATAGRAM_MAX]);

    let datagram = DATAGRAM.take();
    loop {
        let Ok((len, from)) = socket.recv_from(datagram).await else { continue };
        if socket.send_to(&datagram[..len], from).await.is_err() {
            warn!("an answer was not sent");
        }
    }
}

/// Bytes of the figures' text at the most.
const FIGURES_MAX: usize = 256;

/// Answers every datagram with figures about the board.
#[embassy_executor::task]
async fn figures(socket: UdpSocket<'static>) -> ! {
    loop {
        // What was asked does not matter.
        let from = socket.recv_from(&mut [0; 64]).await.map(|(_, from)| from);
        if let Ok(from) = from
            && socket.send_to(figures_text().as_bytes(), from).await.is_err()
        {
            warn!("the figures were not sent");
        }
    }
}

fn figures_text() -> heapless::String<FIGURES_MAX> {
    let frames = counters();
    let mut text = heapless::String::new();
    // An error says that the text is full.
    let _ = writeln!(text, "uptime_ms={}", Instant::now().as_millis());
    let _ = writeln!(text, "stack_used={} stack_size={}", stack_paint::high_water(), stack_paint::size());
    let _ = writeln!(text, "rx_frames={} rx_errors={}", frames.rx_frames, frames.rx_errors);
    let _ = writeln!(text, "rx_dropped={} rx_full={}", frames.rx_dropped, frames.rx_full);
    let _ = writeln!(text, "tx_frames={} tx_errors={}", frames.tx_frames, frames.tx_errors);
    text
}
