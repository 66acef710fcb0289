//! The network stack: embassy-net on the board's Ethernet, as the settings say.

use board::log::Shown;
use board::settings::{Ip, Settings};
use board::{Ethernet, info};
use embassy_executor::Spawner;
use embassy_net::{
    ConfigV4, ConfigV6, DhcpConfig, Ipv4Cidr, Ipv6Cidr, Runner, Stack, StackResources, StaticConfigV4, StaticConfigV6,
};
use embassy_time::Timer;
use kad_embassy::NeighbourDriver;
use static_cell::StaticCell;

/// Frames of full length that the board's network chip holds.
pub const NIC_FRAMES: u16 = 6;

/// The board's network device, which asks for neighbours besides.
pub type Device = NeighbourDriver<Ethernet>;

/// Memory for so many sockets, of which DHCP has one.
pub type Sockets<const N: usize> = StaticCell<StackResources<N>>;

/// Starts the network stack.
pub fn start<const N: usize>(
    spawner: Spawner,
    sockets: &'static Sockets<N>,
    ethernet: Device,
    settings: &Settings,
) -> Stack<'static> {
    // Port numbers of TCP and DHCP's transaction numbers come from it: not secret, but different on each board.
    let [seed, ..] = settings.seed.as_chunks().0 else { unreachable!("32 bytes are more than 8") };
    let resources = sockets.init_with(StackResources::new);
    let (stack, runner) = embassy_net::new(ethernet, config(settings), resources, u64::from_le_bytes(*seed));
    spawner.spawn(run(runner).expect("there is one network"));
    stack
}

/// Waits until the board has its IPv4 address, and logs the addresses.
pub async fn wait_until_up(stack: Stack<'static>) {
    stack.wait_config_up().await;
    let config = loop {
        match stack.config_v4() {
            Some(config) => break config,
            // Only IPv6 is up so far.
            None => Timer::after_millis(20).await,
        }
    };
    info!("up ip={}", Shown(config.address));
    if let Some(config) = stack.config_v6() {
        info!("up ip6={}", Shown(config.address));
    }
}

#[embassy_executor::task]
async fn run(mut runner: Runner<'static, Device>) -> ! {
    runner.run().await
}

fn config(settings: &Settings) -> embassy_net::Config {
    let mut config = embassy_net::Config::default();
    config.ipv4 = match settings.ip {
        Ip::Dhcp => ConfigV4::Dhcp(DhcpConfig::default()),
        Ip::Fixed(network) => ConfigV4::Static(StaticConfigV4 {
            address: Ipv4Cidr::new(network.address, network.prefix),
            gateway: settings.gateway,
            dns_servers: Default::default(),
        }),
    };
    if let Some(network) = settings.ip6 {
        let address = Ipv6Cidr::new(network.address, network.prefix);
        config.ipv6 = ConfigV6::Static(StaticConfigV6 { address, gateway: None, dns_servers: Default::default() });
    }
    config
}
