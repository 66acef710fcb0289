//! A sleepy client in 16 KiB of static RAM, network buffers included: values of up to 1 KiB.
//!
//! It wakes for what the settings tell it, one operation after the other, and sleeps between them: nothing of the node runs
//! then, and no socket is open. `do=` knows `put:NAME:LEN`, `get:NAME`, `sleep:MILLISECONDS` and `exit`. What each
//! operation cost is logged.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use board::log::Shown;
use board::settings::Settings;
use board::{entry, error, info};
use embassy_net::Stack;
use embassy_time::Timer;
use kad_core::Key;
use kad_embassy::{Client, Error, Limit, Neighbours, Options, Parts, StoreOptions};
use kad_firmware::network::{self, NIC_FRAMES};
use kad_firmware::{log_stack, node_id, value};
use kad_store::{FixedStore, Limits};
use static_cell::{ConstStaticCell, StaticCell};

/// Bytes of the largest value.
const VALUE: usize = 1024;

kad_core::block! {
    struct Block {
        rows: 2,
        contacts_per_row: 8,
        operations: 1,
        candidates_per_operation: 8,
        items_per_operation: 1,
        transfers: 1,
        arena: VALUE,
    }
}

kad_embassy::space! {
    struct Space {
        calls: 1,
        found_per_call: VALUE,
        receive: 1,
        send: 1,
    }
}

static CONFIG: kad_core::Config = kad_core::Config { k: 8, value_max: VALUE as u32, ..kad_core::Config::DEFAULT };
static NEIGHBOURS: Neighbours = Neighbours::new();

#[entry]
fn main() -> ! {
    static SETTINGS: StaticCell<Settings> = StaticCell::new();

    let board = board::start();
    let settings = SETTINGS.init(board.settings);
    board::run(|spawner| {
        let stack = network::start(spawner, NEIGHBOURS.driver(board.ethernet), settings);
        spawner.spawn(application(stack, settings).expect("there is one application"));
    })
}

#[embassy_executor::task]
async fn application(stack: Stack<'static>, settings: &'static Settings) {
    static CLIENT: StaticCell<Client> = StaticCell::new();

    network::wait_until_up(stack).await;
    let client = CLIENT.init(client(stack, settings));
    info!("ready id={}", Shown(client.id()));
    for action in &settings.actions {
        match act(client, action).await {
            Ok(()) => {}
            Err(error) => info!("{} error: {}", *action, Shown(error)),
        }
        let cost = client.cost();
        info!("cost sent={} received={} ms={}", cost.sent, cost.received, cost.time.as_millis() as u32);
    }
    log_stack();
}

fn client(stack: Stack<'static>, settings: &Settings) -> Client {
    static BLOCK: ConstStaticCell<Block> = ConstStaticCell::new(Block::EMPTY);
    static SPACE: ConstStaticCell<Space> = ConstStaticCell::new(Space::EMPTY);
    static STORE: StaticCell<FixedStore<'static>> = StaticCell::new();

    let id = node_id(settings);
    // A client keeps nothing.
    let store = STORE.init_with(|| FixedStore::new(Limits::new(id), &mut [], &mut []));
    let (memory, buffers) = (BLOCK.take().memory(), SPACE.take().buffers());
    let parts = Parts { id, config: &CONFIG, seed: &settings.seed, memory, store, buffers };
    let options =
        Options { port: settings.port, bootstrap: &settings.peers, nic_frames: NIC_FRAMES, ..Options::default() };
    Client::new(stack, &NEIGHBOURS, parts, &options).expect("the profile makes sense")
}

/// Does one thing; what cannot be understood ends the program.
async fn act(client: &mut Client, action: &'static str) -> Result<(), Error> {
    let (verb, arguments) = action.split_once(':').unwrap_or((action, ""));
    let put = arguments.split_once(':').and_then(|(name, len)| Some((name, value::of_len(len.parse().ok()?)?)));
    match (verb, put, arguments.parse()) {
        ("put", Some((name, value)), _) => {
            let receipt = client.store(Key::hash(name), value, &StoreOptions::default(), Limit::default()).await?;
            info!("put {} copies={} refused={}", name, receipt.copies, receipt.refused);
        }
        ("get", ..) => {
            let found = client.find_with(Key::hash(arguments), Limit::default(), |bytes| Key::hash(bytes)).await?;
            match found {
                Some((found, hash)) => info!("get {} len={} hash={}", arguments, found.len, Shown(hash)),
                None => info!("get {} none", arguments),
            }
        }
        ("sleep", _, Ok(millis)) => Timer::after_millis(millis).await,
        ("exit", ..) => board::exit(true),
        _ => {
            error!("`do={}`: this application has no such action", action);
            board::exit(false)
        }
    }
    Ok(())
}
