//! What goes wrong with a file.

use std::boxed::Box;
use std::io;
use std::path::PathBuf;
use std::string::String;

/// Why a store on disk could not be opened. Nothing in the file was thrown away.
#[derive(Debug)]
#[non_exhaustive]
pub enum DiskError {
    /// The system does not let the file be read or written.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process, or another store of this one, has the file open.
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is no store, or one of another version of this crate: its format is `found`, if it has one.
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// The number of its format.
        found: Option<u32>,
    },
    /// The file is damaged: its checksums say so, or it is cut short. Put back a backup, or move it away and start with an empty
    /// store: the network's other holders have copies of what it held for others, and what this node published itself
    /// must be published again. Where `what` says that something was put right, opening it again takes what is left.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl core::fmt::Display for DiskError {
    fn fmt(&self, to: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Io { path, source } => write!(to, "cannot use the store {}: {source}", path.display()),
            Self::InUse { path } => write!(to, "the store {} is in use", path.display()),
            Self::OtherFormat { path, found: Some(found) } => {
                write!(to, "the store {} has format {found}, which this version does not know", path.display())
            }
            Self::OtherFormat { path, found: None } => write!(to, "{} is not a store of kad", path.display()),
            Self::Damaged { path, what } => write!(to, "the store {} is damaged: {what}", path.display()),
        }
    }
}

impl core::error::Error for DiskError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What went wrong while a store was open. The counts begin at zero when it is opened.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct DiskHealth {
    /// Commits that failed: what they would have made durable was refused.
    pub failed_commits: u64,
    /// Reads that the system refused.
    pub failed_reads: u64,
    /// Items that were dropped because their bytes were not what was written.
    pub lost: u64,
    /// Offers that were refused while the disk was given a rest after a failure.
    pub refused: u64,
    /// Commits that succeeded.
    pub commits: u64,
    /// The longest commit, in microseconds.
    pub longest_commit_us: u64,
}

/// What the database says when it fails.
#[derive(Debug)]
pub(super) enum Fault {
    /// Anything but the contents: the system, or a failure before.
    Database(Box<redb::Error>),
    /// The contents are not what was written.
    Damaged(String),
    /// There is no store's table in it.
    OtherFormat(Option<u32>),
}

impl Fault {
    /// The same as an owner sees it.
    pub(super) fn of_file(self, path: PathBuf) -> DiskError {
        let database = match self {
            Self::Damaged(what) => return DiskError::Damaged { path, what },
            Self::OtherFormat(found) => return DiskError::OtherFormat { path, found },
            Self::Database(error) => *error,
        };
        match database {
            redb::Error::DatabaseAlreadyOpen => DiskError::InUse { path },
            redb::Error::Corrupted(what) => DiskError::Damaged { path, what },
            redb::Error::Io(source) => match source.kind() {
                io::ErrorKind::InvalidData => DiskError::OtherFormat { path, found: None },
                io::ErrorKind::UnexpectedEof => DiskError::Damaged { path, what: "it is cut short".into() },
                _ => DiskError::Io { path, source },
            },
            other => DiskError::Io { path, source: io::Error::other(other) },
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Database(Box::new(error.into()))
    }
}
