//! Errors that a socket reports: which of them end it, and what is done about those that go on.

use std::io;
use std::time::{Duration, Instant};

/// The pause after the second error in a row; each one after that doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The descriptor is no longer one, or no longer a socket's: EBADF, ENOTSOCK. Nothing that an address can cause is among them.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) const END: [i32; 2] = [9, 88];
/// The same as the BSDs number them.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
pub(super) const END: [i32; 2] = [9, 38];
/// WSAEBADF, WSAENOTSOCK.
#[cfg(windows)]
pub(super) const END: [i32; 2] = [10009, 10038];
#[cfg(not(any(unix, windows)))]
pub(super) const END: [i32; 0] = [];

/// Returns true if a socket that reports this will never work again.
pub(super) fn is_end_of_socket(error: &io::Error) -> bool {
    match error.raw_os_error() {
        Some(code) => END.contains(&code),
        None => error.kind() == io::ErrorKind::NotConnected,
    }
}

/// Errors in a row of a socket that is read.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Trouble {
    errors: u32,
    /// When to read again.
    pub(super) until: Option<Instant>,
}

impl Trouble {
    /// Notes an error, and returns true if reading pauses for it. One alone is what a datagram ran into, and is over.
    pub(super) fn goes_on(&mut self) -> bool {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.errors.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
        self.until = (self.errors > 0).then(|| Instant::now() + pause);
        self.errors = self.errors.saturating_add(1);
        self.until.is_some()
    }
}
