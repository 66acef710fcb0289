//! What happens to the host under a node: it sleeps, and it moves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::common::{lone, node};
use kad_tokio::{Clock, CloseReason, Dht, Key, NodeId};

const HOUR: Duration = Duration::from_secs(3600);

/// A clock that goes on with the system's, and jumps when the test says so: for a node, that is a host that slept.
#[derive(Clone)]
struct Sleeping {
    started: Instant,
    asleep_s: Arc<AtomicU64>,
}

impl Sleeping {
    fn new() -> Self {
        Self { started: Instant::now(), asleep_s: Arc::default() }
    }

    fn sleep(&self, span: Duration) {
        self.asleep_s.fetch_add(span.as_secs(), Ordering::SeqCst);
    }
}

impl Clock for Sleeping {
    fn elapsed(&self) -> Duration {
        self.started.elapsed() + Duration::from_secs(self.asleep_s.load(Ordering::SeqCst))
    }
}

/// Polls until something is so.
async fn wait_until<F: Future<Output = bool>>(what: &str, limit: Duration, is_so: impl Fn() -> F) {
    let deadline = Instant::now() + limit;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn knows(dht: &Dht, id: NodeId) -> bool {
    dht.peers().await.unwrap().iter().any(|peer| peer.contact.id == id)
}

/// A node with the id of another at its address, which has forgotten everything: to those who slept, time has passed there.
async fn again(dht: Dht, bootstrap: &[&Dht]) -> Dht {
    let (id, address) = (dht.id(), dht.local_addr());
    // Without a goodbye: who sleeps would not have heard it.
    drop(dht);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match node(bootstrap).id(id).listen(address).start() {
            Ok(dht) => return dht,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_expires_while_the_host_sleeps_is_served_no_longer() {
    let directory = tempfile::tempdir().unwrap();
    for disk in [false, true] {
        let clock = Sleeping::new();
        let mut builder = lone().clock(clock.clone());
        if disk {
            builder = builder.disk(directory.path().join("values"));
        }
        let sleeper = builder.start().unwrap();
        let other = node(&[&sleeper]).start().unwrap();
        other.joined().await.unwrap();
        let (short, long) = (Key::hash("short"), Key::hash("long"));
        sleeper.store(short, "value").ttl(HOUR / 6).await.unwrap();
        sleeper.store(long, "value").ttl(HOUR * 6).await.unwrap();
        // The other one's clock does not jump: it must not answer for the one that slept.
        drop(other);
        clock.sleep(HOUR);
        let asked = node(&[&sleeper]).start().unwrap();
        asked.joined().await.unwrap();
        for dht in [&sleeper, &asked] {
            assert!(dht.find(short).await.unwrap().is_none(), "disk: {disk}");
            assert_eq!(dht.find(long).await.unwrap().unwrap().bytes, "value", "disk: {disk}");
        }
        // It notices by itself, and cleans up.
        wait_until("what expired is gone", Duration::from_secs(10), || async {
            sleeper.stats().await.unwrap().items == 1
        })
        .await;
        sleeper.close().await.unwrap();
    }
    // On disk it counts by the wall clock, which has not jumped in this test: what is expired stays so.
    let again = lone().disk(directory.path().join("values")).start().unwrap();
    assert!(again.find(Key::hash("short")).await.unwrap().is_none());
    assert!(again.find(Key::hash("long")).await.unwrap().is_some());
}

#[tokio::test]
async fn who_slept_for_an_hour_is_back_among_its_contacts_within_seconds() {
    let clock = Sleeping::new();
    let first = lone().start().unwrap();
    let second = node(&[&first]).start().unwrap();
    let sleeper = node(&[&first]).clock(clock.clone()).start().unwrap();
    wait_until("all know each other", Duration::from_secs(20), || async {
        knows(&first, sleeper.id()).await && knows(&second, sleeper.id()).await && knows(&sleeper, second.id()).await
    })
    .await;
    let first = again(first, &[]).await;
    let second = again(second, &[]).await;
    clock.sleep(HOUR);
    // `second` is no bootstrap node of it.
    wait_until("all know each other again", Duration::from_secs(10), || async {
        knows(&first, sleeper.id()).await && knows(&second, sleeper.id()).await
    })
    .await;
    assert!(knows(&sleeper, first.id()).await && knows(&sleeper, second.id()).await);
}

#[tokio::test]
async fn a_node_that_is_told_of_another_network_asks_all_its_contacts() {
    // Without bootstrap nodes it has only its contacts.
    let mover = lone().watch_host(false).start().unwrap();
    let mut others = Vec::new();
    for _ in 0..12 {
        let other = node(&[&mover]).start().unwrap();
        other.joined().await.unwrap();
        others.push(other);
    }
    wait_until("all are known", Duration::from_secs(20), || async {
        mover.stats().await.unwrap().contacts == others.len()
    })
    .await;
    let mut forgetful = Vec::new();
    for other in others {
        forgetful.push(again(other, &[]).await);
    }
    mover.network_changed().unwrap();
    wait_until("all have heard of it", Duration::from_secs(10), || async {
        for other in &forgetful {
            if !knows(other, mover.id()).await {
                return false;
            }
        }
        true
    })
    .await;
}

#[tokio::test]
async fn other_bootstrap_nodes_are_joined_at_once() {
    let first = lone().start().unwrap();
    let alone = lone().workers(2).start().unwrap();
    alone.set_bootstrap([first.local_addr().to_string()]).unwrap();
    wait_until("it has joined", Duration::from_secs(10), || async { knows(&first, alone.id()).await }).await;
    let nobody: SocketAddr = ([127, 0, 0, 1], 9).into();
    drop(first);
    alone.set_bootstrap([nobody.to_string()]).unwrap();
}

/// A clock that only workers can read: what looks after the host for them is a task of its own.
struct Private(Instant);

impl Clock for Private {
    fn elapsed(&self) -> Duration {
        assert!(tokio::task::try_id().is_none(), "a panic on demand");
        self.0.elapsed()
    }
}

#[tokio::test]
async fn a_node_whose_look_out_panics_ends_instead_of_going_on_without() {
    let dht = lone().clock(Private(Instant::now())).start().unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(30), dht.closed()).await;
    let Ok(CloseReason::Panicked { thread, message }) = ended else { panic!("{ended:?}") };
    assert_eq!((&thread[..], &message[..]), ("kad-worker-0", "a panic on demand"));
}
