//! Signals that stop a program or make it reread its settings.

use crate::error::Failure;

/// Catches the signals that end a program, from its creation until the end of the process; on Windows Ctrl-C.
///
/// Create it before other processes can know of the program: an earlier signal kills it.
pub(crate) struct Signals {
    #[cfg(unix)]
    caught: Vec<(&'static str, tokio::signal::unix::Signal)>,
    #[cfg(windows)]
    caught: tokio::signal::windows::CtrlC,
}

impl Signals {
    /// Catches SIGINT, SIGTERM, and SIGHUP unless it is ignored: for a program that belongs to its terminal.
    ///
    /// # Errors
    /// [`Failure::System`].
    pub(crate) fn catch() -> Result<Self, Failure> {
        #[cfg(unix)]
        let signals = Self::catch_all(!is_hangup_ignored());
        #[cfg(windows)]
        let signals = Self::catch_ctrl_c();
        signals
    }

    /// Catches SIGINT and SIGTERM: for a daemon, which outlives its terminal.
    ///
    /// # Errors
    /// [`Failure::System`].
    pub(crate) fn catch_of_daemon() -> Result<Self, Failure> {
        #[cfg(unix)]
        let signals = Self::catch_all(false);
        #[cfg(windows)]
        let signals = Self::catch_ctrl_c();
        signals
    }

    #[cfg(unix)]
    fn catch_all(hangup: bool) -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut kinds = vec![("SIGINT", SignalKind::interrupt()), ("SIGTERM", SignalKind::terminate())];
        if hangup {
            kinds.push(("SIGHUP", SignalKind::hangup()));
        }
        let caught = kinds.into_iter().map(|(name, kind)| Ok((name, signal(kind)?)));
        Ok(Self { caught: caught.collect::<std::io::Result<_>>().map_err(Failure::System)? })
    }

    #[cfg(windows)]
    fn catch_ctrl_c() -> Result<Self, Failure> {
        Ok(Self { caught: tokio::signal::windows::ctrl_c().map_err(Failure::System)? })
    }

    /// Waits for the next signal, and returns its name.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) -> &'static str {
        std::future::poll_fn(|context| {
            let came = self.caught.iter_mut().find_map(|(name, signal)| match signal.poll_recv(context) {
                std::task::Poll::Ready(Some(())) => Some(*name),
                _ => None,
            });
            came.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        })
        .await
    }

    /// Waits for the next signal, and returns its name.
    #[cfg(windows)]
    pub(crate) async fn next(&mut self) -> &'static str {
        self.caught.recv().await;
        "Ctrl-C"
    }
}

/// Catches SIGHUP, on which a daemon rereads its settings, unless it was ignored at the start of the program (`nohup`): then
/// it stays ignored.
pub(crate) struct Hangups {
    #[cfg(unix)]
    caught: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    /// Catches it from now on.
    ///
    /// # Errors
    /// [`Failure::System`].
    #[cfg(unix)]
    pub(crate) fn catch() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        if is_hangup_ignored() {
            return Ok(Self { caught: None });
        }
        Ok(Self { caught: Some(signal(SignalKind::hangup()).map_err(Failure::System)?) })
    }

    /// There is none on this system.
    ///
    /// # Errors
    /// None.
    #[cfg(windows)]
    pub(crate) fn catch() -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(caught) = &mut self.caught {
            caught.recv().await;
            return;
        }
        std::future::pending::<()>().await;
    }
}

/// Returns whether SIGHUP was ignored when this program was started. Only Linux can tell without an `unsafe` call; on other
/// systems a daemon under `nohup` rereads its settings when its terminal closes, which does no harm.
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    is_first_ignored(&status)
}

/// Returns whether the mask of ignored signals has signal 1.
#[cfg(unix)]
fn is_first_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(all(test, unix))]
mod tests {
    use super::is_first_ignored;

    #[test]
    fn a_mask_says_whether_sighup_is_ignored() {
        assert!(is_first_ignored("SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n"));
        assert!(!is_first_ignored("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n"));
        assert!(!is_first_ignored(""));
    }
}
