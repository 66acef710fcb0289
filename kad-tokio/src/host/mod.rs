//! What happens to the host under a node: it sleeps and wakes, and its addresses change. Nobody tells a node of either, so it
//! asks the system.

mod jumps;
mod paths;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::clock::NodeClock;
use crate::worker::{Crew, Note};
use jumps::Jumps;
use paths::{Notices, Paths};

/// Addresses change one after the other: they are looked at when there was no news for this long ...
const QUIET: Duration = Duration::from_millis(200);
/// ... or for that long, if there is always some.
const QUIET_MAX: Duration = Duration::from_secs(1);
/// All nodes of a network that comes back do not call at the same moment: each waits for up to this.
const SPREAD_MS: u64 = 300;
/// Shortest time between two changes that are told: a link that comes and goes must not make a node call everybody each time.
const PAUSE: Duration = Duration::from_secs(3);

/// Tells all workers when the host has slept, or has other addresses than before, for as long as it is polled.
pub(crate) async fn watch(clock: NodeClock, crew: Arc<Crew>) {
    let moved = watch_paths(|| crew.tell_all(|| Note::Moved));
    let slept = watch_clock(clock, || crew.tell_all(|| Note::Moved));
    tokio::join!(moved, slept);
}

async fn watch_clock(clock: NodeClock, tell: impl Fn()) {
    let mut jumps = Jumps::new(clock);
    loop {
        let asleep = jumps.next().await;
        tracing::info!(?asleep, "the clocks have jumped: this host was asleep or paused");
        tell();
    }
}

async fn watch_paths(tell: impl Fn()) {
    let mut notices = Notices::new();
    let mut known = Paths::read();
    loop {
        notices.next().await;
        // The end of a series, or enough of it.
        let _ = timeout(QUIET_MAX, async { while timeout(QUIET, notices.next()).await.is_ok() {} }).await;
        let paths = Paths::read();
        if paths == known {
            continue;
        }
        let (gone, come) = (known.without(&paths), paths.without(&known));
        tracing::info!(?gone, ?come, "the addresses of this host have changed");
        known = paths;
        // Who has no address cannot ask anybody. It will get one.
        if !known.is_empty() {
            sleep(spread()).await;
            tell();
            sleep(PAUSE).await;
        }
    }
}

/// A time to wait, at random.
fn spread() -> Duration {
    let mut bytes = [0; 8];
    // Without randomness nodes call at the same moment: a pity, and no more.
    let _ = getrandom::fill(&mut bytes);
    Duration::from_millis(u64::from_le_bytes(bytes) % SPREAD_MS)
}
