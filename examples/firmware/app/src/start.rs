//! From the board's start to a node that runs.

use board::settings::Settings;
use embassy_executor::Spawner;
use embassy_net::Stack;
use kad_core::NodeId;
use kad_embassy::{Neighbours, Options, Parts, Place, Runner};
use static_cell::StaticCell;

use crate::network::{self, NIC_FRAMES, Sockets};
use crate::{node, node_id};

/// Takes the memory of a node, for the node with this identity and randomness: one of `kad-profiles`.
pub type Profile = fn(NodeId, &[u8; 32]) -> Parts<'_>;

/// DHCP's, the node's, and that of commands.
static SOCKETS: Sockets<3> = Sockets::new();
static NEIGHBOURS: Neighbours = Neighbours::new();

/// Starts the board, the network and a full node with this memory, which takes commands from then on.
pub fn full_node(profile: Profile) -> ! {
    static SETTINGS: StaticCell<Settings> = StaticCell::new();

    let board = board::start();
    let settings = SETTINGS.init(board.settings);
    board::run(|spawner| {
        let stack = network::start(spawner, &SOCKETS, NEIGHBOURS.driver(board.ethernet), settings);
        spawner.spawn(application(spawner, stack, settings, profile).expect("there is one application"));
    })
}

#[embassy_executor::task]
async fn application(spawner: Spawner, stack: Stack<'static>, settings: &'static Settings, profile: Profile) {
    static PLACE: Place = Place::new();

    network::wait_until_up(stack).await;
    let options =
        Options { port: settings.port, bootstrap: &settings.peers, nic_frames: NIC_FRAMES, ..Options::default() };
    let parts = profile(node_id(settings), &settings.seed);
    let started = kad_embassy::start(&PLACE, stack, &NEIGHBOURS, parts, &options);
    let (dht, runner) = started.expect("the profile makes sense");
    spawner.spawn(run(runner).expect("there is one node"));
    node::serve(stack, dht, settings).await;
}

#[embassy_executor::task]
async fn run(node: Runner) {
    node.run().await;
}
