//! The node's own addresses, numbered: the core remembers by number through which of them it heard somebody.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use kad_core::Via;

use crate::reach::check_one;

/// One of the node's own addresses: a socket, and where that listens on many addresses, one of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Local {
    /// The place of its socket among the worker's.
    pub(crate) socket: u8,
    /// Which of this host's addresses, on a socket that listens on many.
    pub(crate) ip: Option<IpAddr>,
}

/// What all workers of a node know of its addresses. An address keeps its number for as long as the node runs.
#[derive(Clone, Debug)]
pub(crate) struct Locals {
    /// What the sockets listen on.
    listen: Arc<[SocketAddr]>,
    /// Those that this worker has seen, in the order of their numbers, so that it hardly ever waits for others.
    seen: Vec<Local>,
    all: Arc<Mutex<Vec<Local>>>,
}

impl Locals {
    /// For sockets on these addresses.
    pub(crate) fn new(listen: &[SocketAddr]) -> Self {
        Self { listen: listen.into(), seen: Vec::new(), all: Arc::default() }
    }

    /// The number of an address. [`Via::ANY`] where there is one only, or where too many were seen: then the system chooses.
    pub(crate) fn number(&mut self, local: Local) -> Via {
        if local.ip.is_none() && self.listen.len() == 1 {
            return Via::ANY;
        }
        if !self.seen.contains(&local) {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            if !all.contains(&local) && all.len() < usize::from(u8::MAX) {
                all.push(local);
            }
            self.seen.clone_from(&all);
        }
        let place = self.seen.iter().position(|seen| *seen == local);
        place.and_then(|place| u8::try_from(place + 1).ok()).map_or(Via::ANY, Via)
    }

    /// The address with this number, if it can send to `to`.
    pub(crate) fn of(&mut self, via: Via, to: SocketAddr) -> Option<Local> {
        let place = usize::from(via.0).checked_sub(1)?;
        if place >= self.seen.len() {
            // Another worker has seen it.
            self.seen.clone_from(&self.all.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let is_v4 = |ip: IpAddr| ip.to_canonical().is_ipv4();
        let reaches = |local: &Local| {
            let listen = self.listen.get(usize::from(local.socket));
            listen.is_some_and(|listen| check_one(*listen, to).is_none())
                && local.ip.is_none_or(|ip| is_v4(ip) == is_v4(to.ip()))
        };
        self.seen.get(place).copied().filter(reaches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(ip: &str) -> Local {
        Local { socket: 0, ip: Some(ip.parse().unwrap()) }
    }

    #[test]
    fn an_address_keeps_its_number_for_all_workers() {
        let (v4, v6): (SocketAddr, SocketAddr) = ("10.0.0.9:9".parse().unwrap(), "[fd00::9]:9".parse().unwrap());
        let mut one = Locals::new(&["[::]:9000".parse().unwrap()]);
        let mut other = one.clone();
        assert_eq!(one.number(Local { socket: 0, ip: None }), Via::ANY);
        assert_eq!((one.number(local("10.0.0.1")), other.number(local("fd00::1"))), (Via(1), Via(2)));
        assert_eq!((one.number(local("fd00::1")), other.number(local("10.0.0.1"))), (Via(2), Via(1)));
        assert_eq!(other.number(local("::ffff:10.0.0.2")), Via(3));
        assert_eq!(one.of(Via(3), v4), Some(local("::ffff:10.0.0.2")), "told by the other");
        assert_eq!((one.of(Via(1), v4), one.of(Via(2), v6)), (Some(local("10.0.0.1")), Some(local("fd00::1"))));
        let none = [(Via::ANY, v4), (Via(1), v6), (Via(2), v4), (Via(3), v6), (Via(4), v4)];
        assert!(none.iter().all(|(via, to)| one.of(*via, *to).is_none()));
    }

    #[test]
    fn of_several_sockets_each_has_a_number() {
        let listen = ["127.0.0.1:9000", "10.0.0.1:9000", "[fd00::1]:9000"].map(|text| text.parse().unwrap());
        let mut locals = Locals::new(&listen);
        let local = |socket| Local { socket, ip: None };
        let numbers: Vec<_> = [2, 0, 1].map(|socket| locals.number(local(socket))).to_vec();
        assert_eq!(numbers, [Via(1), Via(2), Via(3)]);
        let elsewhere = "10.0.0.9:9".parse().unwrap();
        assert_eq!((locals.of(Via(3), elsewhere), locals.of(Via(2), elsewhere)), (Some(local(1)), None));
        assert_eq!(locals.of(Via(1), "[fd00::9]:9".parse().unwrap()), Some(local(2)));
    }

    #[test]
    fn more_addresses_than_numbers_are_left_to_the_system() {
        let mut locals = Locals::new(&["[::]:9000".parse().unwrap()]);
        let numbers: Vec<_> = (0..300u16).map(|n| u16::from(locals.number(local(&format!("fd00::{n:x}"))).0)).collect();
        assert!(numbers[..255].iter().zip(1..).all(|(number, expected)| *number == expected));
        assert!(numbers[255..].iter().all(|number| *number == 0));
    }
}
