//! Replies: PONG, NODES, VALUE, STORED, CHUNK, REFUSED.

use serde::{Deserialize, Serialize};

use crate::DecodeError;
use crate::codec::{Reader, Writer};
use crate::contact::{Contact, Contacts, Endpoint};
use crate::item::ItemHeader;
use crate::limits::{CONTACT_LEN, ENVELOPE_LEN, ITEM_HEADER_LEN, REPLY_HEAD_LEN, STORE_ITEMS_MAX};
use crate::prefix::{Envelope, Prefix, kind};

/// Flags of a reply. Unknown ones are kept and ignored.
pub mod reply_flags {
    /// The list was cut at the anti-amplification limit: three times the request's length.
    pub const CUT: u8 = 1;
    /// The node is overloaded: prefer others.
    pub const LOADED: u8 = 2;
    /// The node is a client, which answers no requests: do not add it to the routing table.
    pub const CLIENT: u8 = 4;
}

/// The start of the body of every reply but CHUNK.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ReplyHead {
    /// See [`reply_flags`].
    pub flags: u8,
    /// The source address of the request, as the replying node saw it.
    pub observed: Endpoint,
}

impl ReplyHead {
    fn read(reader: &mut Reader<'_>) -> Result<(Self, u8), DecodeError> {
        let [flags, status] = *reader.array()?;
        Ok((Self { flags, observed: Endpoint::read(reader)? }, status))
    }

    fn write(&self, status: u8, writer: &mut Writer<'_>) -> Option<()> {
        writer.bytes(&[self.flags, status])?;
        self.observed.write(writer)
    }
}

/// The result for one item of a STORE.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    /// The item is stored, and durable if the holder's store is.
    Stored = 0,
    /// The holder had the item already.
    Already = 1,
    /// The holder is busy: offer the item again after `retry_ms`.
    Busy = 2,
    /// The value is larger than the holder accepts.
    TooLarge = 3,
    /// The store is full, and the holder evicts no item for this one.
    Full = 4,
    /// The holder knows enough nodes nearer to the key.
    NotClose = 5,
    /// A newer sequence number is held.
    Older = 6,
    /// The held sequence number is not the expected one.
    CasFailed = 7,
    /// The value does not match its digest, key or signature.
    BadProof = 8,
    /// The holder cannot verify items of this type.
    Unsupported = 9,
    /// The holder has a tombstone of this item.
    Deleted = 10,
    /// The lifetime is over.
    Expired = 11,
}

impl ItemStatus {
    /// Every status, in the order of its byte.
    pub const ALL: [Self; 12] = [
        Self::Stored,
        Self::Already,
        Self::Busy,
        Self::TooLarge,
        Self::Full,
        Self::NotClose,
        Self::Older,
        Self::CasFailed,
        Self::BadProof,
        Self::Unsupported,
        Self::Deleted,
        Self::Expired,
    ];

    /// Returns whether the holder has the item.
    pub const fn is_held(self) -> bool {
        matches!(self, Self::Stored | Self::Already)
    }
}

/// One entry of a STORED: 8 bytes on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredItem {
    /// The index of the item in the STORE.
    pub index: u8,
    /// The result; `None` for a status byte that this version does not know (treat it as a refusal).
    pub status: Option<ItemStatus>,
    status_byte: u8,
    /// With [`ItemStatus::Busy`]: milliseconds after which to offer the item again.
    pub retry_ms: u16,
    /// The remaining lifetime at the holder, in milliseconds.
    pub ttl_granted_ms: u32,
}

impl StoredItem {
    /// Returns the entry for item `index`.
    pub const fn new(index: u8, status: ItemStatus, retry_ms: u16, ttl_granted_ms: u32) -> Self {
        Self { index, status: Some(status), status_byte: status as u8, retry_ms, ttl_granted_ms }
    }
}

#[derive(Serialize, Deserialize)]
struct StoredFields {
    status: u8,
    index: u8,
    #[serde(with = "postcard::fixint::le")]
    retry_ms: u16,
    #[serde(with = "postcard::fixint::le")]
    ttl_granted_ms: u32,
}

const STORED_ITEM_LEN: usize = 8;

/// The entries of a STORED.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredItems<'a> {
    rows: &'a [[u8; STORED_ITEM_LEN]],
}

