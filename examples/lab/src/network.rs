//! The network, and the boards on it.

use std::ops::Deref;

use kad_netns::Network;

use crate::{Board, Firmware, Result, Tap};

/// A network that has room for boards. All of it goes when this is dropped, or when the process ends in whatever way.
#[derive(Debug)]
pub struct Lab {
    network: Network,
}

impl Lab {
    /// Makes a network with nobody in it.
    pub fn start() -> Result<Self> {
        Ok(Self { network: Network::start()? })
    }

    /// Starts an emulated board with these arguments.
    pub fn board(&self, firmware: &Firmware, arguments: &[&str]) -> Result<Board> {
        Board::start(self.name(), &self.tap_device("board")?, firmware, arguments)
    }

    /// Adds a TAP device, for a program that has a network stack of its own.
    pub fn tap(&self) -> Result<Tap> {
        Ok(Tap::new(self.name(), self.tap_device("tap")?))
    }
}

impl Deref for Lab {
    type Target = Network;

    fn deref(&self) -> &Network {
        &self.network
    }
}
