//! The source line of an instruction offset.
//!
//! An offset counts bytes from a code object's first instruction and comes from
//! a frame that is alive:
//!
//! | version    | frame field             | leaf frame          | frame that called     |
//! |------------|-------------------------|---------------------|-----------------------|
//! | 3.6 to 3.9 | `f_lasti`, bytes        | executing           | the call              |
//! | 3.10       | `f_lasti`, code units   | executing           | the call              |
//! | 3.11, 3.12 | `prev_instr`, a pointer | executing           | the call's last cache |
//! | since 3.13 | `instr_ptr`, a pointer  | executing           | the call              |
//!
//! So the offset always lies within the instruction that executes, whose entry in
//! the table covers its inline caches: one rule serves leaf and caller, and none
//! needs the return offset. (3.13 stores `instr_ptr` as an instruction begins and
//! adds `return_offset` only once the callee has gone, `Python/bytecodes.c`; 3.11
//! and 3.12 set `prev_instr` to `next_instr - 1` before they enter the callee,
//! `Python/ceval.c`.) A frame that
//! has not begun is before its first instruction and is on its first line. An
//! instruction without a line (a cell made on entry) counts as the first line.
//!
//! Tables are foreign bytes: one that ends early ends the search.

use super::Version;

/// The line that `offset` (in bytes, negative before the first instruction) lies
/// on. `table` is `co_lnotab` before 3.10, else `co_linetable`; `first_line` is
/// `co_firstlineno`.
pub fn line(version: Version, first_line: u32, table: &[u8], offset: i32) -> u32 {
    let found = match (u32::try_from(offset), version.minor) {
        (Err(_), _) => None,
        (Ok(offset), ..=9) => Some(by_lnotab(first_line, table, offset)),
        (Ok(offset), 10) => by_ranges(first_line, table, offset),
        (Ok(offset), _) => by_locations(first_line, table, offset),
    };
    found.unwrap_or(first_line)
}

/// `co_lnotab`: pairs of an offset increment and a signed line increment
/// (`Objects/lnotab_notes.txt`, 3.6 to 3.9).
fn by_lnotab(first_line: u32, table: &[u8], offset: u32) -> u32 {
    let mut line = first_line;
    let mut start = 0_u32;
    for &[bytes, lines] in table.as_chunks().0 {
        start = start.saturating_add(bytes.into());
        if start > offset {
            break;
        }
        line = line.wrapping_add_signed(i32::from(lines as i8));
    }
    line
}

/// 3.10's `co_linetable`: pairs of an offset range's length and a signed line
/// increment; −128 marks a range without a line (`Objects/lnotab_notes.txt`).
fn by_ranges(first_line: u32, table: &[u8], offset: u32) -> Option<u32> {
    let mut line = first_line;
    let mut end = 0_u32;
    for &[bytes, lines] in table.as_chunks().0 {
        let lines = lines as i8;
        if lines != i8::MIN {
            line = line.wrapping_add_signed(lines.into());
        }
        end = end.saturating_add(bytes.into());
        if offset < end {
            return (lines != i8::MIN).then_some(line);
        }
    }
    None
}

/// 3.11's `co_linetable`: entries of one head byte and what its code calls for
/// (`Objects/locations.md`, 3.11 and later).
fn by_locations(first_line: u32, table: &[u8], offset: u32) -> Option<u32> {
    let mut entries = Locations { table };
    let mut line = first_line;
    let mut end = 0_u32;
    while let Some(entry) = entries.next() {
        line = line.wrapping_add_signed(entry.line_delta);
        end = end.saturating_add(entry.bytes);
        if offset < end {
            return entry.has_line.then_some(line);
        }
    }
    None
}

struct Location {
    bytes: u32,
    line_delta: i32,
    has_line: bool,
}

struct Locations<'a> {
    table: &'a [u8],
}

impl Locations<'_> {
    fn next(&mut self) -> Option<Location> {
        let head = self.byte()?;
        let bytes = (u32::from(head & 7) + 1) * 2;
        let code = (head >> 3) & 0xf;
        let line_delta = match code {
            13 | 14 => self.signed_varint()?,
            10..=12 => i32::from(code) - 10,
            _ => 0,
        };
        self.skip_columns(code)?;
        Some(Location { bytes, line_delta, has_line: code != 15 })
    }

    fn skip_columns(&mut self, code: u8) -> Option<()> {
        match code {
            0..=9 => drop(self.byte()?),
            10..=12 => drop((self.byte()?, self.byte()?)),
            14 => drop((self.varint()?, self.varint()?, self.varint()?)),
            _ => (),
        }
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.table.split_first()?;
        self.table = rest;
        Some(byte)
    }

    /// Six bits a byte, least significant first; bit 6 says that more follow.
    fn varint(&mut self) -> Option<u32> {
        let mut value = 0_u32;
        for shift in (0..u32::BITS).step_by(6) {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x3f) << shift;
            if byte & 0x40 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// The sign is bit 0.
    fn signed_varint(&mut self) -> Option<i32> {
        let value = self.varint()?;
        let size = (value >> 1) as i32;
        Some(if value & 1 == 0 { size } else { -size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines_at<const N: usize>(version: &str, table: &[u8], offsets: [i32; N]) -> [u32; N] {
        let version = Version::parse(version).expect("a version");
        offsets.map(|offset| line(version, 10, table, offset))
    }

    #[test]
    fn lnotab_adds_signed_deltas() {
        let table = [6, 1, 4, 0xff, 0, 0xfe, 2, 5];
        assert_eq!(lines_at("3.8.18", &table, [-1, 0, 5, 6, 9, 10, 12]), [10, 10, 10, 11, 11, 8, 13]);
        assert_eq!(
            lines_at("3.8.18", &[0, 1, 6, 2, 6, 0xff], [0, 5, 6, 11, 12, 99]),
            [11, 11, 13, 13, 12, 12]
        );
        assert_eq!(lines_at("3.9.18", &[255, 0, 45, 1], [254, 299, 300]), [10, 10, 11]);
    }

    #[test]
    fn ranges_may_have_no_line() {
        let table = [4, 0, 2, 0x80, 6, 3, 2, 0xff];
        assert_eq!(
            lines_at("3.10.13", &table, [-2, 0, 3, 4, 6, 11, 12, 14]),
            [10, 10, 10, 10, 13, 13, 12, 10]
        );
    }

    #[test]
    fn every_form_of_location_is_read() {
        let head = |code: u8, units: u8| 0x80 | code << 3 | (units - 1);
        let table = [
            [head(15, 1)].as_slice(),               //  0: no line
            &[head(0, 2), 0],                       //  2: short, same line
            &[head(11, 1), 0, 0],                   //  6: one line further
            &[head(12, 8), 0, 0],                   //  8: two lines further
            &[head(13, 1), 3],                      // 24: no column, −1
            &[head(14, 1), 0x48, 1, 0, 0x41, 1, 0], // 26: long, +36, columns of two bytes
        ]
        .concat();
        let offsets = [-2, 0, 2, 4, 6, 8, 22, 24, 26, 28];
        assert_eq!(lines_at("3.11.7", &table, offsets), [10, 10, 10, 10, 11, 13, 13, 12, 48, 10]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_harmless(minor in 8_u8..14, first: u32, table: Vec<u8>, offset: i32) {
            let version = Version::from_hex(0x0300_00f0 | u32::from(minor) << 16).expect("a version");
            line(version, first, &table, offset);
        }
    }
}
