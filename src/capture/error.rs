//! What can go wrong with a capture file.

use std::io;
use std::path::PathBuf;

/// The result of capture operations.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a capture cannot be written or opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is a file of that name, and it was not to be replaced.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// Only a regular file is ever replaced, or a symbolic link that leads to none but such.
    #[error("{} is not a regular file", .0.display())]
    NotRegular(PathBuf),
    /// It cannot be created.
    #[error("cannot create {}", .0.display())]
    Create(PathBuf, #[source] io::Error),
    /// The file system is full, or a quota or size limit is reached. What was
    /// written before stays readable.
    #[error("no room for more of {}", .0.display())]
    Full(PathBuf),
    /// Any other failure to write.
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
    /// Records could not be compressed.
    #[error("cannot compress records")]
    Pack(#[source] io::Error),
    /// More than the format can hold in one block.
    #[error("a block of {0} bytes is too long for a capture")]
    TooLong(usize),
    /// It cannot be opened or read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// It does not begin like a capture.
    #[error("{} is not a capture of prof", .0.display())]
    NotACapture(PathBuf),
    /// It was written by a later version.
    #[error("{} has format version {found}, this prof reads up to {}", .path.display(), super::format::VERSION)]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It ends before its metadata, or they are damaged.
    #[error("{} holds no readable metadata", .0.display())]
    NoMetadata(PathBuf),
}

/// Whether an error means that there is no room left.
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
