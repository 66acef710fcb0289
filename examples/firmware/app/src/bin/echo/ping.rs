//! Sends datagrams to an echo and checks what comes back.
#![forbid(unsafe_code)]

use core::net::SocketAddr;

use embassy_net::udp::UdpSocket;
use embassy_time::{Duration, with_timeout};
use kad_firmware::udp::DATAGRAM_MAX;

/// How long to wait for an answer. The network stack asks for the MAC address of at most one neighbour a second, so that
/// the first datagram to a second neighbour may take that long.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What to send, and whom to.
#[derive(Clone, Copy)]
pub(crate) struct Ping {
    pub(crate) to: SocketAddr,
    pub(crate) len: usize,
    pub(crate) count: u8,
}

/// Sends each datagram after the answer to the one before. Answers with the number of right answers.
pub(crate) async fn one_by_one(socket: &UdpSocket<'static>, ping: Ping) -> usize {
    let mut right = 0;
    for number in 0..ping.count {
        send(socket, ping, number).await;
        right += usize::from(receive(socket, ping).await == Some(number));
    }
    right
}

/// Sends all datagrams, and looks for answers then. Answers with the number of right answers.
pub(crate) async fn all_at_once(socket: &UdpSocket<'static>, ping: Ping) -> usize {
    for number in 0..ping.count {
        send(socket, ping, number).await;
    }
    let mut right = 0;
    while right < usize::from(ping.count) && receive(socket, ping).await.is_some() {
        right += 1;
    }
    right
}

async fn send(socket: &UdpSocket<'static>, ping: Ping, number: u8) {
    let mut datagram = [0; DATAGRAM_MAX];
    let datagram = &mut datagram[..ping.len];
    for (index, byte) in datagram.iter_mut().enumerate() {
        *byte = pattern(number, index);
    }
    // What is not sent is not answered, and counted by that.
    let _ = socket.send_to(datagram, ping.to).await;
}

/// Waits for an answer. Answers with its number, if every byte is right.
async fn receive(socket: &UdpSocket<'static>, ping: Ping) -> Option<u8> {
    let mut datagram = [0; DATAGRAM_MAX];
    let (len, _) = with_timeout(TIMEOUT, socket.recv_from(&mut datagram)).await.ok()?.ok()?;
    let datagram = &datagram[..len];
    let number = *datagram.first()?;
    let right = datagram.iter().enumerate().all(|(index, &byte)| byte == pattern(number, index));
    (right && len == ping.len).then_some(number)
}

/// The byte at this place of the datagram with this number.
fn pattern(number: u8, index: usize) -> u8 {
    number.wrapping_add(index as u8)
}
