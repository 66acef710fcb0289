//! A UDP socket that reads and writes many datagrams with one call (recvmmsg and sendmmsg, Linux).

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, sendmsg, setsockopt, sockopt,
};

use crate::failure::Failure;

/// Datagrams of one call.
pub(crate) const BATCH: usize = 64;
/// Room for any datagram that is exchanged here.
const DATAGRAM: usize = 2048;
/// Bytes of socket buffers that are asked for; the system may grant less.
const BUFFER: usize = 4 << 20;

/// A socket on a free port of loopback with the system's fastest calls. Its memory belongs to one thread.
pub(crate) struct Batch {
    socket: UdpSocket,
    incoming: MultiHeaders<SockaddrIn>,
    outgoing: MultiHeaders<SockaddrIn>,
    buffers: Vec<[u8; DATAGRAM]>,
    /// Sender and length of what lies in each buffer.
    received: Vec<(Option<SockaddrIn>, usize)>,
}

impl Batch {
    /// Takes over a socket. A read that brings nothing ends after `patience`.
    pub(crate) fn new(socket: UdpSocket, patience: Duration) -> Result<Self, Failure> {
        socket.set_read_timeout(Some(patience))?;
        // The system grants what it allows; loaders count what is lost.
        let _ = setsockopt(&socket, sockopt::RcvBuf, &BUFFER);
        let _ = setsockopt(&socket, sockopt::SndBuf, &BUFFER);
        Ok(Self {
            socket,
            incoming: MultiHeaders::preallocate(BATCH, None),
            outgoing: MultiHeaders::preallocate(BATCH, None),
            buffers: vec![[0; DATAGRAM]; BATCH],
            received: Vec::with_capacity(BATCH),
        })
    }

    /// A socket that sends to one address.
    pub(crate) fn connected(to: SocketAddr, patience: Duration) -> Result<Self, Failure> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(to)?;
        Self::new(socket, patience)
    }

    /// Reads what there is, and waits if there is nothing. Answers with how many datagrams, 0 when the patience is over.
    pub(crate) fn receive(&mut self) -> Result<usize, Failure> {
        self.received.clear();
        let mut slices: Vec<_> = self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let fd = self.socket.as_raw_fd();
        match recvmmsg(fd, &mut self.incoming, slices.iter_mut(), MsgFlags::MSG_WAITFORONE, None) {
            Ok(messages) => self.received.extend(messages.map(|message| (message.address, message.bytes))),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // What an earlier datagram ran into.
            Err(Errno::ECONNREFUSED) => return Err(Failure::Void("nobody listens at the server's port".into())),
            Err(error) => return Err(error.into()),
        }
        Ok(self.received.len())
    }

    /// What the last read brought.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.buffers.iter().zip(&self.received).map(|(buffer, (_, len))| &buffer[..*len])
    }

    /// Sends every datagram that the last read brought back to where it came from.
    pub(crate) fn send_back(&mut self) -> Result<(), Failure> {
        let slices: Vec<_> =
            self.buffers.iter().zip(&self.received).map(|(buffer, (_, len))| [IoSlice::new(&buffer[..*len])]).collect();
        let to: Vec<_> = self.received.iter().map(|(from, _)| *from).collect();
        write(&self.socket, &mut self.outgoing, &slices, &to)
    }

    /// Who sent what the last read brought.
    pub(crate) fn senders(&self) -> impl Iterator<Item = SockaddrIn> {
        self.received.iter().filter_map(|(from, _)| *from)
    }

    /// Sends datagrams to the address that the socket is connected to.
    pub(crate) fn send(&mut self, datagrams: &[Vec<u8>]) -> Result<(), Failure> {
        self.send_to(None, datagrams)
    }

    /// Sends datagrams of one size to the address that the socket is connected to, so many with one call (UDP_SEGMENT).
    pub(crate) fn send_together(&self, datagrams: &[Vec<u8>], most: usize) -> Result<(), Failure> {
        for group in datagrams.chunks(most) {
            let slices: Vec<_> = group.iter().map(|datagram| IoSlice::new(datagram)).collect();
            let segment = group[0].len() as u16;
            let control = [ControlMessage::UdpGsoSegments(&segment)];
            sendmsg(self.socket.as_raw_fd(), &slices, &control, MsgFlags::empty(), None::<&SockaddrIn>)?;
        }
        Ok(())
    }

    /// Sends datagrams to an address, or to the one that the socket is connected to.
    pub(crate) fn send_to(&mut self, to: Option<SockaddrIn>, datagrams: &[Vec<u8>]) -> Result<(), Failure> {
        for batch in datagrams.chunks(BATCH) {
            let slices: Vec<_> = batch.iter().map(|datagram| [IoSlice::new(datagram)]).collect();
            write(&self.socket, &mut self.outgoing, &slices, &vec![to; batch.len()])?;
        }
        Ok(())
    }
}

impl AsRawFd for Batch {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Sends all, in as many calls as the system wants.
fn write(
    socket: &UdpSocket,
    headers: &mut MultiHeaders<SockaddrIn>,
    slices: &[[IoSlice<'_>; 1]],
    to: &[Option<SockaddrIn>],
) -> Result<(), Failure> {
    let mut sent = 0;
    while sent < slices.len() {
        let (slices, to) = (&slices[sent..], &to[sent..]);
        match sendmmsg(socket.as_raw_fd(), headers, slices.iter(), to, [], MsgFlags::empty()) {
            Ok(results) => sent += results.count(),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
