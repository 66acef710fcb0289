//! What waits to be sent.

use std::net::{IpAddr, SocketAddr};

use kad_wire::Steering;

use super::refusal::Segments;
use super::{Local, Source};

/// Datagrams that are queued before they are sent.
const QUEUE: usize = 64;
/// Most bytes that are handed to the system at a time: what an IP packet holds.
const TOGETHER: usize = 65_000;
/// Most requests that travel together. They all meet one worker of their addressee, so many of them must not; and eight
/// save most of what there is to save.
const REQUESTS_TOGETHER: usize = 8;

/// Datagrams that wait. Those of one size and kind that are for one worker of one address are sent together, whatever came
/// between them; the last of each may be shorter.
///
/// To one worker, because the addressee's system delivers them together too, to whomever the first one is for.
#[derive(Default)]
pub(crate) struct Outgoing {
    /// All datagrams, in the order in which they came.
    bytes: Vec<u8>,
    /// Where each begins, how long it is, and the place of its group.
    datagrams: Vec<(usize, usize, usize)>,
    groups: Vec<Group>,
    /// Those of groups with something between them, one after the other.
    gathered: Vec<u8>,
    /// Most datagrams of a group.
    segments: Segments,
}

/// What datagrams that travel together have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Way {
    to: SocketAddr,
    /// The socket to send from.
    socket: u8,
    /// The address of this host to send from, if it matters.
    from: Option<IpAddr>,
    worker: Worker,
    /// Of the message. The last of a kind may be shorter than the others, so kinds are kept apart.
    kind: Option<u8>,
}

/// Whom of the addressee's workers a datagram is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Worker {
    /// A certain one.
    This(Steering),
    /// Whoever gets it. An attempt that meets another one than the attempt before costs no more than that.
    Whoever,
}

impl Worker {
    fn of(datagram: &[u8]) -> Self {
        match Steering::of(datagram) {
            Steering::Spread(_) => Self::Whoever,
            steering => Self::This(steering),
        }
    }
}

/// Datagrams of one size; the last may be shorter.
struct Group {
    way: Way,
    segment: usize,
    count: usize,
    len: usize,
    /// Where they begin: among all bytes, or, if something came between them, among the gathered ones.
    start: usize,
    gathered: bool,
}

impl Group {
    /// Whether another one may follow.
    fn takes(&self, way: &Way, len: usize, segments: usize) -> bool {
        let has_short_end = self.len != self.segment * self.count;
        let most = if self.way.worker == Worker::Whoever { REQUESTS_TOGETHER } else { usize::MAX };
        (1..=self.segment).contains(&len)
            && !has_short_end
            && self.count < segments.min(most)
            && self.len + len <= TOGETHER
            && self.way == *way
    }
}

/// What is handed to the system at a time.
pub(crate) struct Send<'a> {
    pub(crate) to: SocketAddr,
    /// The socket to send from.
    pub(crate) socket: u8,
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
        let (to, socket, from, segment) = (self.to, self.socket, self.from, self.segment);
        self.bytes.chunks(segment.max(1)).map(move |bytes| Send { to, socket, from, bytes, segment })
    }
}

impl Outgoing {
    /// A queue for a socket that takes so many datagrams at a time.
    pub(crate) fn new(segments: Segments) -> Self {
        Self { segments, ..Self::default() }
    }

    /// Queues the answer to a datagram.
    pub(crate) fn answer(&mut self, source: Source, datagram: &[u8]) {
        self.queue(source.from, source.local(), datagram);
    }

    /// Queues a datagram that nothing was received before.
    pub(crate) fn send(&mut self, to: SocketAddr, local: Local, datagram: &[u8]) {
        self.queue(to, local, datagram);
    }

    fn queue(&mut self, to: SocketAddr, Local { socket, ip: from }: Local, datagram: &[u8]) {
        let way = Way { to, socket, from, worker: Worker::of(datagram), kind: datagram.get(1).copied() };
        let (start, len, segments) = (self.bytes.len(), datagram.len(), self.segments.get());
        self.bytes.extend_from_slice(datagram);
        // Most belong to the last one. There are never many: a full queue is sent.
        let place = match self.groups.iter().rposition(|group| group.takes(&way, len, segments)) {
            Some(place) => {
                let group = &mut self.groups[place];
                group.gathered |= group.start + group.len != start;
                (group.count, group.len) = (group.count + 1, group.len + len);
                place
            }
            None => {
                self.groups.push(Group { way, segment: len, count: 1, len, start, gathered: false });
                self.groups.len() - 1
            }
        };
        self.datagrams.push((start, len, place));
    }

    /// Queues all that another queue has, which is empty then.
    pub(crate) fn append(&mut self, other: &mut Self) {
        let (start, place) = (self.bytes.len(), self.groups.len());
        self.bytes.append(&mut other.bytes);
        self.groups.extend(other.groups.drain(..).map(|group| Group { start: start + group.start, ..group }));
        self.datagrams.extend(other.datagrams.drain(..).map(|(at, len, group)| (start + at, len, place + group)));
    }

