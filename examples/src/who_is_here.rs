//! Everyone who runs this sees everyone else: a node in an application, in forty lines.
//!
//! ```text
//! cargo run -p kad-examples --bin who-is-here -- ann                     # prints where it listens
//! cargo run -p kad-examples --bin who-is-here -- bob 127.0.0.1:PORT      # joins through ann
//! ```

use std::time::Duration;

use kad_tokio::{Dht, Key, NetworkId};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("usage: who-is-here NAME [ADDRESS:PORT]...")?;

    // A node of its own network, which joins through the addresses that were given.
    let dht = Dht::builder()
        .network(NetworkId::named("who-is-here"))
        .listen(([127, 0, 0, 1], 0).into())
        .bootstrap(arguments)
        .start()?;
    println!("{name} listens on {}", dht.local_addr());

    // Everybody puts a short-lived value under the same key, and reads all that are there.
    let key = Key::hash("everyone who is here");
    for _ in 0..5 {
        let receipt = dht.store(key, name.clone()).ttl(Duration::from_secs(5)).await?;
        let mut names = Vec::new();
        let mut values = dht.find_all(key).values();
        while let Some(value) = values.next().await {
            names.push(String::from_utf8_lossy(&value?.bytes).into_owned());
        }
        names.sort();
        println!("{} here: {}, on {} nodes", names.len(), names.join(" "), receipt.copies);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    // Hands over what others may still want to read, and says goodbye.
    dht.close().await?;
    Ok(())
}
