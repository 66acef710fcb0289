//! The emulated board MPS2-AN386 (Cortex-M4F), as QEMU knows it: all that an application needs of its board.
//!
//! To port the applications to another board, replace this crate by one with the same names: [`start`], [`run`],
//! [`exit`], [`Ethernet`], [`counters`], [`stack_paint`], [`settings`] and the log macros.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(all(target_os = "none", not(any(feature = "print", feature = "defmt"))))]
compile_error!("choose how to log: feature `print` or `defmt`");

pub mod log;
pub mod settings;

// What touches the device exists only there; the rest is tested on the host.
#[cfg(target_os = "none")]
mod executor;
#[cfg(target_os = "none")]
mod interrupts;
#[cfg(target_os = "none")]
pub mod lan9118;
#[cfg(target_os = "none")]
mod semihosting;
#[cfg(target_os = "none")]
pub mod stack_paint;
#[cfg(target_os = "none")]
mod time;

#[cfg(target_os = "none")]
mod device {
    use crate::lan9118::Lan9118;
    use crate::settings::Settings;
    use crate::{semihosting, time};

    /// The network device.
    pub type Ethernet = Lan9118;

    /// What the board gives to an application.
    pub struct Board {
        /// How to run, from the command line of the emulator.
        pub settings: Settings,
        /// The network device, ready to be handed to a network stack.
        pub ethernet: Ethernet,
    }

    /// Starts the clock and the network device, and reads the settings. To be called once, first.
    ///
    /// Settings that make no sense end the program.
    pub fn start() -> Board {
        let peripherals = cortex_m::Peripherals::take().expect("`start` is called once");
        time::start();
        let settings = match Settings::parse(semihosting::command_line()) {
            Ok(settings) => settings,
            Err(error) => {
                crate::error!("settings: {}", crate::log::Shown(error));
                semihosting::exit(false)
            }
        };
        let ethernet = Lan9118::start(settings.mac).expect("the board has a LAN9118");
        crate::interrupts::enable(peripherals.NVIC);
        Board { settings, ethernet }
    }

    /// Ends the program; the emulator ends with status 0 for a success, 1 for a failure.
    pub fn exit(success: bool) -> ! {
        semihosting::exit(success)
    }
}

#[cfg(target_os = "none")]
pub use {
    cortex_m_rt::entry,
    device::{Board, Ethernet, exit, start},
    executor::run,
    lan9118::counters,
};
