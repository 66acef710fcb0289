//! Signals that ask a program to end.

use crate::error::Failure;

/// Catches SIGINT, SIGTERM and SIGHUP for as long as the process lives, from when this is made; on Windows Ctrl-C.
pub(crate) struct Signals {
    #[cfg(unix)]
    caught: [(&'static str, tokio::signal::unix::Signal); 3],
    #[cfg(windows)]
    caught: tokio::signal::windows::CtrlC,
}

impl Signals {
    /// Must be made before anybody can know that there is something to end: who is signalled earlier is killed.
    ///
    /// # Errors
    /// [`Failure::System`].
    #[cfg(unix)]
    pub(crate) fn catch() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let signal = |name, kind| signal(kind).map(|signal| (name, signal)).map_err(Failure::System);
        Ok(Self {
            caught: [
                signal("SIGINT", SignalKind::interrupt())?,
                signal("SIGTERM", SignalKind::terminate())?,
                signal("SIGHUP", SignalKind::hangup())?,
            ],
        })
    }

    /// Must be made before anybody can know that there is something to end: who is signalled earlier is killed.
    ///
    /// # Errors
    /// [`Failure::System`].
    #[cfg(windows)]
    pub(crate) fn catch() -> Result<Self, Failure> {
        Ok(Self { caught: tokio::signal::windows::ctrl_c().map_err(Failure::System)? })
    }

    /// Waits for the next one, and says which.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) -> &'static str {
        let [(interrupt, one), (terminate, two), (hang_up, three)] = &mut self.caught;
        tokio::select! {
            _ = one.recv() => interrupt,
            _ = two.recv() => terminate,
            _ = three.recv() => hang_up,
        }
    }

    /// Waits for the next one, and says which.
    #[cfg(windows)]
    pub(crate) async fn next(&mut self) -> &'static str {
        self.caught.recv().await;
        "Ctrl-C"
    }
}
