//! The body of aggregate blocks: JSON, compressed, cut into parts that blocks can hold.
//!
//! What it says is up to `analysis`; here it is only kept.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufWriter, Read, Write};

/// The most bytes of one block.
pub(super) const MAX_PART: usize = 16 << 20;
/// The most bytes of JSON that are read into memory.
const MAX_TEXT: u64 = 512 << 20;
/// What takes a moment every few seconds is not worth more than the fastest ones.
const LEVEL: i32 = 3;

/// All parts in one.
pub(super) fn pack(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut zstd = zstd::Encoder::new(Vec::new(), LEVEL)?;
    let mut text = Limited { to: BufWriter::new(&mut zstd), left: MAX_TEXT };
    serde_json::to_writer(&mut text, value)?;
    text.flush()?;
    drop(text);
    zstd.finish()
}

/// `None` if it is malformed, or too long.
pub(super) fn unpack<T: DeserializeOwned>(packed: &[u8]) -> Option<T> {
    let mut text = Vec::new();
    zstd::Decoder::new(packed).ok()?.take(MAX_TEXT).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Refuses what could not be read again.
struct Limited<W> {
    to: W,
    left: u64,
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives() {
        let value: Vec<u64> = (0..100_000).collect();
        let packed = pack(&value).expect("it has a buffer of its own");
        assert_eq!(unpack(&packed), Some(value));
        assert_eq!(unpack::<Vec<u64>>(&packed[..packed.len() / 2]), None);
        assert_eq!(unpack::<Vec<u64>>(b"text"), None);
    }

    #[test]
    fn what_could_not_be_read_is_not_written() {
        let mut limited = Limited { to: Vec::new(), left: 5 };
        assert!(limited.write_all(b"12345").is_ok() && limited.write_all(b"6").is_err());
    }
}