impl<'a> StoredItems<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        match bytes.as_chunks() {
            (rows, []) if !rows.is_empty() && rows.len() <= STORE_ITEMS_MAX => Some(Self { rows }),
            _ => None,
        }
    }

    /// Returns how many there are.
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns `false`: a STORED has at least one entry.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the entries in the order of the datagram.
    pub fn iter(&self) -> impl Iterator<Item = StoredItem> + use<'a> {
        self.rows.iter().filter_map(|row| {
            let StoredFields { status, index, retry_ms, ttl_granted_ms } = Reader::new(row).fields().ok()?;
            let known = ItemStatus::ALL.get(usize::from(status)).copied();
            Some(StoredItem { index, status: known, status_byte: status, retry_ms, ttl_granted_ms })
        })
    }
}

/// Why a request was refused as a whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Refusal {
    /// Send the request again with the token of this reply.
    NeedToken = 1,
    /// The node is busy: try again after `argument` milliseconds.
    Busy = 2,
    /// The node does not hold the value.
    Gone = 3,
    /// The node does not support the request.
    Unsupported = 4,
}

/// One item of a VALUE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ValueItem<'a> {
    /// Its header.
    pub header: ItemHeader,
    /// Its first `header.inline_len` bytes.
    pub inline: &'a [u8],
}

/// The items of a VALUE, which decoding the datagram has validated.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ValueItems<'a> {
    count: u8,
    bytes: &'a [u8],
}

impl<'a> ValueItems<'a> {
    /// Returns how many there are.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Returns whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the items in the order of the datagram.
    pub fn iter(&self) -> impl Iterator<Item = ValueItem<'a>> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        (0..self.count).map_while(move |_| Self::next(&mut reader).ok())
    }

    fn next(reader: &mut Reader<'a>) -> Result<ValueItem<'a>, DecodeError> {
        let header = ItemHeader::read(reader)?;
        Ok(ValueItem { header, inline: reader.bytes(header.inline_len.into())? })
    }

    /// Splits `count` items off the front of `bytes`.
    fn split(count: u8, bytes: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let mut reader = Reader::new(bytes);
        for _ in 0..count {
            Self::next(&mut reader)?;
        }
        let rest = reader.rest();
        let items = bytes.get(..bytes.len().saturating_sub(rest.len())).unwrap_or_default();
        Ok((Self { count, bytes: items }, rest))
    }
}

/// VALUE: items under the key, and contacts near it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Value<'a> {
    /// Number of items that match at this holder, on all pages.
    pub total: u16,
    /// The cursor for the next page; 0 at the end of the list.
    pub next_cursor: u32,
    /// The items of this page.
    pub items: ValueItems<'a>,
    /// Contacts near the key.
    pub contacts: Contacts<'a>,
}

