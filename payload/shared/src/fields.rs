//! Numbers of a known few bytes behind one byte that says how many.
//!
//! ```text
//!  moment, block  lengths:byte time addr [size]    lengths = time | addr << 2 | size << 5
//!  frame          lengths:byte code offset         lengths = code | offset << 2 | flag << 4
//! ```
//!
//! A length is that in bytes less one; 3 for a time means eight bytes. Neither side
//! takes a branch on a length, for those of a program's numbers follow no pattern.

/// The most bytes of a moment or block; of as many, [`put`] overwrites all it likes.
pub const ROOM: usize = 32;
/// The most bytes of a frame; of as many, [`put_frame`] overwrites all it likes.
pub const FRAME_ROOM: usize = 9;

/// A time of more bytes takes eight.
const TIME_BYTES: usize = 3;

/// The sort of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// What a record is.
    Tag,
    /// The lengths of the next three.
    Lengths,
    /// A difference of ticks.
    Time,
    /// A difference of addresses.
    Addr,
    /// A size in bytes.
    Size,
    /// Stacks, descriptions, and all else.
    Rest,
}

/// Where the fields of records are: one behind the other, or each sort in a column of its own.
pub trait Source<'a> {
    /// Where the next field of that sort is the first.
    fn column(&mut self, column: Column) -> &mut &'a [u8];
}

impl<'a> Source<'a> for &'a [u8] {
    #[inline(always)]
    fn column(&mut self, _: Column) -> &mut &'a [u8] {
        self
    }
}

/// Writes a time, an address and, if there is one, a size. Returns the length.
#[inline(always)]
pub fn put(out: &mut [u8; ROOM], time: u64, addr: u64, size: Option<u64>) -> usize {
    let (time_less, time_bytes) = match less_one(time) {
        less @ ..TIME_BYTES => (less, less + 1),
        _ => (TIME_BYTES, 8),
    };
    let addr_less = less_one(addr);
    set(out, 1, time.to_le_bytes());
    set(out, 1 + time_bytes, addr.to_le_bytes());
    let end = 2 + time_bytes + addr_less;
    let size_less = size.map_or(0, less_one);
    out[0] = (time_less | addr_less << 2 | size_less << 5) as u8;
    let Some(size) = size else { return end };
    set(out, end, size.to_le_bytes());
    end + size_less + 1
}

/// The lengths in bytes of time, address and size.
#[inline(always)]
pub fn lengths(byte: u8) -> [usize; 3] {
    let time = usize::from(byte & 3);
    [if time < TIME_BYTES { time + 1 } else { 8 }, usize::from(byte >> 2 & 7) + 1, usize::from(byte >> 5) + 1]
}

/// Takes what [`put`] wrote off the front of `source`; `None` if it ends early.
#[inline(always)]
pub fn take<'a>(source: &mut impl Source<'a>, has_size: bool) -> Option<[u64; 3]> {
    let heads = source.column(Column::Lengths);
    let (&byte, rest) = heads.split_first()?;
    *heads = rest;
    let [time, addr, size] = lengths(byte);
    let (time, addr) =
        (number(source.column(Column::Time), time)?, number(source.column(Column::Addr), addr)?);
    let size = if has_size { number(source.column(Column::Size), size)? } else { 0 };
    Some([time, addr, size])
}

/// Writes a frame's code id and offset. Returns the length.
#[inline(always)]
pub fn put_frame(out: &mut [u8; FRAME_ROOM], code: u32, offset: u32) -> usize {
    let (code_less, offset_less) = (less_one(code.into()) & 3, less_one(offset.into()) & 3);
    out[0] = (code_less | offset_less << 2) as u8;
    set(out, 1, code.to_le_bytes());
    set(out, 2 + code_less, offset.to_le_bytes());
    3 + code_less + offset_less
}

/// In the first byte of a frame.
pub const FRAME_FLAG: u8 = 1 << 4;

/// The lengths in bytes of a frame's code id and offset.
#[inline(always)]
pub fn frame_lengths(byte: u8) -> [usize; 2] {
    [usize::from(byte & 3) + 1, usize::from(byte >> 2 & 3) + 1]
}

/// Takes what [`put_frame`] wrote off the front of `bytes`; `None` if they end early.
#[inline(always)]
pub fn take_frame(bytes: &mut &[u8]) -> Option<[u32; 2]> {
    let (&byte, rest) = bytes.split_first()?;
    *bytes = rest;
    let [code, offset] = frame_lengths(byte);
    Some([number(bytes, code)? as u32, number(bytes, offset)? as u32])
}

/// Bytes that a value takes, less one.
#[inline(always)]
fn less_one(value: u64) -> usize {
    (value | 1).ilog2() as usize / 8
}

#[inline(always)]
fn set<const N: usize, const ROOM: usize>(out: &mut [u8; ROOM], at: usize, bytes: [u8; N]) {
    if let Some(place) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = bytes;
    }
}

/// Takes a number of 1 to 8 bytes.
#[inline(always)]
fn number(bytes: &mut &[u8], len: usize) -> Option<u64> {
    let (own, rest) = bytes.split_at_checked(len)?;
    let word = match bytes.first_chunk() {
        Some(&word) => word,
        None => core::array::from_fn(|at| own.get(at).copied().unwrap_or(0)),
    };
    *bytes = rest;
    Some(u64::from_le_bytes(word) & u64::MAX >> (64 - 8 * len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges() -> impl Iterator<Item = u64> + Clone {
        (0..8).flat_map(|byte| [0, 1, 0x7f, 0x80, 0xff].map(|value| value << (8 * byte))).chain([u64::MAX])
    }

    #[test]
    fn numbers_survive() {
        for time in edges() {
            for other in edges() {
                for size in [None, Some(time), Some(other)] {
                    let mut out = [0xee; ROOM];
                    let len = put(&mut out, time, other, size);
                    let mut bytes = &out[..len];
                    assert_eq!(take(&mut bytes, size.is_some()), Some([time, other, size.unwrap_or(0)]));
                    assert!(bytes.is_empty());
                    assert_eq!(take(&mut &out[..len - 1], size.is_some()), None);
                    assert_eq!(take(&mut &out[..], size.is_some()).map(|fields| fields[1]), Some(other));
                }
            }
        }
    }

    #[test]
    fn frames_survive() {
        for code in edges().map(|edge| edge as u32) {
            for offset in edges().map(|edge| edge as u32) {
                let mut out = [0xee; FRAME_ROOM];
                let len = put_frame(&mut out, code, offset);
                let mut bytes = &out[..len];
                assert_eq!(take_frame(&mut bytes), Some([code, offset]));
                assert!(bytes.is_empty());
                assert_eq!(take_frame(&mut &out[..len - 1]), None);
            }
        }
    }
}
