//! How to run, as `name=value` arguments separated by spaces.
//!
//! | argument | meaning | default |
//! |---|---|---|
//! | `ip=10.0.0.5/24` or `ip=dhcp` | IPv4 address and the length of the network's prefix | `dhcp` |
//! | `ip6=fd00::5/64` | IPv6 address in addition | none |
//! | `gateway=10.0.0.1` | router for IPv4; with `ip=dhcp` the server says | none |
//! | `mac=5` | last three bytes of the MAC address as a number; the first are 02:00:00 | `1` |
//! | `port=9000` | UDP port to listen on | `9000` |
//! | `peers=10.0.0.1:9000,[fd00::1]:9000` | whom to join through | none |
//! | `seed=HEX` | up to 32 bytes of randomness: the emulator has no source of any | must be given |
//! | `role=node` or `role=client` | keep what others store, or only ask | `node` |
//! | `do=...` | something to do, in the application's own words; separated by commas, or given several times | none |
#![forbid(unsafe_code)]

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

use heapless::Vec;

/// Peers at the most.
pub const PEERS_MAX: usize = 4;
/// Actions at the most.
pub const ACTIONS_MAX: usize = 16;

/// How to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where the IPv4 address is from.
    pub ip: Ip,
    /// An IPv6 address in addition.
    pub ip6: Option<Network<Ipv6Addr>>,
    /// The router for IPv4.
    pub gateway: Option<Ipv4Addr>,
    /// The MAC address.
    pub mac: [u8; 6],
    /// The UDP port to listen on.
    pub port: u16,
    /// Whom to join through.
    pub peers: Vec<SocketAddr, PEERS_MAX>,
    /// Randomness, filled up with zeros. On a board with a random number generator this comes from there.
    pub seed: [u8; 32],
    /// What part to play.
    pub role: Role,
    /// What to do, in the application's own words.
    pub actions: Vec<&'static str, ACTIONS_MAX>,
}

/// Where the IPv4 address is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ip {
    /// From a DHCP server.
    Dhcp,
    /// From the settings.
    Fixed(Network<Ipv4Addr>),
}

/// An address, and how long the prefix of its network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network<A> {
    /// The address of this board.
    pub address: A,
    /// Bits that all addresses of the network have in common.
    pub prefix: u8,
}

/// What part to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Keeps what others store.
    Node,
    /// Only asks.
    Client,
}