/// The body of a reply other than CHUNK.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reply<'a> {
    /// Answers PING.
    Pong,
    /// Answers FIND_NODE.
    Nodes(Contacts<'a>),
    /// Answers FIND_VALUE.
    Value(Value<'a>),
    /// Answers STORE.
    Stored(StoredItems<'a>),
    /// Refuses a request as a whole.
    Refused {
        /// The reason; `None` for one that this version does not know.
        refusal: Option<Refusal>,
        /// The reason's byte on the wire.
        status: u8,
        /// With [`Refusal::Busy`]: milliseconds after which to try again.
        argument: u32,
    },
}

#[derive(Serialize, Deserialize)]
struct ValueFields {
    #[serde(with = "postcard::fixint::le")]
    total: u16,
    items: u8,
    contacts: u8,
    #[serde(with = "postcard::fixint::le")]
    next_cursor: u32,
}

#[derive(Serialize, Deserialize)]
struct Argument(#[serde(with = "postcard::fixint::le")] u32);

impl<'a> Reply<'a> {
    /// Returns a refusal with its argument.
    pub const fn refused(refusal: Refusal, argument: u32) -> Self {
        Self::Refused { refusal: Some(refusal), status: refusal as u8, argument }
    }

    pub(crate) fn read(kind: u8, mut reader: Reader<'a>) -> Result<(ReplyHead, Self), DecodeError> {
        let (head, status) = ReplyHead::read(&mut reader)?;
        if kind != kind::REFUSED && status != 0 {
            return Err(DecodeError::Malformed);
        }
        let reply = match kind {
            kind::PONG => {
                reader.end()?;
                Self::Pong
            }
            kind::NODES => Self::Nodes(Contacts::new(reader.rest()).ok_or(DecodeError::Malformed)?),
            kind::VALUE => {
                let ValueFields { total, items, contacts: count, next_cursor } = reader.fields()?;
                let (items, rest) = ValueItems::split(items, reader.rest())?;
                let contacts = Contacts::new(rest).ok_or(DecodeError::Malformed)?;
                if contacts.len() != usize::from(count) {
                    return Err(DecodeError::Malformed);
                }
                Self::Value(Value { total, next_cursor, items, contacts })
            }
            kind::STORED => Self::Stored(StoredItems::new(reader.rest()).ok_or(DecodeError::Malformed)?),
            kind::REFUSED => {
                let Argument(argument) = reader.fields()?;
                reader.end()?;
                let known = [Refusal::NeedToken, Refusal::Busy, Refusal::Gone, Refusal::Unsupported];
                let refusal = known.into_iter().find(|&refusal| refusal as u8 == status);
                Self::Refused { refusal, status, argument }
            }
            _ => return Err(DecodeError::Kind),
        };
        Ok((head, reply))
    }

    /// Writes the whole datagram and returns its length in bytes; `None` when it does not fit.
    pub fn encode(&self, envelope: &Envelope, head: &ReplyHead, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out);
        let (kind, status) = match self {
            Self::Pong => (kind::PONG, 0),
            Self::Nodes(_) => (kind::NODES, 0),
            Self::Value(_) => (kind::VALUE, 0),
            Self::Stored(_) => (kind::STORED, 0),
            Self::Refused { status, .. } => (kind::REFUSED, *status),
        };
        envelope.write(kind, &mut writer)?;
        head.write(status, &mut writer)?;
        match self {
            Self::Pong => {}
            Self::Nodes(contacts) => writer.bytes(contacts.as_bytes())?,
            Self::Value(Value { total, next_cursor, items, contacts }) => {
                let (total, next_cursor) = (*total, *next_cursor);
                let count = u8::try_from(contacts.len()).ok()?;
                writer.fields(&ValueFields { total, items: items.count, contacts: count, next_cursor })?;
                writer.bytes(items.bytes)?;
                writer.bytes(contacts.as_bytes())?;
            }
            Self::Stored(items) => writer.bytes(items.rows.as_flattened())?,
            Self::Refused { argument, .. } => writer.fields(&Argument(*argument))?,
        }
        Some(writer.len())
    }
}

/// Writes a NODES contact by contact.
pub struct NodesWriter<'b> {
    writer: Writer<'b>,
}

impl<'b> NodesWriter<'b> {
    /// Starts the datagram in `out`, whose length limits the datagram. `None` when the head does not fit.
    pub fn begin(envelope: &Envelope, head: &ReplyHead, out: &'b mut [u8]) -> Option<Self> {
        let mut writer = Writer::new(out);
        envelope.write(kind::NODES, &mut writer)?;
        head.write(0, &mut writer)?;
        Some(Self { writer })
    }

    /// Returns how many more contacts fit.
    pub fn room(&self) -> usize {
        self.writer.remaining() / CONTACT_LEN
    }

    /// Adds a contact; `None` when it does not fit.
    pub fn push(&mut self, contact: &Contact) -> Option<()> {
        if self.room() == 0 {
            return None;
        }
        contact.write(&mut self.writer)
    }

    /// Sets flags of the reply's head.
    pub fn set_flags(&mut self, flags: u8) {
        self.writer.patch(ENVELOPE_LEN, &[flags]);
    }

    /// Returns the datagram's length in bytes.
    pub fn finish(self) -> usize {
        self.writer.len()
    }
}

/// Writes a VALUE: first the items, then the contacts.
pub struct ValueWriter<'b> {
    writer: Writer<'b>,
    reserved: usize,
    total: u16,
    items: u8,
    contacts: u8,
    next_cursor: u32,
}

impl<'b> ValueWriter<'b> {
    const FIELDS_AT: usize = ENVELOPE_LEN + REPLY_HEAD_LEN;

    /// Starts the datagram in `out`, whose length limits the datagram. Items leave space for `reserved` contacts. `None` when the
    /// head does not fit.
    pub fn begin(envelope: &Envelope, head: &ReplyHead, reserved: usize, out: &'b mut [u8]) -> Option<Self> {
        let mut writer = Writer::new(out);
        envelope.write(kind::VALUE, &mut writer)?;
        head.write(0, &mut writer)?;
        writer.fields(&ValueFields { total: 0, items: 0, contacts: 0, next_cursor: 0 })?;
        Some(Self { writer, reserved, total: 0, items: 0, contacts: 0, next_cursor: 0 })
    }

