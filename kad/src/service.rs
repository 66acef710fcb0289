//! What a service manager is told: systemd, or whoever else listens on `$NOTIFY_SOCKET` (sd_notify(3)). Without one, and on
//! other systems than Linux, nothing is said.

use std::convert::Infallible;

use kad_tokio::Dht;

/// The daemon takes datagrams, requests and commands. Whether it reaches its network is another question: see `/ready`.
pub(crate) fn ready() {
    #[cfg(target_os = "linux")]
    say(&[sd_notify::NotifyState::Ready]);
}

/// The daemon reads its settings again. It is [`ready`] afterwards.
pub(crate) fn reloading() {
    #[cfg(target_os = "linux")]
    match sd_notify::NotifyState::monotonic_usec_now() {
        Ok(now) => say(&[sd_notify::NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager cannot be told"),
    }
}

/// The daemon hands over and leaves.
pub(crate) fn stopping() {
    #[cfg(target_os = "linux")]
    say(&[sd_notify::NotifyState::Stopping]);
}

/// Says for as long as it is polled that the daemon is alive, if the service manager wants to hear it (`WatchdogSec=`). A node
/// that does not answer is not alive: the manager hears nothing then, and restarts it.
pub(crate) async fn watchdog(dht: &Dht) -> Infallible {
    #[cfg(target_os = "linux")]
    if let Some(limit) = sd_notify::watchdog_enabled() {
        // Said twice before it is missed: sd_watchdog_enabled(3) recommends that.
        let interval = limit / 2;
        loop {
            match tokio::time::timeout(interval, dht.stats()).await {
                Ok(Ok(_)) => say(&[sd_notify::NotifyState::Watchdog]),
                _ => tracing::error!(
                    ?interval,
                    "the node does not answer: the service manager is not told that it lives"
                ),
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
        tracing::warn!(%error, ?states, "the service manager cannot be told");
    }
}
