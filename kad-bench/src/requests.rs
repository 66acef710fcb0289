//! Requests to a node, as another node writes them, and what a right reply is.

use kad_wire::{
    Datagram, Envelope, FindNode, FindValue, Key, MaxDatagram, NetworkId, NodeId, Prefix, Reply, Request, RequestFlags,
    Token, TransactionId, TypeMask,
};

use crate::failure::Failure;
use crate::load::Exchange;

/// Where the tag lies in a datagram.
const TAG: std::ops::Range<usize> = 8..16;
/// Bytes of a FIND_NODE and of a FIND_VALUE before their padding.
const FIND_NODE: usize = 90;
const FIND_VALUE: usize = 100;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    Ping,
    /// The `k` contacts nearest to a point.
    FindNode {
        k: u8,
    },
    /// The value under a key, which is this one.
    FindValue {
        key: Key,
        value: Vec<u8>,
    },
}

/// Requests of one kind. FIND_NODE asks for another point each time; FIND_VALUE for the same value.
pub(crate) struct Requests {
    question: Question,
    template: Vec<u8>,
}

impl Requests {
    pub(crate) fn new(network: NetworkId, question: Question) -> Result<Self, Failure> {
        let room = MaxDatagram::default();
        let padding = Request::padded_len(room);
        let request = match &question {
            Question::Ping => Request::PING,
            Question::FindNode { k } => {
                Request::FindNode(FindNode { limit: *k, target: Key::hash_int(0), padding: padding - FIND_NODE })
            }
            Question::FindValue { key, .. } => Request::FindValue(FindValue {
                limit: 0,
                types: TypeMask::ALL,
                burst: 0,
                max_age_ms: u32::MAX,
                cursor: 0,
                key: *key,
                padding: padding - FIND_VALUE,
            }),
        };
        let prefix = Prefix { lane: 0, room, network, tag: TransactionId::default() };
        let envelope =
            Envelope { prefix, token: Token::NONE, sender: NodeId::from_bytes(*Key::hash("loader").as_bytes()) };
        // Who only asks is not kept as a contact, and not asked in turn.
        let flags = RequestFlags(RequestFlags::CLIENT);
        let mut template = vec![0; kad_wire::limits::DATAGRAM_MAX];
        let len = request.encode(&envelope, flags, &mut template);
        template.truncate(len.ok_or_else(|| Failure::Void("a request does not fit a datagram".into()))?);
        Ok(Self { question, template })
    }

    fn is_right(&self, reply: &Reply<'_>) -> bool {
        match (&self.question, reply) {
            (Question::Ping, Reply::Pong) => true,
            (Question::FindNode { k }, Reply::Nodes(contacts)) => contacts.len() == usize::from(*k),
            (Question::FindValue { value, .. }, Reply::Value(found)) => {
                found.items.iter().next().is_some_and(|item| item.inline == value)
            }
            _ => false,
        }
    }
}

impl Exchange for Requests {
    fn request(&mut self, place: u16, nonce: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.template);
        out[TAG].copy_from_slice(&TransactionId::new(place, nonce, 0).bits().to_le_bytes());
        if let Question::FindNode { .. } = self.question {
            // The targets need not be hashes; they must differ in their first bits.
            let target = FIND_NODE - kad_wire::limits::KEY_LEN;
            let point = nonce << 18;
            out[target..target + 8].copy_from_slice(&point.to_be_bytes());
        }
    }

    fn reply(&mut self, datagram: &[u8]) -> Option<(u16, u64)> {
        let Ok(Datagram::Reply { envelope, reply, .. }) = Datagram::decode(datagram) else { return None };
        let tag = envelope.prefix.tag;
        self.is_right(&reply).then(|| (tag.slot(), tag.bits() >> 18))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kad_wire::ReplyHead;

    #[test]
    fn requests_decode_and_wrong_replies_are_refused() {
        for question in
            [Question::Ping, Question::FindNode { k: 20 }, Question::FindValue { key: Key::hash("a"), value: vec![1] }]
        {
            let mut requests = Requests::new(NetworkId(3), question.clone()).unwrap();
            let mut out = Vec::new();
            requests.request(5, 77, &mut out);
            let Ok(Datagram::Request { envelope, request, .. }) = Datagram::decode(&out) else {
                panic!("{question:?}")
            };
            assert_eq!((envelope.prefix.tag, envelope.prefix.network), (TransactionId::new(5, 77, 0), NetworkId(3)));
            assert!(out.len() == 411 || request == Request::PING);
            let mut reply = [0; 256];
            let len = Reply::Pong.encode(&envelope, &ReplyHead::default(), &mut reply).unwrap();
            let right = matches!(question, Question::Ping).then_some((5, 77));
            assert_eq!(requests.reply(&reply[..len]), right);
            assert_eq!(requests.reply(&out), None);
        }
    }
}
