//! Notifications for a service manager: systemd, or another listener on `$NOTIFY_SOCKET` (sd_notify(3)). Without one, and on
//! systems other than Linux, these functions do nothing.

use std::convert::Infallible;

use kad_tokio::Dht;

/// Reports that the daemon accepts datagrams, requests and commands. `/ready` tells whether it reaches its network.
pub(crate) fn ready() {
    #[cfg(target_os = "linux")]
    say(&[sd_notify::NotifyState::Ready]);
}

/// Reports that the daemon rereads its settings. [`ready`] follows.
pub(crate) fn reloading() {
    #[cfg(target_os = "linux")]
    match sd_notify::NotifyState::monotonic_usec_now() {
        Ok(now) => say(&[sd_notify::NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "cannot notify the service manager"),
    }
}

/// Reports that the daemon leaves.
pub(crate) fn stopping() {
    #[cfg(target_os = "linux")]
    say(&[sd_notify::NotifyState::Stopping]);
}

/// Notifies the watchdog for as long as it is polled, if the service manager has one (`WatchdogSec=`). If the node does not
/// answer, sends no notification, and the manager restarts the daemon.
pub(crate) async fn watchdog(dht: &Dht) -> Infallible {
    #[cfg(target_os = "linux")]
    if let Some(limit) = sd_notify::watchdog_enabled() {
        // Twice per interval, as sd_watchdog_enabled(3) recommends.
        let interval = limit / 2;
        loop {
            match tokio::time::timeout(interval, dht.stats()).await {
                Ok(Ok(_)) => say(&[sd_notify::NotifyState::Watchdog]),
                _ => tracing::error!(?interval, "the node does not answer: no notification for the watchdog"),
            }
            tokio::time::sleep(interval).await;
        }
    }
    let _ = dht;
    std::future::pending().await
}

#[cfg(target_os = "linux")]
fn say(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, ?states, "cannot notify the service manager");
    }
}
