//! What the applications have in common.
#![no_std]
#![forbid(unsafe_code)]

pub mod network;
pub mod node;
pub mod start;
pub mod udp;
pub mod value;

use board::settings::Settings;
use board::{info, stack_paint};
use kad_core::{Key, NodeId};

/// Logs how much of the stack was ever used.
pub fn log_stack() {
    info!("stack used={} of={}", stack_paint::high_water(), stack_paint::size());
}

/// Who a board is: follows from its MAC address, so that it is the same after a restart.
pub fn node_id(settings: &Settings) -> NodeId {
    NodeId::from_bytes(*Key::hash(settings.mac).as_bytes())
}
