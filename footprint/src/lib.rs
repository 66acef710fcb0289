//! A node on a board that does not exist: a clock that stands still, a network device that does nothing. It is linked to be
//! measured (`cargo xtask footprint`), and run by nobody.
//!
//! What the optimiser must not see through goes through `black_box`: or else it would drop whatever follows from a frame,
//! since none ever comes.
#![no_std]

use core::hint::black_box;
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::{Pin, pin};
use core::task::{Context, Waker};

use embassy_net::driver::{Capabilities, Driver, HardwareAddress, LinkState};
use embassy_net::{Config, Runner, Stack, StackResources};
use kad_core::Key;
use kad_embassy::{Client, Limit, NeighbourDriver, Neighbours, Options, Parts, Place, StoreOptions};
// Its feature is what is needed of it.
use portable_atomic as _;
use static_cell::StaticCell;

/// Makes a program of a full node.
#[macro_export]
macro_rules! node {
    ($profile:ident) => {
        /// Where the linker begins to look for what is needed.
        #[unsafe(no_mangle)]
        pub extern "C" fn _start() -> ! {
            $crate::node(kad_profiles::$profile::parts($crate::id(), $crate::seed()))
        }
    };
}

/// Makes a program of a client.
#[macro_export]
macro_rules! client {
    ($profile:ident) => {
        /// Where the linker begins to look for what is needed.
        #[unsafe(no_mangle)]
        pub extern "C" fn _start() -> ! {
            $crate::client(kad_profiles::$profile::parts($crate::id(), $crate::seed()))
        }
    };
}

static NEIGHBOURS: Neighbours = Neighbours::new();

/// Who the node is.
pub fn id() -> kad_core::NodeId {
    kad_core::NodeId::from_bytes(black_box([1; 32]))
}

/// Its randomness.
pub fn seed() -> &'static [u8; 32] {
    black_box(&[1; 32])
}

/// A full node, used as by an application.
pub fn node(parts: Parts<'_>) -> ! {
    static PLACE: Place = Place::new();

    let (stack, net) = network();
    let bootstrap = [peer()];
    let options = Options { bootstrap: &bootstrap, ..Options::default() };
    let Ok((dht, node)) = kad_embassy::start(&PLACE, stack, &NEIGHBOURS, parts, &options) else { end() };
    let application = async {
        let mut value = [0; 64];
        let (key, value) = (Key::hash(peer().port().to_le_bytes()), black_box(&mut value[..]));
        let _ = black_box(dht.joined().await);
        let _ = black_box(dht.store(key, value, &StoreOptions::default()).await);
        let _ = black_box(dht.find(key, value).await);
        let _ = black_box(dht.ping(peer()).await);
        let _ = black_box((dht.status(), dht.leave().await));
    };
    run(net, node.run(), application)
}

/// A client, used as by an application.
pub fn client(parts: Parts<'_>) -> ! {
    static CLIENT: StaticCell<Client> = StaticCell::new();

    let (stack, net) = network();
    let bootstrap = [peer()];
    let options = Options { bootstrap: &bootstrap, ..Options::default() };
    let Ok(client) = Client::new(stack, &NEIGHBOURS, parts, &options) else { end() };
    let client = CLIENT.init(client);
    let application = async {
        let mut value = [0; 64];
        let (key, value) = (Key::hash(peer().port().to_le_bytes()), black_box(&mut value[..]));
        let _ = black_box(client.store(key, value, &StoreOptions::default(), Limit::default()).await);
        let _ = black_box(client.find(key, value, Limit::default()).await);
    };
    run(net, core::future::ready(()), application)
}

fn peer() -> SocketAddr {
    black_box((Ipv4Addr::new(10, 0, 0, 1), 4570).into())
}

type Network = Runner<'static, NeighbourDriver<Device>>;

fn network() -> (Stack<'static>, Network) {
    static RESOURCES: StaticCell<StackResources<2>> = StaticCell::new();

    let resources = RESOURCES.init_with(StackResources::new);
    embassy_net::new(NEIGHBOURS.driver(Device), Config::dhcpv4(Default::default()), resources, black_box(1))
}

/// Runs the network stack, the node and the application.
fn run(mut net: Network, node: impl Future, application: impl Future) -> ! {
    let (mut net, mut node, mut application) = (pin!(net.run()), pin!(node), pin!(application));
    while black_box(true) {
        poll(net.as_mut());
        poll(node.as_mut());
        poll(application.as_mut());
    }
    end()
}

/// Not part of its caller, so that the table of symbols tells whose code it is.
#[inline(never)]
fn poll(future: Pin<&mut impl Future>) {
    let _ = black_box(future.poll(&mut Context::from_waker(Waker::noop())).is_ready());
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    end()
}

fn end() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// A network device.
struct Device;

/// A frame of it.
struct Frame;

impl Driver for Device {
    type RxToken<'a> = Frame;
    type TxToken<'a> = Frame;

    fn receive(&mut self, _: &mut Context<'_>) -> Option<(Frame, Frame)> {
        black_box(false).then_some((Frame, Frame))
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<Frame> {
        black_box(false).then_some(Frame)
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        black_box(LinkState::Up)
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = black_box(1514);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(black_box([2, 0, 0, 0, 0, 1]))
    }
}

impl embassy_net::driver::RxToken for Frame {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, take: F) -> R {
        take(black_box(&mut []))
    }
}

impl embassy_net::driver::TxToken for Frame {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, _: usize, fill: F) -> R {
        fill(black_box(&mut []))
    }
}

/// A clock that stands still.
struct Clock;

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock);

impl embassy_time_driver::Driver for Clock {
    fn now(&self) -> u64 {
        black_box(0)
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        black_box((at, waker));
    }
}

/// No interrupts to hold back.
struct Section;

critical_section::set_impl!(Section);

// SAFETY: this program is never run.
unsafe impl critical_section::Impl for Section {
    unsafe fn acquire() -> critical_section::RawRestoreState {}

    unsafe fn release(_: critical_section::RawRestoreState) {}
}
