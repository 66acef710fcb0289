//! A full node in 64 KiB of static RAM, network buffers included: values of up to 4096 bytes.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use board::entry;
use board::settings::Settings;
use embassy_executor::Spawner;
use embassy_net::Stack;
use kad_embassy::{Neighbours, Options, Place, Runner};
use kad_firmware::network::{self, NIC_FRAMES};
use kad_firmware::node;
use static_cell::StaticCell;

kad_firmware::profile! {
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
    records: 24,
    blocks: 76,
    config: kad_core::Config { k: 8, value_max: 4096, ..kad_core::Config::DEFAULT },
}

static NEIGHBOURS: Neighbours = Neighbours::new();

#[entry]
fn main() -> ! {
    static SETTINGS: StaticCell<Settings> = StaticCell::new();

    let board = board::start();
    let settings = SETTINGS.init(board.settings);
    board::run(|spawner| {
        let stack = network::start(spawner, NEIGHBOURS.driver(board.ethernet), settings);
        spawner.spawn(application(spawner, stack, settings).expect("there is one application"));
    })
}

#[embassy_executor::task]
async fn application(spawner: Spawner, stack: Stack<'static>, settings: &'static Settings) {
    static PLACE: Place = Place::new();

    network::wait_until_up(stack).await;
    let options =
        Options { port: settings.port, bootstrap: &settings.peers, nic_frames: NIC_FRAMES, ..Options::default() };
    let (dht, runner) =
        kad_embassy::start(&PLACE, stack, &NEIGHBOURS, parts(settings), &options).expect("the profile makes sense");
    spawner.spawn(run(runner).expect("there is one node"));
    node::serve(stack, dht, settings).await;
}

#[embassy_executor::task]
async fn run(node: Runner) {
    node.run().await;
}
