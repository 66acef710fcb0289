//! A full node in 32 KiB of static RAM, network buffers included: values of up to 1024 bytes.
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
    records: 10,
    blocks: 16,
    config: kad_core::Config { k: 6, value_max: 1024, ..kad_core::Config::DEFAULT },
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
