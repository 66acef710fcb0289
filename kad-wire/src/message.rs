//! Whole datagrams.

use core::fmt;

use crate::codec::Reader;
use crate::prefix::{Envelope, Prefix, kind};
use crate::reply::{Chunk, Reply, ReplyHead};
use crate::request::{Request, RequestFlags};

/// Why bytes are not a datagram of this protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DecodeError {
    /// Another version or mode of the protocol, or not the protocol.
    Version,
    /// A kind that this version does not know.
    Kind,
    /// Too short, too long, or a field outside its range.
    Malformed,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "unknown protocol version",
            Self::Kind => "unknown kind of message",
            Self::Malformed => "malformed message",
        })
    }
}

impl core::error::Error for DecodeError {}

/// A decoded datagram. Borrows its lists and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Datagram<'a> {
    /// A request.
    Request {
        /// The sender, its network and token.
        envelope: Envelope,
        /// The request's flags.
        flags: RequestFlags,
        /// The body.
        request: Request<'a>,
    },
    /// A reply other than CHUNK.
    Reply {
        /// The sender, its network and token.
        envelope: Envelope,
        /// The flags, and the observed address of the requester.
        head: ReplyHead,
        /// The body.
        reply: Reply<'a>,
    },
    /// A CHUNK: a part of a value, in reply to a PULL.
    Chunk {
        /// The network and the transaction of the PULL.
        prefix: Prefix,
        /// The part.
        chunk: Chunk<'a>,
    },
}

impl<'a> Datagram<'a> {
    /// Decodes a datagram. Every message has one encoding, and no byte may follow it.
    ///
    /// # Errors
    /// [`DecodeError`]. No input makes this panic.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (kind, prefix) = Prefix::read(&mut reader)?;
        if kind == kind::CHUNK {
            return Ok(Self::Chunk { prefix, chunk: Chunk::read(reader)? });
        }
        let envelope = Envelope::read(prefix, &mut reader)?;
        if kind & kind::REPLY == 0 {
            let (flags, request) = Request::read(kind, reader)?;
            Ok(Self::Request { envelope, flags, request })
        } else {
            let (head, reply) = Reply::read(kind, reader)?;
            Ok(Self::Reply { envelope, head, reply })
        }
    }

    /// Writes the datagram and returns its length in bytes; `None` when it does not fit.
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        match self {
            Self::Request { envelope, flags, request } => request.encode(envelope, *flags, out),
            Self::Reply { envelope, head, reply } => reply.encode(envelope, head, out),
            Self::Chunk { prefix, chunk } => chunk.encode(prefix, out),
        }
    }

    /// Returns the prefix.
    pub const fn prefix(&self) -> &Prefix {
        match self {
            Self::Request { envelope, .. } | Self::Reply { envelope, .. } => &envelope.prefix,
            Self::Chunk { prefix, .. } => prefix,
        }
    }
}
