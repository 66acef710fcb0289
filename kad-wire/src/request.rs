//! Requests: PING, FIND_NODE, FIND_VALUE, PULL, STORE, GOODBYE.

use serde::{Deserialize, Serialize};

use crate::DecodeError;
use crate::codec::{Reader, Writer};
use crate::contact::Endpoint;
use crate::item::{Digest, ItemHeader, TypeMask};
use crate::key::Key;
use crate::limits::{AMPLIFICATION, ENVELOPE_LEN, STORE_ITEMS_MAX};
use crate::prefix::{Envelope, MaxDatagram, TransactionId, kind};

/// Flags of a request. Unknown ones are kept and ignored.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Debug)]
#[serde(transparent)]
pub struct RequestFlags(pub u8);

impl RequestFlags {
    /// The sender is a client, which answers no requests: do not add it to the routing table.
    pub const CLIENT: u8 = 1;
    /// The sender can reach IPv4 contacts.
    pub const WANT_V4: u8 = 2;
    /// The sender can reach IPv6 contacts.
    pub const WANT_V6: u8 = 4;
    /// The reply should have headers only, no bytes of values.
    pub const HEADERS_ONLY: u8 = 8;
    /// Of a PING: it has the address at which the sender wants to be listed. Encoding sets or clears it.
    pub const ADVERTISED: u8 = 16;

    /// Returns whether all bits of `flag` are set.
    pub const fn has(self, flag: u8) -> bool {
        self.0 & flag == flag
    }
}

/// Why the sender stores an item. It determines what the STORE may change at a holder that has the item.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum StoreMode {
    /// The publisher stores its own item. Only this extends the lifetime of an item that is held.
    #[default]
    Publish = 0,
    /// A holder replicates the item, hourly (Kademlia paper, section 2.5).
    Replicate = 1,
    /// A holder passes the item to a new node that is nearer to the key (Kademlia paper, section 2.5), or leaves.
    Handover = 2,
    /// A reader stores a cached copy at the closest node that did not have the item (Kademlia paper, section 2.3).
    Cache = 3,
}

impl TryFrom<u8> for StoreMode {
    type Error = DecodeError;
    fn try_from(byte: u8) -> Result<Self, DecodeError> {
        match byte {
            0 => Ok(Self::Publish),
            1 => Ok(Self::Replicate),
            2 => Ok(Self::Handover),
            3 => Ok(Self::Cache),
            _ => Err(DecodeError::Malformed),
        }
    }
}

/// FIND_NODE: asks for the contacts nearest to a point of the key space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FindNode {
    /// The most contacts to return.
    pub limit: u8,
    /// The point of the key space.
    pub target: Key,
    /// Number of zero bytes at the end. A longer request allows a longer reply: see [`AMPLIFICATION`].
    pub padding: usize,
}

/// FIND_VALUE: asks for the items under a key and the contacts nearest to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FindValue {
    /// The number of contacts to reserve space for beside items. Without items the whole reply is contacts.
    pub limit: u8,
    /// The types of items.
    pub types: TypeMask,
    /// Reserved, 0: number of chunks to send without a PULL to an address with a valid token.
    pub burst: u8,
    /// The greatest age of items, in milliseconds; `u32::MAX` for any age.
    pub max_age_ms: u32,
    /// 0 for the first page, or the cursor that the previous page returned.
    pub cursor: u32,
    /// The key.
    pub key: Key,
    /// Number of zero bytes at the end. A longer request allows a longer reply: see [`AMPLIFICATION`].
    pub padding: usize,
}

/// PULL: asks for chunks of a value. The reply is one CHUNK per set bit, in ascending order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pull {
    /// The [lane](crate::Prefix::lane) of the STORE that offered the value, so that the worker that sent it gets the PULL; 0 without
    /// such a STORE.
    pub lane: u8,
    /// Bytes per chunk.
    pub chunk_len: u16,
    /// The offset in the value of the chunk of bit 0, in bytes.
    pub offset: u32,
    /// Bit i asks for the chunk at `offset + i * chunk_len`. 0 asks for one empty CHUNK, as a sign of life.
    pub bitmap: u64,
    /// The transaction id of the STORE that offered the value; 0 when a token proves the sender's address.
    pub offer: TransactionId,
    /// The value's key.
    pub key: Key,
    /// The item's digest.
    pub digest: Digest,
}

