//! Nodes of four sizes: `node_32` is for a firmware that has 32 KiB of static RAM and runs nothing big besides, the network's
//! buffers included.
#![no_std]
#![forbid(unsafe_code)]

/// Declares a module with a node's memory, and the function that takes it.
///
/// Everything is a variable of its own, all zero bits: nothing of it is ever on the stack, nor in flash.
macro_rules! profile {
    (
        $(#[$meta:meta])*
        $name:ident {
            block: { $($block:tt)* },
            space: { $($space:tt)* },
            store: $store:tt,
            config: { $($config:tt)* } $(,)?
        }
    ) => {
        $(#[$meta])*
        pub mod $name {
            use kad_core::{Config, NodeId};
            use kad_embassy::Parts;
            use static_cell::ConstStaticCell;

            kad_core::block! { struct Block { $($block)* } }
            kad_embassy::space! { struct Space { $($space)* } }

            static CONFIG: Config = Config { $($config)*, ..Config::DEFAULT };

            /// The parts of a node with this identity and randomness. To be called once.
            pub fn parts(id: NodeId, seed: &[u8; 32]) -> Parts<'_> {
                static BLOCK: ConstStaticCell<Block> = ConstStaticCell::new(Block::EMPTY);
                static SPACE: ConstStaticCell<Space> = ConstStaticCell::new(Space::EMPTY);

                let store = store!(id, $store);
                let (memory, buffers) = (BLOCK.take().memory(), SPACE.take().buffers());
                Parts { id, config: &CONFIG, seed, memory, store, buffers }
            }
        }
    };
}

/// Declares a store, and takes it.
macro_rules! store {
    ($id:ident, none) => {{
        static STORE: ConstStaticCell<kad_store::NoStore> = ConstStaticCell::new(kad_store::NoStore);
        STORE.take()
    }};
    ($id:ident, { records: $records:expr, blocks: $blocks:expr }) => {{
        use kad_store::{FixedBlock, FixedRecord, FixedStore, Limits};
        use static_cell::StaticCell;

        static RECORDS: ConstStaticCell<[FixedRecord; $records]> = ConstStaticCell::new([FixedRecord::EMPTY; $records]);
        static BLOCKS: ConstStaticCell<[FixedBlock; $blocks]> = ConstStaticCell::new([FixedBlock::EMPTY; $blocks]);
        static STORE: StaticCell<FixedStore<'static>> = StaticCell::new();
        STORE.init_with(|| FixedStore::new(Limits::new($id), RECORDS.take(), BLOCKS.take()))
    }};
}

profile! {
    /// For a [`Client`](kad_embassy::Client): values of up to 512 bytes. It keeps nothing for others.
    client_16 {
        block: {
            rows: 2,
            contacts_per_row: 8,
            operations: 1,
            candidates_per_operation: 8,
            items_per_operation: 1,
            transfers: 1,
            arena: 512,
        },
        space: {
            calls: 1,
            found_per_call: 512,
            receive: 1,
            send: 1,
            datagram: 704,
            held: 2,
        },
        store: none,
        config: { k: 8, value_max: 512 },
    }
}

profile! {
    /// A full node: values of up to 1 KiB.
    node_32 {
        block: {
            rows: 7,
            contacts_per_row: 6,
            operations: 2,
            candidates_per_operation: 8,
            items_per_operation: 2,
            transfers: 3,
            arena: 2 * 1024,
        },
        space: {
            calls: 1,
            found_per_call: 1024,
            receive: 2,
            send: 1,
        },
        store: { records: 10, blocks: 16 },
        config: { k: 6, value_max: 1024 },
    }
}

profile! {
    /// A full node: values of up to 4 KiB.
    node_64 {
        block: {
            rows: 12,
            contacts_per_row: 9,
            operations: 3,
            candidates_per_operation: 12,
            items_per_operation: 6,
            transfers: 6,
            arena: 2 * 4096,
        },
        space: {
            calls: 1,
            found_per_call: 4096,
            receive: 4,
            send: 2,
        },
        store: { records: 24, blocks: 76 },
        config: { k: 8, value_max: 4096 },
    }
}

profile! {
    /// A full node: values of up to 16 KiB.
    node_128 {
        block: {
            rows: 16,
            contacts_per_row: 12,
            operations: 4,
            candidates_per_operation: 16,
            items_per_operation: 8,
            transfers: 8,
            arena: 2 * 16_384,
        },
        space: {
            calls: 1,
            found_per_call: 16_384,
            receive: 6,
            send: 2,
        },
        store: { records: 48, blocks: 160 },
        config: { k: 8, value_max: 16_384 },
    }
}
