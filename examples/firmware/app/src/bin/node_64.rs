//! A full node in 64 KiB of static RAM, network buffers included: values of up to 4096 bytes.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use board::entry;
use board::settings::Settings;
use embassy_executor::Spawner;
use embassy_net::Stack;
use kad_embassy::{Neighbours, Options, Place, Runner};
use kad_firmware::network::{self, NIC_FRAMES, Sockets};
use kad_firmware::{node, node_id};
use kad_profiles::node_64;
use static_cell::StaticCell;

/// DHCP's, the node's, and that of commands.
static SOCKETS: Sockets<3> = Sockets::new();
static NEIGHBOURS: Neighbours = Neighbours::new();

#[entry]
fn main() -> ! {
    static SETTINGS: StaticCell<Settings> = StaticCell::new();

    let board = board::start();
    let settings = SETTINGS.init(board.settings);
    board::run(|spawner| {
        let stack = network::start(spawner, &SOCKETS, NEIGHBOURS.driver(board.ethernet), settings);
        spawner.spawn(application(spawner, stack, settings).expect("there is one application"));
    })
}

#[embassy_executor::task]
async fn application(spawner: Spawner, stack: Stack<'static>, settings: &'static Settings) {
    static PLACE: Place = Place::new();

    network::wait_until_up(stack).await;
    let options =
        Options { port: settings.port, bootstrap: &settings.peers, nic_frames: NIC_FRAMES, ..Options::default() };
    let parts = node_64::parts(node_id(settings), &settings.seed);
    let started = kad_embassy::start(&PLACE, stack, &NEIGHBOURS, parts, &options);
    let (dht, runner) = started.expect("the profile makes sense");
    spawner.spawn(run(runner).expect("there is one node"));
    node::serve(stack, dht, settings).await;
}

#[embassy_executor::task]
async fn run(node: Runner) {
    node.run().await;
}