/// STORE: items to hold, each whole or with its first bytes only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Store<'a> {
    /// Why the sender stores them.
    pub mode: StoreMode,
    /// Reserved for signed items: store only over this sequence number; 0 over any.
    pub if_sequence: u64,
    /// The items.
    pub items: StoreItems<'a>,
}

/// The body of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request<'a> {
    /// Answered by PONG. With an address: the sender wants to be listed there instead of at its source address, if it answers there.
    Ping(Option<Endpoint>),
    /// Answered by NODES.
    FindNode(FindNode),
    /// Answered by VALUE.
    FindValue(FindValue),
    /// Answered by CHUNKs. Requires a token, or the transaction id of an offer.
    Pull(Pull),
    /// Answered by STORED. Requires a token.
    Store(Store<'a>),
    /// The sender leaves the network. Not answered.
    Goodbye,
}

#[derive(Serialize, Deserialize)]
struct FindValueFields {
    limit: u8,
    types: TypeMask,
    burst: u8,
    #[serde(with = "postcard::fixint::le")]
    max_age_ms: u32,
    #[serde(with = "postcard::fixint::le")]
    cursor: u32,
}

#[derive(Serialize, Deserialize)]
struct PullFields {
    lane: u8,
    #[serde(with = "postcard::fixint::le")]
    chunk_len: u16,
    #[serde(with = "postcard::fixint::le")]
    offset: u32,
    #[serde(with = "postcard::fixint::le")]
    bitmap: u64,
    offer: TransactionId,
}

#[derive(Serialize, Deserialize)]
struct StoreFields {
    flags: RequestFlags,
    mode: u8,
    count: u8,
    zero: u8,
    #[serde(with = "postcard::fixint::le")]
    if_sequence: u64,
}

fn padding(reader: Reader<'_>) -> Result<usize, DecodeError> {
    let padding = reader.rest();
    // Without an early exit, so that the compiler vectorizes it.
    let ones = padding.iter().fold(0, |ones, byte| ones | byte);
    if ones == 0 { Ok(padding.len()) } else { Err(DecodeError::Malformed) }
}

impl<'a> Request<'a> {
    /// A PING without an address: the sender is listed at its source address.
    pub const PING: Self = Self::Ping(None);

