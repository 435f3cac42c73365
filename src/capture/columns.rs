//! Records sorted by field, and back.
//!
//! Neighbouring records have little in common, but each field has much in common with
//! the same field of other records: tags hardly vary, high bytes of times and sizes
//! less so. So a piece is taken apart into columns before it is compressed. Fields are
//! moved as they stand, byte by byte: what comes back is what went in.

use prof_shared::fields::{self, Column, Source};
use prof_shared::kind::{Effect, Kind};
use prof_shared::record::{
    CODE, CODE_BYTES, LONG, LOST, NATIVE, ORIGIN, ORIGIN_OF_CHILD, PASSED, SAMPLING, STACK,
};
use prof_shared::varint::MAX_LEN;

/// How many there are.
pub const COLUMNS: usize = 6;

/// The columns of a piece.
pub type Columns = [Vec<u8>; COLUMNS];

/// The records of a piece, and how far they are read.
#[derive(Debug, Default)]
pub struct Records {
    columns: Columns,
    read: [usize; COLUMNS],
}

/// What is not read of them.
#[derive(Clone, Copy, Debug)]
pub struct Unread<'a>([&'a [u8]; COLUMNS]);

impl Records {
    /// Has `fill` put columns into the buffers of the ones before.
    pub fn refill<T>(&mut self, fill: impl FnOnce(&mut Columns) -> Option<T>) -> Option<T> {
        self.read = [0; COLUMNS];
        let filled = fill(&mut self.columns)?;
        if self.columns[Column::Tag as usize].is_empty() {
            let raw = std::mem::take(&mut self.columns[Column::Rest as usize]);
            // Where they are none, readers come to the same place and find it out.
            let _ = sort(&raw, &mut self.columns);
        }
        Some(filled)
    }

    /// What is not read.
    #[inline]
    pub fn unread(&self) -> Unread<'_> {
        Unread(std::array::from_fn(|column| &self.columns[column][self.read[column]..]))
    }

    /// Reads on until `left` is left.
    #[inline]
    pub fn read_until(&mut self, left: [usize; COLUMNS]) {
        self.read = std::array::from_fn(|column| self.columns[column].len() - left[column]);
    }
}

impl Unread<'_> {
    /// Bytes left in each column.
    #[inline]
    pub fn left(&self) -> [usize; COLUMNS] {
        self.0.map(<[u8]>::len)
    }

    /// Whether all is read.
    pub fn is_empty(&self) -> bool {
        self.left() == [0; COLUMNS]
    }
}

impl<'a> Source<'a> for Unread<'a> {
    #[inline(always)]
    fn column(&mut self, column: Column) -> &mut &'a [u8] {
        &mut self.0[column as usize]
    }
}

/// Takes records apart. What is not records goes into the last column as it is, with
/// nothing in the first.
pub fn split(raw: &[u8], columns: &mut Columns) {
    columns.iter_mut().for_each(Vec::clear);
    if sort(raw, columns).is_none() {
        columns.iter_mut().for_each(Vec::clear);
        columns[Column::Rest as usize].extend_from_slice(raw);
    }
}

/// Moves fields up to the first that is none.
fn sort(raw: &[u8], columns: &mut Columns) -> Option<()> {
    let mut split = Split { raw, columns };
    while !split.raw.is_empty() {
        split.record()?;
    }
    Some(())
}

struct Split<'a> {
    raw: &'a [u8],
    columns: &'a mut Columns,
}

