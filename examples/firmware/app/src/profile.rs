//! How much memory a node has.

/// Declares the memory of a full node and the functions that take it: `parts()` for [`kad_embassy::start`].
///
/// Everything is a variable of its own, all zero bits: nothing of it is ever on the stack, nor in flash.
#[macro_export]
macro_rules! profile {
    (
        block: { $($block:tt)* },
        space: { $($space:tt)* },
        records: $records:expr,
        blocks: $blocks:expr,
        config: $config:expr $(,)?
    ) => {
        kad_core::block! { struct Block { $($block)* } }
        kad_embassy::space! { struct Space { $($space)* } }

        static CONFIG: kad_core::Config = $config;

        /// The node's memory, once.
        fn parts(settings: &board::settings::Settings) -> kad_embassy::Parts<'_> {
            use kad_store::{FixedBlock, FixedRecord, FixedStore, Limits};
            use static_cell::{ConstStaticCell, StaticCell};

            static BLOCK: ConstStaticCell<Block> = ConstStaticCell::new(Block::EMPTY);
            static SPACE: ConstStaticCell<Space> = ConstStaticCell::new(Space::EMPTY);
            static RECORDS: ConstStaticCell<[FixedRecord; $records]> = ConstStaticCell::new([FixedRecord::EMPTY; $records]);
            static BLOCKS: ConstStaticCell<[FixedBlock; $blocks]> = ConstStaticCell::new([FixedBlock::EMPTY; $blocks]);
            static STORE: StaticCell<FixedStore<'static>> = StaticCell::new();

            let id = $crate::node_id(settings);
            let store = STORE.init_with(|| FixedStore::new(Limits::new(id), RECORDS.take(), BLOCKS.take()));
            kad_embassy::Parts {
                id,
                config: &CONFIG,
                seed: &settings.seed,
                memory: BLOCK.take().memory(),
                store,
                buffers: SPACE.take().buffers(),
            }
        }
    };
}