    /// Whether enough is queued to be sent now.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= QUEUE
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Datagrams that are queued.
    pub(crate) fn len(&self) -> usize {
        self.datagrams.len()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
        self.groups.clear();
        self.gathered.clear();
    }

    /// Gives memory back.
    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.datagrams.shrink_to_fit();
        self.groups.shrink_to_fit();
        self.gathered.shrink_to_fit();
    }

    /// Brings together what is sent together.
    fn gather(&mut self) {
        self.gathered.clear();
        for (place, group) in self.groups.iter_mut().enumerate().filter(|(_, group)| group.gathered) {
            group.start = self.gathered.len();
            for (start, len, _) in self.datagrams.iter().filter(|(.., of)| *of == place) {
                self.gathered.extend_from_slice(&self.bytes[*start..*start + *len]);
            }
        }
    }

    /// What is to be handed to the system, in order of the first of each.
    pub(super) fn sends(&mut self) -> impl Iterator<Item = Send<'_>> {
        self.gather();
        let Self { bytes, groups, gathered, .. } = &*self;
        groups.iter().map(move |group| Send {
            to: group.way.to,
            socket: group.way.socket,
            from: group.way.from,
            bytes: &(if group.gathered { gathered } else { bytes })[group.start..group.start + group.len],
            segment: group.segment,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Local = Local { socket: 0, ip: None };

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn queue(segments: usize, datagrams: &[(u16, usize)]) -> Vec<(u16, usize, usize)> {
        let mut queue = Outgoing::new(Segments::new(segments));
        for (port, len) in datagrams {
            queue.send(address(*port), ANY, &vec![0; *len]);
        }
        assert_eq!(queue.len(), datagrams.len());
        queue.sends().map(|send| (send.to.port(), send.count(), send.bytes.len())).collect()
    }

    #[test]
    fn datagrams_of_one_size_to_one_address_travel_together_and_the_last_may_be_shorter() {
        let datagrams = [(1, 9), (1, 9), (2, 9), (1, 9), (1, 4), (1, 9), (2, 10), (1, 9)];
        assert_eq!(queue(64, &datagrams), [(1, 4, 31), (2, 1, 9), (1, 2, 18), (2, 1, 10)]);
    }

    /// A datagram of this kind and lane, with a nonce of its own.
    fn datagram(kind: u8, lane: u8, nonce: u8) -> [u8; 60] {
        let mut datagram = [0; 60];
        (datagram[1], datagram[2], datagram[15], datagram[57]) =
            (kind, lane, nonce, if kind == PULL { lane } else { 0 });
        datagram
    }

    const FIND_NODE: u8 = 2;
    const PULL: u8 = 4;
    const NODES: u8 = 0x82;

    fn counts(datagrams: &[[u8; 60]]) -> Vec<usize> {
        let mut queue = Outgoing::new(Segments::new(64));
        datagrams.iter().for_each(|datagram| queue.send(address(1), ANY, datagram));
        queue.sends().map(|send| send.count()).collect()
    }

    #[test]
    fn what_two_workers_have_asked_or_offered_does_not_travel_together() {
        let replies = [1, 1, 2, 1].map(|lane| datagram(NODES, lane, 0));
        assert_eq!(counts(&replies), [3, 1]);
        let pulls = [1, 2, 1].map(|lane| datagram(PULL, lane, lane));
        assert_eq!(counts(&pulls), [2, 1]);
    }

    #[test]
    fn requests_for_whoever_gets_them_travel_together_but_not_too_many() {
        let requests: Vec<_> = (0..20).map(|nonce| datagram(FIND_NODE, 3, nonce)).collect();
        assert_eq!(counts(&requests), [8, 8, 4]);
        let mixed = [datagram(FIND_NODE, 3, 1), datagram(PULL, 0, 2), datagram(FIND_NODE, 3, 3)];
        assert_eq!(counts(&mixed), [2, 1]);
    }

    #[test]
    fn what_has_waited_elsewhere_is_sent_too() {
        let (mut one, mut other) = (Outgoing::new(Segments::new(64)), Outgoing::new(Segments::new(64)));
        for _ in 0..3 {
            one.send(address(1), ANY, &[1; 9]);
            for (port, byte) in [(2, 1), (1, 1), (2, 1)] {
                other.send(address(port), ANY, &[byte; 9]);
            }
            one.append(&mut other);
            assert!(other.is_empty() && one.len() == 4);
            let sent: Vec<_> = one.sends().map(|send| (send.to.port(), send.bytes.to_vec())).collect();
            assert_eq!(sent, [(1, vec![1; 9]), (2, vec![1; 18]), (1, vec![1; 9])]);
            one.clear();
            assert!(one.is_empty() && one.sends().next().is_none());
        }
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
        let mut queue = Outgoing::new(Segments::new(64));
        for byte in [1, 2, 3] {
            queue.send(address(1), ANY, &[byte; 5]);
        }
        let sent: Vec<_> =
            queue.sends().flat_map(|send| send.singly().map(|one| one.bytes[0]).collect::<Vec<_>>()).collect();
        assert_eq!(sent, [1, 2, 3]);
    }
}
