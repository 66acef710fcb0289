//! Paths that lose what is large.

use crate::bench;

use bench::{Bench, config};
use kad_core::FindOptions;
use kad_core::wire::{DeleteLock, ItemHeader, ItemType, Key};
use kad_store::Store;

/// A filter that sees datagrams before the system has split them, as between virtual machines of one host, loses what a holder
/// sends together if it is too long together, however small each datagram is.
#[test]
fn a_value_is_read_where_chunks_that_travel_together_are_lost_together() {
    for len in [1080, 8000] {
        let mut bench = Bench::joined(&[config(), config()]);
        bench.together_max = 1096;
        let (now, key, value) = (bench.now, Key::hash("together"), vec![7; len]);
        let header = ItemHeader::publish(&key, ItemType::RAW, DeleteLock::NONE, 3_600_000, &value);
        assert!(bench.homes[0].store.publish(now, &key, &header, &value).status.is_held());
        bench.homes[1].node.find_value(now, now.plus_millis(20_000), key, FindOptions::FIRST).unwrap();
        bench.run_ms(21_000);
        assert_eq!(bench.homes[1].found.len(), 1, "{len} bytes");
    }
}