    /// Returns how many inline bytes the next item can have; `None` when not even its header fits.
    pub fn inline_room(&self) -> Option<usize> {
        let reserved = self.reserved.checked_mul(CONTACT_LEN)?;
        self.writer.remaining().checked_sub(reserved)?.checked_sub(ITEM_HEADER_LEN)
    }

    /// Adds an item and returns the buffer for its `header.inline_len` inline bytes; `None`, and no item, when it does not fit.
    pub fn push(&mut self, header: &ItemHeader) -> Option<&mut [u8]> {
        if self.contacts != 0 || self.inline_room()? < usize::from(header.inline_len) {
            return None;
        }
        let items = self.items.checked_add(1)?;
        header.write(&mut self.writer)?;
        self.items = items;
        self.writer.hole(header.inline_len.into())
    }

    /// Returns the number of items so far.
    pub const fn items(&self) -> usize {
        self.items as usize
    }

    /// Returns how many more contacts fit.
    pub fn contact_room(&self) -> usize {
        self.writer.remaining() / CONTACT_LEN
    }

    /// Adds a contact; `None` when it does not fit.
    pub fn push_contact(&mut self, contact: &Contact) -> Option<()> {
        let contacts = self.contacts.checked_add(1)?;
        if self.contact_room() == 0 {
            return None;
        }
        contact.write(&mut self.writer)?;
        self.contacts = contacts;
        Some(())
    }

    /// Sets how many items match on all pages, and the cursor of the next page.
    pub fn set_total(&mut self, total: u16, next_cursor: u32) {
        self.total = total;
        self.next_cursor = next_cursor;
    }

    /// Sets flags of the reply's head.
    pub fn set_flags(&mut self, flags: u8) {
        self.writer.patch(ENVELOPE_LEN, &[flags]);
    }

    /// Returns the datagram's length in bytes.
    pub fn finish(mut self) -> usize {
        let [total0, total1] = self.total.to_le_bytes();
        let [c0, c1, c2, c3] = self.next_cursor.to_le_bytes();
        let fields = [total0, total1, self.items, self.contacts, c0, c1, c2, c3];
        self.writer.patch(Self::FIELDS_AT, &fields);
        self.writer.len()
    }
}

/// Writes a STORED entry by entry.
pub struct StoredWriter<'b> {
    writer: Writer<'b>,
    count: u8,
}

impl<'b> StoredWriter<'b> {
    /// Starts the datagram in `out`, whose length limits the datagram. `None` when the head does not fit.
    pub fn begin(envelope: &Envelope, head: &ReplyHead, out: &'b mut [u8]) -> Option<Self> {
        let mut writer = Writer::new(out);
        envelope.write(kind::STORED, &mut writer)?;
        head.write(0, &mut writer)?;
        Some(Self { writer, count: 0 })
    }

    /// Adds an entry; `None` when it does not fit.
    pub fn push(&mut self, item: &StoredItem) -> Option<()> {
        let StoredItem { index, status_byte: status, retry_ms, ttl_granted_ms, .. } = *item;
        if usize::from(self.count) >= STORE_ITEMS_MAX {
            return None;
        }
        self.writer.fields(&StoredFields { status, index, retry_ms, ttl_granted_ms })?;
        self.count = self.count.saturating_add(1);
        Some(())
    }

    /// Returns the datagram's length in bytes; `None` when there is no entry.
    pub fn finish(self) -> Option<usize> {
        if self.count == 0 { None } else { Some(self.writer.len()) }
    }
}

/// CHUNK: a part of a value. The only datagram with a prefix but no envelope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk<'a> {
    /// The offset of the bytes in the value.
    pub offset: u32,
    /// The bytes; none in reply to a PULL of no chunks.
    pub bytes: &'a [u8],
}

impl<'a> Chunk<'a> {
    pub(crate) fn read(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let Argument(offset) = reader.fields()?;
        Ok(Self { offset, bytes: reader.rest() })
    }

    /// Writes the datagram's head, after which the value's bytes follow, and returns its length in bytes; `None` when it does not fit.
    pub fn encode_head(prefix: &Prefix, offset: u32, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out);
        prefix.write(kind::CHUNK, &mut writer)?;
        writer.fields(&Argument(offset))?;
        Some(writer.len())
    }

    /// Writes the whole datagram and returns its length in bytes; `None` when it does not fit.
    pub fn encode(&self, prefix: &Prefix, out: &mut [u8]) -> Option<usize> {
        let head = Self::encode_head(prefix, self.offset, out)?;
        let mut writer = Writer::new(out.get_mut(head..)?);
        writer.bytes(self.bytes)?;
        head.checked_add(writer.len())
    }
}