    /// Returns the length in bytes to pad a FIND_NODE or FIND_VALUE to, so that the anti-amplification limit allows the largest reply
    /// that the requester takes.
    pub const fn padded_len(room: MaxDatagram) -> usize {
        room.datagram().div_ceil(AMPLIFICATION)
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Ping(_) => kind::PING,
            Self::FindNode(_) => kind::FIND_NODE,
            Self::FindValue(_) => kind::FIND_VALUE,
            Self::Pull(_) => kind::PULL,
            Self::Store(_) => kind::STORE,
            Self::Goodbye => kind::GOODBYE,
        }
    }

    /// Reads the flags and the body of a request of `kind`.
    pub(crate) fn read(kind: u8, mut reader: Reader<'a>) -> Result<(RequestFlags, Self), DecodeError> {
        if kind == kind::STORE {
            return Store::read(reader).map(|(flags, store)| (flags, Self::Store(store)));
        }
        let [flags] = *reader.array()?;
        let request = match kind {
            kind::PING => {
                let is_advertised = RequestFlags(flags).has(RequestFlags::ADVERTISED);
                let advertised = if is_advertised { Some(Endpoint::read(&mut reader)?) } else { None };
                reader.end()?;
                Self::Ping(advertised)
            }
            kind::GOODBYE => {
                reader.end()?;
                Self::Goodbye
            }
            kind::FIND_NODE => {
                let [limit] = *reader.array()?;
                let target = Key::from_bytes(*reader.array()?);
                Self::FindNode(FindNode { limit, target, padding: padding(reader)? })
            }
            kind::FIND_VALUE => {
                let FindValueFields { limit, types, burst, max_age_ms, cursor } = reader.fields()?;
                let key = Key::from_bytes(*reader.array()?);
                let padding = padding(reader)?;
                Self::FindValue(FindValue { limit, types, burst, max_age_ms, cursor, key, padding })
            }
            kind::PULL => {
                let PullFields { lane, chunk_len, offset, bitmap, offer } = reader.fields()?;
                let key = Key::from_bytes(*reader.array()?);
                let digest = Digest(*reader.array()?);
                reader.end()?;
                Self::Pull(Pull { lane, chunk_len, offset, bitmap, offer, key, digest })
            }
            _ => return Err(DecodeError::Kind),
        };
        Ok((RequestFlags(flags), request))
    }

    /// Writes the whole datagram and returns its length in bytes; `None` when it does not fit.
    pub fn encode(&self, envelope: &Envelope, flags: RequestFlags, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out);
        envelope.write(self.kind(), &mut writer)?;
        match self {
            Self::Ping(None) => writer.bytes(&[flags.0 & !RequestFlags::ADVERTISED])?,
            Self::Ping(Some(advertised)) => {
                writer.bytes(&[flags.0 | RequestFlags::ADVERTISED])?;
                advertised.write(&mut writer)?;
            }
            Self::Goodbye => writer.bytes(&[flags.0])?,
            Self::FindNode(FindNode { limit, target, padding }) => {
                writer.bytes(&[flags.0, *limit])?;
                writer.bytes(target.as_bytes())?;
                writer.zeros(*padding)?;
            }
            Self::FindValue(FindValue { limit, types, burst, max_age_ms, cursor, key, padding }) => {
                let (limit, types, burst, max_age_ms, cursor) = (*limit, *types, *burst, *max_age_ms, *cursor);
                writer.bytes(&[flags.0])?;
                writer.fields(&FindValueFields { limit, types, burst, max_age_ms, cursor })?;
                writer.bytes(key.as_bytes())?;
                writer.zeros(*padding)?;
            }
            Self::Pull(Pull { lane, chunk_len, offset, bitmap, offer, key, digest }) => {
                let (lane, chunk_len, offset, bitmap, offer) = (*lane, *chunk_len, *offset, *bitmap, *offer);
                writer.bytes(&[flags.0])?;
                writer.fields(&PullFields { lane, chunk_len, offset, bitmap, offer })?;
                writer.bytes(key.as_bytes())?;
                writer.bytes(&digest.0)?;
            }
            Self::Store(Store { mode, if_sequence, items }) => {
                let (mode, count, if_sequence) = (*mode as u8, items.count, *if_sequence);
                writer.fields(&StoreFields { flags, mode, count, zero: 0, if_sequence })?;
                writer.bytes(items.bytes)?;
            }
        }
        Some(writer.len())
    }
}

impl<'a> Store<'a> {
    fn read(mut reader: Reader<'a>) -> Result<(RequestFlags, Self), DecodeError> {
        let StoreFields { flags, mode, count, zero, if_sequence } = reader.fields()?;
        let mode = StoreMode::try_from(mode)?;
        let items = StoreItems { count, bytes: reader.rest() };
        if zero != 0 || count == 0 || usize::from(count) > STORE_ITEMS_MAX || !items.is_well_formed() {
            return Err(DecodeError::Malformed);
        }
        Ok((flags, Self { mode, if_sequence, items }))
    }
}

/// One item of a STORE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreItem<'a> {
    /// The item's key.
    pub key: Key,
    /// Its header.
    pub header: ItemHeader,
    /// Its first `header.inline_len` bytes.
    pub inline: &'a [u8],
}

/// The items of a STORE, which decoding the datagram has validated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreItems<'a> {
    count: u8,
    bytes: &'a [u8],
}

impl<'a> StoreItems<'a> {
    /// Returns how many there are, from 1 to [`STORE_ITEMS_MAX`].
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Returns `false`: a STORE has at least one item.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the items in the order of the datagram.
    pub fn iter(&self) -> impl Iterator<Item = StoreItem<'a>> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        (0..self.count).map_while(move |_| Self::next(&mut reader).ok())
    }

    fn next(reader: &mut Reader<'a>) -> Result<StoreItem<'a>, DecodeError> {
        let key = Key::from_bytes(*reader.array()?);
        let header = ItemHeader::read(reader)?;
        Ok(StoreItem { key, header, inline: reader.bytes(header.inline_len.into())? })
    }

    fn is_well_formed(&self) -> bool {
        let mut reader = Reader::new(self.bytes);
        (0..self.count).all(|_| Self::next(&mut reader).is_ok()) && reader.end().is_ok()
    }
}

