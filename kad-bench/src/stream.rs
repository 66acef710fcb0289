//! The reference for large values: a server that sends so many bytes for each request, with nothing to find and nothing to check.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kad_wire::limits::{CHUNK_HEAD_LEN, DATAGRAM_MAX};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt, sockopt};

use crate::batch::Batch;
use crate::failure::Failure;

/// Bytes of a datagram: as many as a CHUNK has, of which so many are the value's.
const SEGMENT: u16 = DATAGRAM_MAX as u16;
const OF_VALUE: usize = DATAGRAM_MAX - CHUNK_HEAD_LEN;
/// The most that one call sends or reads, in bytes.
const CALL: usize = 65_507;
const BUFFER: usize = 4 << 20;
/// How often the server looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(50);
/// What has not come after this is lost: on a busy machine a thread may wait for its turn for long.
const LOST: Duration = Duration::from_secs(2);

/// Whether the system cuts and joins the datagrams (UDP_SEGMENT, UDP_GRO), or they are sent in batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Offload {
    Segments,
    Batches,
}

/// A server of values on a thread of its own, which ends when this is dropped.
pub(crate) struct Stream {
    address: SocketAddr,
    offload: Offload,
    /// Bytes on the wire for one value.
    bytes: usize,
    stop: Arc<AtomicBool>,
    handle: Option<JoinHandle<Result<(), Failure>>>,
}

impl Stream {
    /// Serves values of this length.
    pub(crate) fn start(len: usize, offload: Offload) -> Result<Self, Failure> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = socket.local_addr()?;
        let bytes = len + len.div_ceil(OF_VALUE) * CHUNK_HEAD_LEN;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let run = move || serve(socket, bytes, offload, &stopped);
        let handle = std::thread::Builder::new().name("stream".into()).spawn(run)?;
        Ok(Self { address, offload, bytes, stop, handle: Some(handle) })
    }

    /// Reads values for some time, so many at a time. Answers with how many a second.
    pub(crate) fn read(&self, at_a_time: usize, span: Duration) -> Result<f64, Failure> {
        let mut reader = Reader::new(self)?;
        let begun = Instant::now();
        let (mut asked, mut bytes) = (0, 0);
        while begun.elapsed() < span {
            while asked < bytes / self.bytes + at_a_time {
                reader.ask()?;
                asked += 1;
            }
            match reader.receive()? {
                0 => return Err(Failure::Void("the bare transfer has lost datagrams".into())),
                more => bytes += more,
            }
        }
        Ok((bytes / self.bytes) as f64 / begun.elapsed().as_secs_f64())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Ok(Err(error))) = self.handle.take().map(JoinHandle::join) {
            eprintln!("kad-bench: the bare transfer: {error}");
        }
    }
}

fn serve(socket: UdpSocket, bytes: usize, offload: Offload, stop: &AtomicBool) -> Result<(), Failure> {
    let value = vec![7; bytes];
    let mut batch = Batch::new(socket, PATIENCE)?;
    let datagrams: Vec<_> = value.chunks(SEGMENT.into()).map(<[u8]>::to_vec).collect();
    while !stop.load(Ordering::Relaxed) {
        batch.receive()?;
        let readers: Vec<_> = batch.senders().collect();
        for reader in readers {
            match offload {
                Offload::Segments => send_segments(&batch, reader, &value)?,
                Offload::Batches => batch.send_to(Some(reader), &datagrams)?,
            }
        }
    }
    Ok(())
}

fn send_segments(socket: &impl AsRawFd, to: SockaddrIn, value: &[u8]) -> Result<(), Failure> {
    let whole = CALL / usize::from(SEGMENT) * usize::from(SEGMENT);
    for part in value.chunks(whole) {
        let control = [ControlMessage::UdpGsoSegments(&SEGMENT)];
        sendmsg(socket.as_raw_fd(), &[IoSlice::new(part)], &control, MsgFlags::empty(), Some(&to))?;
    }
    Ok(())
}

/// Whoever reads.
enum Reader {
    Segments(UdpSocket, Vec<u8>),
    Batches(Batch),
}

impl Reader {
    fn new(stream: &Stream) -> Result<Self, Failure> {
        if stream.offload == Offload::Batches {
            return Ok(Self::Batches(Batch::connected(stream.address, LOST)?));
        }
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(stream.address)?;
        socket.set_read_timeout(Some(LOST))?;
        let _ = setsockopt(&socket, sockopt::RcvBuf, &BUFFER);
        setsockopt(&socket, sockopt::UdpGroSegment, &true)?;
        Ok(Self::Segments(socket, vec![0; CALL]))
    }

    fn ask(&mut self) -> Result<(), Failure> {
        match self {
            Self::Segments(socket, _) => drop(socket.send(&[0; 100])?),
            Self::Batches(batch) => batch.send(&[vec![0; 100]])?,
        }
        Ok(())
    }

    /// Bytes that one call brings; 0 when nothing comes.
    fn receive(&mut self) -> Result<usize, Failure> {
        match self {
            Self::Segments(socket, buffer) => {
                let mut slices = [IoSliceMut::new(buffer)];
                match recvmsg::<()>(socket.as_raw_fd(), &mut slices, None, MsgFlags::empty()) {
                    Ok(message) => Ok(message.bytes),
                    Err(Errno::EAGAIN) => Ok(0),
                    Err(error) => Err(error.into()),
                }
            }
            Self::Batches(batch) => {
                batch.receive()?;
                Ok(batch.datagrams().map(<[u8]>::len).sum())
            }
        }
    }
}
