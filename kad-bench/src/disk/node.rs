//! A node on disk: its own puts, and how long others wait for it meanwhile.

use std::future::IntoFuture;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kad_tokio::{Copies, Dht, Key};
use serde::{Deserialize, Serialize};

use super::fresh;
use super::slow::SlowDisk;
use crate::drive::{Demand, Driven, Outcome, drive};
use crate::failure::Failure;
use crate::figures::Times;
use crate::network::{close, node, runtime};
use crate::progress::Progress;

/// Puts at a time.
const CONCURRENCIES: [usize; 3] = [1, 64, 512];
/// Bytes of a value that the node puts, and of one that another node stores there.
const PUT: usize = 100;
const STORED: usize = 500;
/// Stores of the other node at a time.
const STORES: u64 = 32;
/// Between two PINGs.
const PAUSE: Duration = Duration::from_millis(1);

/// Where a node has its values.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// In memory: what a put takes without a disk.
    Memory,
    /// On this machine's disk.
    Disk,
    /// On this machine's disk, with [`SLOW`] more for each commit.
    SlowDisk,
}

/// What many a disk takes.
pub(super) const SLOW: Duration = Duration::from_millis(4);

/// Puts of a node with nobody else: answered when they are where they belong.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(crate) struct Puts {
    pub(crate) place: Place,
    pub(crate) concurrency: usize,
    pub(crate) driven: Driven,
}

/// PINGs to a node while another one stores there.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(crate) struct Pings {
    pub(crate) stores_per_second: f64,
    pub(crate) times: Times,
}

pub(super) fn puts(directory: &Path, span: Duration, progress: &Progress) -> Result<Vec<Puts>, Failure> {
    let runtime = runtime()?;
    let mut all = Vec::new();
    for place in [Place::Memory, Place::Disk, Place::SlowDisk] {
        for concurrency in CONCURRENCIES {
            progress.say(&format!("disk: a node puts, {concurrency} at a time"));
            let file = fresh(directory, "values")?;
            let demand = Demand { concurrency, span, most: u64::MAX };
            let driven = runtime.block_on(async { put(start(place, &file)?, demand).await })?;
            all.push(Puts { place, concurrency, driven });
        }
    }
    Ok(all)
}

/// A node that has its values there.
fn start(place: Place, file: &Path) -> Result<Dht, Failure> {
    let builder = node(None);
    Ok(match place {
        Place::Memory => builder,
        Place::Disk => builder.disk(file),
        Place::SlowDisk => builder.store(SlowDisk { store: super::store::open(file)?, delay: SLOW }),
    }
    .start()?)
}

async fn put(dht: Dht, demand: Demand) -> Result<Driven, Failure> {
    let caller = dht.clone();
    let operation = move |number: u64| {
        let dht = caller.clone();
        async move {
            match dht.store(Key::hash_int(number), vec![7; PUT]).copies(Copies::AtLeast(0)).await {
                Ok(receipt) if receipt.copies == 1 => Outcome::Right,
                Ok(_) => Outcome::Refused,
                Err(kad_tokio::Error::Timeout) => Outcome::Timeout,
                Err(_) => Outcome::Wrong,
            }
        }
    };
    let driven = drive(demand, operation, || async { Ok(()) }).await?;
    close(&[dht]).await?;
    Ok(driven)
}

pub(super) fn pings(directory: &Path, span: Duration, progress: &Progress) -> Result<Vec<Pings>, Failure> {
    progress.say("disk: pings to a node that writes");
    let file = fresh(directory, "values")?;
    runtime()?.block_on(async {
        let holder = node(None).disk(file).start()?;
        let (writer, reader) = (node(Some(&holder)).start()?, node(Some(&holder)).start()?);
        writer.joined().await?;
        reader.joined().await?;
        let calm = ping(&reader, &holder, span).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let load = tokio::spawn(write(writer.clone(), stop.clone()));
        let (items, begun) = (holder.stats().await?.items, Instant::now());
        let busy = ping(&reader, &holder, span).await?;
        let stored = holder.stats().await?.items.saturating_sub(items);
        let stores_per_second = stored as f64 / begun.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        load.await.map_err(|error| Failure::Void(format!("the writer: {error}")))??;
        close(&[writer, reader, holder]).await?;
        Ok(vec![Pings { stores_per_second: 0.0, times: calm }, Pings { stores_per_second, times: busy }])
    })
}

async fn ping(from: &Dht, to: &Dht, span: Duration) -> Result<Times, Failure> {
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < span {
        times.push(from.ping(to.local_addr()).await?.rtt);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(Times::of(&times))
}

/// Stores values until it is told to stop.
async fn write(writer: Dht, stop: Arc<AtomicBool>) -> Result<(), Failure> {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut stores = tokio::task::JoinSet::new();
        for _ in 0..STORES {
            stores.spawn(writer.store(Key::hash_int(number), vec![1; STORED]).into_future());
            number += 1;
        }
        while let Some(stored) = stores.join_next().await {
            stored.map_err(|error| Failure::Void(format!("the writer: {error}")))??;
        }
    }
    Ok(())
}
