//! The stores in memory pass the conformance suite.

use kad_store::{FixedBlock, FixedRecord, FixedStore, MemoryStore, conformance};

#[test]
fn the_growing_store_conforms() {
    conformance::run(MemoryStore::new);
}

#[test]
fn the_fixed_store_conforms() {
    conformance::run(|limits| {
        let records = Box::leak(vec![FixedRecord::EMPTY; 64].into_boxed_slice());
        let blocks = Box::leak(vec![FixedBlock::EMPTY; 600].into_boxed_slice());
        FixedStore::new(limits, records, blocks)
    });
}
