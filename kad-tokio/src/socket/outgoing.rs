//! What waits to be sent.

use std::net::{IpAddr, SocketAddr};

use kad_wire::Steering;

use super::Source;

/// Datagrams that are queued before they are sent.
const QUEUE: usize = 64;
/// Most bytes that are handed to the system at a time: what an IP packet holds.
const TOGETHER: usize = 65_000;

/// Datagrams one after the other. Those of one size to one worker of one address are sent together; the last may be shorter.
///
/// To one worker, because the addressee's system delivers them together too, to whomever the first one is for.
#[derive(Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    groups: Vec<Group>,
    datagrams: usize,
    /// Most datagrams of a group.
    segments: usize,
}

/// Datagrams of one size to one worker of one address.
struct Group {
    to: SocketAddr,
    worker: Steering,
    from: Option<IpAddr>,
    start: usize,
    len: usize,
    segment: usize,
}

impl Group {
    fn count(&self) -> usize {
        self.len.div_ceil(self.segment.max(1)).max(1)
    }

    /// Whether another one may follow.
    fn takes(&self, (to, worker): (SocketAddr, Steering), from: Option<IpAddr>, len: usize, segments: usize) -> bool {
        let has_short_end = self.len == 0 || !self.len.is_multiple_of(self.segment);
        (self.to, self.worker, self.from) == (to, worker, from)
            && (1..=self.segment).contains(&len)
            && !has_short_end
            && self.count() < segments
            && self.len + len <= TOGETHER
    }
}

/// What is handed to the system at a time.
pub(crate) struct Send<'a> {
    pub(crate) to: SocketAddr,
    /// The address of this host to send from, if it matters.
    pub(crate) from: Option<IpAddr>,
    pub(crate) bytes: &'a [u8],
    /// Bytes of each datagram but the last.
    pub(crate) segment: usize,
}

impl<'a> Send<'a> {
    /// How many datagrams it is.
    pub(crate) fn count(&self) -> usize {
        self.bytes.len().div_ceil(self.segment.max(1)).max(1)
    }

    /// The same, one by one.
    pub(crate) fn singly(&self) -> impl Iterator<Item = Send<'a>> {
        let (to, from, segment) = (self.to, self.from, self.segment);
        self.bytes.chunks(segment.max(1)).map(move |bytes| Send { to, from, bytes, segment })
    }
}

impl Outgoing {
    /// A queue for a socket that takes so many datagrams at a time.
    pub(crate) fn new(segments: usize) -> Self {
        Self { segments, ..Self::default() }
    }

    /// Queues the answer to a datagram.
    pub(crate) fn answer(&mut self, source: Source, datagram: &[u8]) {
        self.queue(source.from, source.to, datagram);
    }

    /// Queues a datagram that nothing was received before.
    pub(crate) fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.queue(to, None, datagram);
    }

    fn queue(&mut self, to: SocketAddr, from: Option<IpAddr>, datagram: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        self.datagrams += 1;
        let (len, worker) = (datagram.len(), Steering::of(datagram));
        match self.groups.last_mut() {
            Some(group) if group.takes((to, worker), from, len, self.segments) => group.len += len,
            _ => self.groups.push(Group { to, worker, from, start, len, segment: len }),
        }
    }

    /// Queues all that another queue has, which is empty then.
    pub(crate) fn append(&mut self, other: &mut Self) {
        let start = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        self.groups.extend(other.groups.drain(..).map(|group| Group { start: start + group.start, ..group }));
        self.datagrams += std::mem::take(&mut other.datagrams);
    }

    /// Whether enough is queued to be sent now.
    pub(crate) fn is_full(&self) -> bool {
        self.datagrams >= QUEUE
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.datagrams == 0
    }

    /// Datagrams that are queued.
    pub(crate) fn len(&self) -> usize {
        self.datagrams
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.groups.clear();
        self.datagrams = 0;
    }

    /// Gives memory back.
    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.groups.shrink_to_fit();
    }

    /// What is to be handed to the system, in order.
    pub(super) fn sends(&self) -> impl Iterator<Item = Send<'_>> {
        self.groups.iter().map(|group| Send {
            to: group.to,
            from: group.from,
            bytes: &self.bytes[group.start..group.start + group.len],
            segment: group.segment,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn queue(segments: usize, datagrams: &[(u16, usize)]) -> Vec<(u16, usize, usize)> {
        let mut queue = Outgoing::new(segments);
        for (port, len) in datagrams {
            queue.send(address(*port), &vec![0; *len]);
        }
        assert_eq!(queue.len(), datagrams.len());
        queue.sends().map(|send| (send.to.port(), send.count(), send.bytes.len())).collect()
    }

    #[test]
    fn datagrams_of_one_size_to_one_address_travel_together_and_the_last_may_be_shorter() {
        let datagrams = [(1, 9), (1, 9), (1, 4), (1, 9), (2, 9), (2, 10), (1, 9)];
        assert_eq!(queue(64, &datagrams), [(1, 3, 22), (1, 1, 9), (2, 1, 9), (2, 1, 10), (1, 1, 9)]);
    }

    #[test]
    fn datagrams_for_two_workers_do_not_travel_together() {
        let mut queue = Outgoing::new(64);
        for lane in [1, 1, 2, 1] {
            let mut reply = [0x80; 20];
            reply[2] = lane;
            queue.send(address(1), &reply);
        }
        let mut request = [1; 20];
        for nonce in [5, 6] {
            request[15] = nonce;
            queue.send(address(1), &request);
        }
        assert_eq!(queue.sends().map(|send| send.count()).collect::<Vec<_>>(), [2, 1, 1, 1, 1]);
    }

    #[test]
    fn where_the_system_takes_one_at_a_time_none_travel_together() {
        assert_eq!(queue(1, &[(1, 9), (1, 9)]), [(1, 1, 9), (1, 1, 9)]);
    }

    #[test]
    fn what_travels_together_is_bounded_in_number_and_in_bytes() {
        assert_eq!(queue(3, &[(1, 9); 4]), [(1, 3, 27), (1, 1, 9)]);
        let sends = queue(64, &[(1, 1300); 60]);
        assert!(sends.iter().all(|(_, _, bytes)| *bytes <= TOGETHER), "{sends:?}");
        assert_eq!(sends.iter().map(|(_, count, _)| count).sum::<usize>(), 60);
    }

    #[test]
    fn an_empty_datagram_travels_alone() {
        assert_eq!(queue(64, &[(1, 0), (1, 0), (1, 5)]), [(1, 1, 0), (1, 1, 0), (1, 1, 5)]);
    }

    #[test]
    fn one_by_one_they_are_the_same_bytes() {
        let mut queue = Outgoing::new(64);
        for byte in [1, 2, 3] {
            queue.send(address(1), &[byte; 5]);
        }
        let sent: Vec<_> =
            queue.sends().flat_map(|send| send.singly().map(|one| one.bytes[0]).collect::<Vec<_>>()).collect();
        assert_eq!(sent, [1, 2, 3]);
    }
}
