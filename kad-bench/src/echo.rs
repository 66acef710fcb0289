//! The reference: a server that sends every datagram back, and does nothing else.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::batch::Batch;
use crate::clock::{ThreadId, this_thread};
use crate::failure::Failure;
use crate::figures::Rate;
use crate::load::{Exchange, Sending, load};

/// Bytes of the reference's requests and replies.
const LEN: usize = 100;
/// How often the server looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long the echo is measured beside another figure.
const MOMENT: Duration = Duration::from_millis(300);

/// An echo server on a thread of its own, which ends when this is dropped.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    pub(crate) thread: ThreadId,
    stop: Arc<AtomicBool>,
    handle: Option<JoinHandle<Result<(), Failure>>>,
}

impl Echo {
    pub(crate) fn start() -> Result<Self, Failure> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = socket.local_addr()?;
        let (started, thread) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let run = move || {
            // Nobody waits for it any more if nobody takes it.
            let _ = started.send(this_thread());
            let mut batch = Batch::new(socket, PATIENCE)?;
            while !stopped.load(Ordering::Relaxed) {
                if batch.receive()? > 0 {
                    batch.send_back()?;
                }
            }
            Ok(())
        };
        let handle = std::thread::Builder::new().name("echo".into()).spawn(run)?;
        let thread = thread.recv().map_err(|_| Failure::Void("the echo server did not start".into()))?;
        Ok(Self { address, thread, stop, handle: Some(handle) })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Ok(Err(error))) = self.handle.take().map(JoinHandle::join) {
            eprintln!("kad-bench: the echo server: {error}");
        }
    }
}

/// Measures the echo for a moment, beside another figure.
///
/// # Errors
/// As [`load`] has them.
pub(crate) fn echoed(echo: &Echo) -> Result<Rate, Failure> {
    Ok(load(echo.address, &[echo.thread], &mut Echoed, Sending::Apart, MOMENT)?.rate)
}

/// Requests for the echo server: a place of the window, a number, and zeros.
pub(crate) struct Echoed;

impl Exchange for Echoed {
    fn request(&mut self, place: u16, nonce: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&nonce.to_le_bytes());
        out.extend_from_slice(&place.to_le_bytes());
        out.resize(LEN, 0);
    }

    fn reply(&mut self, datagram: &[u8]) -> Option<(u16, u64)> {
        let (nonce, rest) = datagram.split_first_chunk()?;
        let place = rest.first_chunk()?;
        (datagram.len() == LEN).then(|| (u16::from_le_bytes(*place), u64::from_le_bytes(*nonce)))
    }
}