/// Writes a STORE item by item, with space for the values' bytes.
pub struct StoreWriter<'b> {
    writer: Writer<'b>,
    count: u8,
}

impl<'b> StoreWriter<'b> {
    const COUNT_AT: usize = ENVELOPE_LEN + 2;

    /// Starts the datagram in `out`, whose length limits the datagram. `None` when the head does not fit.
    pub fn begin(envelope: &Envelope, flags: RequestFlags, mode: StoreMode, out: &'b mut [u8]) -> Option<Self> {
        let mut writer = Writer::new(out);
        envelope.write(kind::STORE, &mut writer)?;
        writer.fields(&StoreFields { flags, mode: mode as u8, count: 0, zero: 0, if_sequence: 0 })?;
        Some(Self { writer, count: 0 })
    }

    /// Returns how many inline bytes the next item can have; `None` when not even its header fits.
    pub fn inline_room(&self) -> Option<usize> {
        let head = crate::limits::KEY_LEN + crate::limits::ITEM_HEADER_LEN;
        if usize::from(self.count) >= STORE_ITEMS_MAX {
            return None;
        }
        self.writer.remaining().checked_sub(head)
    }

    /// Adds an item and returns the buffer for its `header.inline_len` inline bytes; `None`, and no item, when it does not fit.
    pub fn push(&mut self, key: &Key, header: &ItemHeader) -> Option<&mut [u8]> {
        if self.inline_room()? < usize::from(header.inline_len) {
            return None;
        }
        self.writer.bytes(key.as_bytes())?;
        header.write(&mut self.writer)?;
        self.count = self.count.saturating_add(1);
        self.writer.patch(Self::COUNT_AT, &[self.count]);
        self.writer.hole(header.inline_len.into())
    }

    /// Returns the number of items so far.
    pub const fn count(&self) -> usize {
        self.count as usize
    }

    /// Returns the datagram's length in bytes; `None` when there is no item.
    pub fn finish(self) -> Option<usize> {
        if self.count == 0 { None } else { Some(self.writer.len()) }
    }
}

/// The space for a value's first bytes in an encoded STORE.
#[derive(Debug)]
pub struct Hole<'b> {
    /// The value's key.
    pub key: Key,
    /// The item's digest.
    pub digest: Digest,
    /// The space, for the bytes from the start of the value.
    pub bytes: &'b mut [u8],
}

/// The [holes](Hole) of an encoded STORE.
pub struct Holes<'b> {
    rest: &'b mut [u8],
    left: u8,
}

impl<'b> Holes<'b> {
    /// Returns the holes of `datagram`; none when it is no STORE.
    pub fn of(datagram: &'b mut [u8]) -> Self {
        let head = crate::limits::STORE_HEAD_LEN;
        let is_store = datagram.get(1) == Some(&kind::STORE);
        let count = datagram.get(StoreWriter::COUNT_AT).copied().unwrap_or(0);
        match datagram.split_at_mut_checked(head) {
            Some((_, rest)) if is_store => Self { rest, left: count },
            _ => Self { rest: &mut [], left: 0 },
        }
    }
}

impl<'b> Iterator for Holes<'b> {
    type Item = Hole<'b>;

    fn next(&mut self) -> Option<Hole<'b>> {
        loop {
            self.left = self.left.checked_sub(1)?;
            let rest = core::mem::take(&mut self.rest);
            let (head, rest) = rest.split_at_mut_checked(crate::limits::KEY_LEN + crate::limits::ITEM_HEADER_LEN)?;
            let mut reader = Reader::new(head);
            let key = Key::from_bytes(*reader.array().ok()?);
            let header = ItemHeader::read(&mut reader).ok()?;
            let (bytes, rest) = rest.split_at_mut_checked(header.inline_len.into())?;
            self.rest = rest;
            if !bytes.is_empty() {
                return Some(Hole { key, digest: header.digest, bytes });
            }
        }
    }
}
