#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod command;
mod format;
mod pinned;
mod recorder;
mod replay;

pub use command::{Command, start};
pub use format::{Entry, Error, Header, Input, Reader, Writer};
pub use pinned::Pinned;
pub use recorder::Recorder;
pub use replay::{Replayed, replay};