/// What is wrong with the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// An argument without `=`.
    NotNameValue(&'static str),
    /// There is no setting of this name.
    Unknown(&'static str),
    /// This setting was given before.
    Twice(&'static str),
    /// The value cannot be understood.
    Invalid {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: &'static str,
        /// What is understood.
        expected: &'static str,
    },
    /// More values than there is room for.
    TooMany {
        /// The setting.
        name: &'static str,
        /// How many there is room for.
        max: usize,
    },
    /// A setting that has no default.
    Missing(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNameValue(argument) => write!(f, "`{argument}`: name=value is expected"),
            Self::Unknown(name) => write!(f, "`{name}`: no such setting"),
            Self::Twice(name) => write!(f, "`{name}`: given twice"),
            Self::Invalid { name, value, expected } => write!(f, "`{name}={value}`: expected {expected}"),
            Self::TooMany { name, max } => write!(f, "`{name}`: at most {max}"),
            Self::Missing(name) => write!(f, "`{name}`: must be given"),
        }
    }
}

impl Settings {
    /// Reads settings from arguments that are separated by spaces.
    pub fn parse(arguments: &'static str) -> Result<Self, Error> {
        let mut parser = Parser::default();
        for argument in arguments.split_ascii_whitespace() {
            let (name, value) = argument.split_once('=').ok_or(Error::NotNameValue(argument))?;
            parser.set(Argument { name, value })?;
        }
        Ok(Self {
            ip: parser.ip.unwrap_or(Ip::Dhcp),
            ip6: parser.ip6,
            gateway: parser.gateway,
            mac: parser.mac.unwrap_or(mac(1)),
            port: parser.port.unwrap_or(9000),
            peers: parser.peers.unwrap_or_default(),
            seed: parser.seed.ok_or(Error::Missing("seed"))?,
            role: parser.role.unwrap_or(Role::Node),
            actions: parser.actions,
        })
    }
}

/// What was given so far.
#[derive(Default)]
struct Parser {
    ip: Option<Ip>,
    ip6: Option<Network<Ipv6Addr>>,
    gateway: Option<Ipv4Addr>,
    mac: Option<[u8; 6]>,
    port: Option<u16>,
    peers: Option<Vec<SocketAddr, PEERS_MAX>>,
    seed: Option<[u8; 32]>,
    role: Option<Role>,
    actions: Vec<&'static str, ACTIONS_MAX>,
}

impl Parser {
    fn set(&mut self, argument: Argument) -> Result<(), Error> {
        match argument.name {
            "ip" => argument.once(&mut self.ip, argument.ip()?),
            "ip6" => argument.once(&mut self.ip6, argument.network(128, "ADDRESS/PREFIX, as in fd00::5/64")?),
            "gateway" => argument.once(&mut self.gateway, argument.parse("an IPv4 address")?),
            "mac" => argument.once(&mut self.mac, argument.mac()?),
            "port" => argument.once(&mut self.port, argument.parse("a port")?),
            "peers" => argument.once(&mut self.peers, argument.peers()?),
            "seed" => argument.once(&mut self.seed, argument.seed()?),
            "role" => argument.once(&mut self.role, argument.role()?),
            "do" => argument.append(&mut self.actions, argument.value.split(',').map(Ok)),
            name => Err(Error::Unknown(name)),
        }
    }
}

/// One argument.
#[derive(Clone, Copy)]
struct Argument {
    name: &'static str,
    value: &'static str,
}

impl Argument {
    fn once<T>(self, setting: &mut Option<T>, value: T) -> Result<(), Error> {
        match setting.replace(value) {
            None => Ok(()),
            Some(_) => Err(Error::Twice(self.name)),
        }
    }

    fn append<T, const N: usize>(
        self,
        list: &mut Vec<T, N>,
        mut values: impl Iterator<Item = Result<T, Error>>,
    ) -> Result<(), Error> {
        values.try_for_each(|value| list.push(value?).map_err(|_| Error::TooMany { name: self.name, max: N }))
    }

    fn invalid(self, expected: &'static str) -> Error {
        Error::Invalid { name: self.name, value: self.value, expected }
    }

    fn parse<T: FromStr>(self, expected: &'static str) -> Result<T, Error> {
        self.value.parse().map_err(|_| self.invalid(expected))
    }

    fn network<A: FromStr>(self, prefix_max: u8, expected: &'static str) -> Result<Network<A>, Error> {
        let parsed = self.value.split_once('/').and_then(|(address, prefix)| {
            let network = Network { address: address.parse().ok()?, prefix: prefix.parse().ok()? };
            (network.prefix <= prefix_max).then_some(network)
        });
        parsed.ok_or(self.invalid(expected))
    }

    fn ip(self) -> Result<Ip, Error> {
        match self.value {
            "dhcp" => Ok(Ip::Dhcp),
            _ => self.network(32, "ADDRESS/PREFIX, as in 10.0.0.5/24, or dhcp").map(Ip::Fixed),
        }
    }

    fn mac(self) -> Result<[u8; 6], Error> {
        let expected = "a number below 16777216";
        let number: u32 = self.parse(expected)?;
        if number < 1 << 24 { Ok(mac(number)) } else { Err(self.invalid(expected)) }
    }

    fn peers(self) -> Result<Vec<SocketAddr, PEERS_MAX>, Error> {
        let mut peers = Vec::new();
        let parsed = self.value.split(',').map(|peer| peer.parse());
        let expected = "ADDRESS:PORT,... as in 10.0.0.1:9000,[fd00::1]:9000";
        self.append(&mut peers, parsed.map(|peer| peer.map_err(|_| self.invalid(expected))))?;
        Ok(peers)
    }

    fn seed(self) -> Result<[u8; 32], Error> {
        let mut seed = [0; 32];
        let (pairs, rest) = self.value.as_bytes().as_chunks::<2>();
        let fits = rest.is_empty() && !pairs.is_empty() && pairs.len() <= seed.len();
        let mut bytes = seed.iter_mut().zip(pairs);
        let parsed = bytes.try_for_each(|(byte, [high, low])| {
            *byte = digit(*high)? << 4 | digit(*low)?;
            Some(())
        });
        parsed.filter(|()| fits).map(|()| seed).ok_or(self.invalid("1 to 32 bytes as hexadecimal digits"))
    }

    fn role(self) -> Result<Role, Error> {
        match self.value {
            "node" => Ok(Role::Node),
            "client" => Ok(Role::Client),
            _ => Err(self.invalid("node or client")),
        }
    }
}

/// A locally administered MAC address with this number.
fn mac(number: u32) -> [u8; 6] {
    let [_, a, b, c] = number.to_be_bytes();
    [0x02, 0, 0, a, b, c]
}

/// The value of a hexadecimal digit.
fn digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_all_that_must_be_given() {
        let settings = Settings::parse("seed=0aFf").expect("valid");
        assert_eq!(settings.ip, Ip::Dhcp);
        assert_eq!(settings.mac, [2, 0, 0, 0, 0, 1]);
        assert_eq!(settings.port, 9000);
        assert_eq!(settings.role, Role::Node);
        assert_eq!(settings.seed[..3], [0x0a, 0xff, 0]);
        assert!(settings.peers.is_empty() && settings.actions.is_empty());
    }

    #[test]
    fn everything_can_be_given() {
        let settings = Settings::parse(
            "ip=10.0.0.5/24 ip6=fd00::5/64 gateway=10.0.0.1 mac=65538 port=7 peers=10.0.0.1:9000,[fd00::1]:9001 \
             seed=00 role=client do=put:a:3,get:a do=exit",
        );
        let settings = settings.expect("valid");
        assert_eq!(settings.ip, Ip::Fixed(Network { address: Ipv4Addr::new(10, 0, 0, 5), prefix: 24 }));
        assert_eq!(settings.ip6.expect("given").prefix, 64);
        assert_eq!(settings.gateway, Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(settings.mac, [2, 0, 0, 1, 0, 2]);
        assert_eq!(settings.port, 7);
        assert_eq!(settings.peers[1], "[fd00::1]:9001".parse().expect("an address"));
        assert_eq!(settings.role, Role::Client);
        assert_eq!(settings.actions, ["put:a:3", "get:a", "exit"]);
    }

    #[test]
    fn mistakes_are_named() {
        let mistakes = [
            ("", "`seed`: must be given"),
            ("seed=00 seed=01", "`seed`: given twice"),
            ("ip", "`ip`: name=value is expected"),
            ("pi=3", "`pi`: no such setting"),
            ("ip=10.0.0.5", "`ip=10.0.0.5`: expected ADDRESS/PREFIX, as in 10.0.0.5/24, or dhcp"),
            ("ip=10.0.0.5/33", "`ip=10.0.0.5/33`: expected ADDRESS/PREFIX, as in 10.0.0.5/24, or dhcp"),
            ("ip6=fd00::5/129", "`ip6=fd00::5/129`: expected ADDRESS/PREFIX, as in fd00::5/64"),
            ("mac=16777216", "`mac=16777216`: expected a number below 16777216"),
            ("port=65536", "`port=65536`: expected a port"),
            ("peers=1.2.3.4", "`peers=1.2.3.4`: expected ADDRESS:PORT,... as in 10.0.0.1:9000,[fd00::1]:9000"),
            ("peers=0.0.0.0:1,0.0.0.0:1,0.0.0.0:1,0.0.0.0:1,0.0.0.0:1", "`peers`: at most 4"),
            ("seed=0", "`seed=0`: expected 1 to 32 bytes as hexadecimal digits"),
            ("seed=0g", "`seed=0g`: expected 1 to 32 bytes as hexadecimal digits"),
            ("seed=", "`seed=`: expected 1 to 32 bytes as hexadecimal digits"),
            ("role=king", "`role=king`: expected node or client"),
            ("do=,,,,,,,,,,,,,,,,", "`do`: at most 16"),
        ];
        for (arguments, message) in mistakes {
            let error = Settings::parse(arguments).expect_err(arguments);
            assert_eq!(error.to_string(), message);
        }
    }
}
