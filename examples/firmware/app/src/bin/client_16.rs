//! A sleepy client in 16 KiB of static RAM, network buffers included: values of up to 512 bytes.
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
use kad_embassy::{Client, Error, Limit, Neighbours, Options, StoreOptions};
use kad_firmware::network::{self, NIC_FRAMES, Sockets};
use kad_firmware::{log_stack, node_id, value};
use kad_profiles::client_16;
use static_cell::StaticCell;

/// DHCP's, and the client's.
static SOCKETS: Sockets<2> = Sockets::new();
static NEIGHBOURS: Neighbours = Neighbours::new();

#[entry]
fn main() -> ! {
    static SETTINGS: StaticCell<Settings> = StaticCell::new();

    let board = board::start();
    let settings = SETTINGS.init(board.settings);
    board::run(|spawner| {
        let stack = network::start(spawner, &SOCKETS, NEIGHBOURS.driver(board.ethernet), settings);
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
    let parts = client_16::parts(node_id(settings), &settings.seed);
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