impl Split<'_> {
    /// Moves so many bytes; as many are there.
    #[inline(always)]
    fn forward(&mut self, column: Column, len: usize) {
        let (moved, rest) = self.raw.split_at(len);
        self.columns[column as usize].extend_from_slice(moved);
        self.raw = rest;
    }

    #[inline(always)]
    fn byte(&mut self, column: Column) -> Option<u8> {
        let byte = *self.raw.first()?;
        self.forward(column, 1);
        Some(byte)
    }

    /// A LEB128 number; its value.
    #[inline(always)]
    fn number(&mut self, column: Column) -> Option<u64> {
        let len = self.raw.iter().take(MAX_LEN).position(|byte| byte & 0x80 == 0)? + 1;
        let value = self.raw[..len].iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
        self.forward(column, len);
        Some(value)
    }

    #[inline(always)]
    fn bytes(&mut self, column: Column, len: usize) -> Option<()> {
        (len <= self.raw.len()).then(|| self.forward(column, len))
    }

    /// A time, an address and perhaps a size. See `prof_shared::fields`.
    #[inline(always)]
    fn fields(&mut self, has_size: bool) -> Option<()> {
        let [time, addr, size] = fields::lengths(self.byte(Column::Lengths)?);
        self.bytes(Column::Time, time)?;
        self.bytes(Column::Addr, addr)?;
        if has_size { self.bytes(Column::Size, size) } else { Some(()) }
    }

    #[inline(always)]
    fn numbers(&mut self, column: Column, count: u64) -> Option<()> {
        (0..count).try_for_each(|_| self.number(column).map(drop))
    }

    /// Moves one record; `None` if it is none. See `prof_shared::record`.
    fn record(&mut self) -> Option<()> {
        use Column::{Rest, Tag};
        let tag = self.byte(Tag)?;
        match tag {
            ORIGIN => return self.numbers(Rest, 4),
            ORIGIN_OF_CHILD => return self.numbers(Rest, 7),
            LOST | PASSED => return self.numbers(Rest, 2),
            SAMPLING => return self.numbers(Rest, 1),
            CODE => return self.numbers(Rest, 6),
            CODE_BYTES => {
                self.number(Rest)?;
                self.byte(Rest)?;
                self.byte(Rest)?;
                self.number(Rest)?;
                let len = self.number(Rest)?;
                return self.bytes(Rest, usize::try_from(len).ok()?);
            }
            STACK | NATIVE => {
                let shape = self.byte(Rest)?;
                let mut count =
                    |half: u8| if half == LONG { self.number(Rest) } else { Some(u64::from(half)) };
                let (_pops, pushes) = (count(shape >> 4)?, count(shape & LONG)?);
                return (0..pushes).try_for_each(|_| {
                    let [code, offset] = fields::frame_lengths(self.byte(Rest)?);
                    self.bytes(Rest, code + offset)
                });
            }
            _ => {}
        }
        match Kind::from_tag(tag)?.effect() {
            Effect::Allocates | Effect::Unmaps => self.fields(true),
            Effect::Frees => self.fields(false),
            Effect::Reallocates => self.fields(false).and_then(|()| self.fields(true)),
            Effect::Remaps => {
                self.fields(true).and_then(|()| self.fields(true)).and_then(|()| self.numbers(Rest, 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prof_shared::record::{CodeField, Decoder, Delta, Encoder, Record};
    use proptest::prelude::*;

    impl Records {
        /// Bytes of memory that they take.
        pub fn capacity(&self) -> usize {
            self.columns.iter().map(Vec::capacity).sum()
        }
    }

    fn encoded(write: impl FnOnce(&mut Encoder)) -> Vec<u8> {
        let (mut out, mut delta) = ([0; 2048], Delta::default());
        let mut encoder = Encoder::new(&mut out, &mut delta);
        write(&mut encoder);
        let len = encoder.len();
        out[..len].to_vec()
    }

    /// The records up to the first that is none, and whether that is the end.
    fn decoded<'a>(mut source: impl Source<'a>) -> (Vec<String>, bool) {
        let (mut decoder, mut records) = (Decoder::new(), Vec::new());
        loop {
            match decoder.next(&mut source) {
                Ok(Some(Record::Stack { pops, pushes } | Record::Native { pops, pushes })) => {
                    records.push(format!("{pops} {:?}", pushes.collect::<Vec<_>>()));
                }
                Ok(Some(record)) => records.push(format!("{record:?}")),
                end => return (records, end == Ok(None)),
            }
        }
    }

    fn refilled(columns: Columns) -> Records {
        let mut records = Records::default();
        records.refill(|fresh| {
            *fresh = columns;
            Some(())
        });
        records
    }

    fn there_and_back(raw: &[u8]) -> Columns {
        let mut columns = Columns::default();
        split(raw, &mut columns);
        assert_eq!(decoded(refilled(columns.clone()).unread()), decoded(raw));
        columns
    }

    #[test]
    fn every_kind_comes_back() {
        let raw = encoded(|e| {
            e.origin(3, 4711, 7, 1_000_000);
            e.code(9, 12, [3, 0, 4, 5]);
            e.code_bytes(9, CodeField::Name, 1, 0, 3).copy_from_slice(b"abc");
            e.lost(1, 300);
            e.sampling(512 << 10);
            e.passed(7, 1 << 40);
            for kind in Kind::ALL {
                e.stack(kind as u32, 2);
                e.frame(1, -1);
                e.frame(900, 64);
                e.native(1, 2);
                e.flagged_frame(7, -1, false);
                e.flagged_frame(8, i32::MIN, true);
                e.tag(kind);
                match kind.effect() {
                    Effect::Allocates | Effect::Unmaps => e.block(2_000_000, 16, 300),
                    Effect::Frees => e.moment(u64::MAX, 0),
                    Effect::Reallocates => {
                        e.moment(1, 16);
                        e.block(2, 1 << 40, 1 << 50);
                    }
                    Effect::Remaps => {
                        e.block(1, 16, 4096);
                        e.block(2, 1 << 40, 1 << 50);
                        e.number(3);
                    }
                }
            }
        });
        assert_eq!(there_and_back(&raw)[Column::Tag as usize].len(), 6 + 3 * Kind::ALL.len());
        let cut = there_and_back(&raw[..raw.len() - 1]);
        assert!(cut[Column::Tag as usize].is_empty(), "what is not records stays as it is");
    }

    #[test]
    fn fields_are_sorted() {
        let raw = encoded(|e| {
            e.tag(Kind::Malloc);
            e.block(5, 0x1000, 1024);
            e.tag(Kind::Free);
            e.moment(305, 0x1000);
            e.tag(Kind::Mremap);
            e.block(306, 0x1000, 3);
            e.block(308, 0x1010, 6);
            e.number(7);
        });
        let columns = there_and_back(&raw);
        let expected: [&[u8]; COLUMNS] =
            [&[1, 10, 13], &[0x24, 1, 0, 0], &[5, 0x2c, 1, 1, 2], &[0, 4, 0, 0, 4], &[0, 4, 3, 6], &[7]];
        assert_eq!(columns, expected.map(<[u8]>::to_vec));
    }

    #[test]
    fn a_field_too_many_is_noticed() {
        let mut columns = there_and_back(&[1, 0, 5, 6, 7]);
        columns[Column::Size as usize].push(9);
        let records = refilled(columns);
        let mut unread = records.unread();
        assert!(matches!(Decoder::new().next(&mut unread), Ok(Some(_))));
        assert!(!unread.is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(raw: Vec<u8>) {
            there_and_back(&raw);
        }

        #[test]
        fn any_columns_are_harmless(columns: Columns) {
            decoded(refilled(columns).unread());
        }
    }
}
