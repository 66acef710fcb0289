//! Errors and counters of the disk store.

use std::boxed::Box;
use std::io;
use std::path::PathBuf;
use std::string::String;

/// Why a store on disk could not be opened. Opening has deleted nothing in the file.
#[derive(Debug)]
#[non_exhaustive]
pub enum DiskError {
    /// Reading or writing the file failed.
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another process, or another store in this process, has the file open.
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is no store, or a store of another format, `found`.
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// The number of its format; `None` if it is no store.
        found: Option<u32>,
    },
    /// The file is damaged: a checksum is wrong, or it is cut short. Restore a backup, or move the file away and start with an
    /// empty store: other holders have copies of the items of other nodes; values of this node must be published again. If
    /// `what` says that the database has repaired something, opening the file again loads what is left.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
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
    /// Commits that failed. Their changes were rolled back.
    pub failed_commits: u64,
    /// Reads that failed with an error of the system.
    pub failed_reads: u64,
    /// Items that were dropped because their bytes differed from what was written.
    pub lost: u64,
    /// Offers that were refused in the delay after a failure.
    pub refused: u64,
    /// Commits that succeeded.
    pub commits: u64,
    /// The longest commit, in microseconds.
    pub longest_commit_us: u64,
}

/// A failure of the database.
#[derive(Debug)]
pub(super) enum Fault {
    /// The system's error, or the database is closed after an earlier failure.
    Database(Box<redb::Error>),
    /// The contents differ from what was written.
    Damaged(String),
    /// The file holds no store, or one of this format.
    OtherFormat(Option<u32>),
}

impl Fault {
    /// Returns the public error for a failure of this file.
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
