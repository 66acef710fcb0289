//! What the applications have in common.
#![no_std]
#![forbid(unsafe_code)]

pub mod network;
pub mod udp;

use board::{info, stack_paint};

/// Logs how much of the stack was ever used.
pub fn log_stack() {
    info!("stack used={} of={}", stack_paint::high_water(), stack_paint::size());
}
