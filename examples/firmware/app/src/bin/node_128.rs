//! A full node in 128 KiB of static RAM, network buffers included: values of up to 16384 bytes.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use board::entry;

#[entry]
fn main() -> ! {
    kad_firmware::start::full_node(kad_profiles::node_128::parts)
}
