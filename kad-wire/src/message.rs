//! Whole datagrams.

use core::fmt;

use crate::codec::Reader;
use crate::prefix::{Envelope, Prefix, kind};
use crate::reply::{Chunk, Reply, ReplyHead};
use crate::request::{Request, RequestFlags};

/// Why bytes are not a datagram of this protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DecodeError {
    /// Another version or mode of the protocol, or none.
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

/// A decoded datagram, borrowing what is variable in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Datagram<'a> {
    /// One node asks another.
    Request {
        /// Who, from which network, with which token.
        envelope: Envelope,
        /// How.
        flags: RequestFlags,
        /// What.
        request: Request<'a>,
    },
    /// An asked node answers.
    Reply {
        /// Who, from which network, with which token.
        envelope: Envelope,
        /// How.
        head: ReplyHead,
        /// What.
        reply: Reply<'a>,
    },
    /// A pulled piece of a value.
    Chunk {
        /// From which network and for which pull.
        prefix: Prefix,
        /// The piece.
        chunk: Chunk<'a>,
    },
}

impl<'a> Datagram<'a> {
    /// Reads a datagram. Every byte counts: there is one encoding per message, and nothing may follow it.
    ///
    /// # Errors
    /// [`DecodeError`]; never a panic, whatever the bytes.
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

    /// Writes the datagram and says how long it is; `None` when it does not fit.
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        match self {
            Self::Request { envelope, flags, request } => request.encode(envelope, *flags, out),
            Self::Reply { envelope, head, reply } => reply.encode(envelope, head, out),
            Self::Chunk { prefix, chunk } => chunk.encode(prefix, out),
        }
    }

    /// The prefix.
    pub const fn prefix(&self) -> &Prefix {
        match self {
            Self::Request { envelope, .. } | Self::Reply { envelope, .. } => &envelope.prefix,
            Self::Chunk { prefix, .. } => prefix,
        }
    }
}
