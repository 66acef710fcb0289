//! A fingerprint of a run.

use std::net::SocketAddr;

use kad_wire::{Endpoint, Instant};
use xxhash_rust::xxh3::Xxh3;

/// Every datagram that was sent: when, by whom, to whom, with which bytes. Two runs with the same fingerprint did the same.
#[derive(Default)]
pub struct Trace(Xxh3);

impl Trace {
    pub(crate) fn note(&mut self, at: Instant, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let mut head = [0; 44];
        head[..8].copy_from_slice(&at.as_micros().to_le_bytes());
        for (address, place) in [(from, 8), (to, 26)] {
            let endpoint = Endpoint::from(address);
            head[place..place + 16].copy_from_slice(&endpoint.ip);
            head[place + 16..place + 18].copy_from_slice(&endpoint.port.to_le_bytes());
        }
        self.0.update(&head);
        self.0.update(datagram);
    }

    /// The fingerprint so far.
    pub fn digest(&self) -> u64 {
        self.0.digest()
    }
}
