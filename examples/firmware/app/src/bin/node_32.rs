//! A full node in 32 KiB of static RAM, network buffers included: values of up to 1024 bytes.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use board::entry;

#[entry]
fn main() -> ! {
    kad_firmware::start::full_node(kad_profiles::node_32::parts)
}
