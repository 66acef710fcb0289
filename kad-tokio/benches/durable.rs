//! Figures for `docs/decisions`: how long others wait while a node writes to its disk.
//! `cargo bench -p kad-tokio --bench durable`.

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Duration;

use common::{lone, node};
use kad_tokio::Key;

#[tokio::main]
async fn main() {
    let directory = tempfile::tempdir_in(".").unwrap();
    let holder = lone().disk(directory.path().join("values")).start().unwrap();
    let writer = node(&[&holder]).start().unwrap();
    let reader = node(&[&holder]).start().unwrap();
    writer.joined().await.unwrap();
    reader.joined().await.unwrap();
    for writes in [false, true] {
        let load = tokio::spawn({
            let writer = writer.clone();
            async move {
                for number in (0..).take_while(|_| writes) {
                    let stores = (0..32).map(|at| writer.store(Key::hash_int(number * 32 + at), vec![1; 500]));
                    for stored in futures_util::future::join_all(stores.map(IntoFuture::into_future)).await {
                        stored.unwrap();
                    }
                }
            }
        });
        let (begun, mut times) = (std::time::Instant::now(), Vec::new());
        while begun.elapsed() < Duration::from_secs(5) {
            times.push(reader.ping(holder.local_addr()).await.unwrap().rtt);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        load.abort();
        times.sort_unstable();
        let (middle, rare) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        let items = holder.stats().await.unwrap().items;
        println!(
            "writes: {writes}, {items} items: a ping takes {middle:?}, 1 % more than {rare:?}, {:?}",
            times.last()
        );
    }
}
