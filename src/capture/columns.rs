//! Records sorted by field, and back.
//!
//! Neighbouring records have little in common, but each field has much in common with
//! the same field of other records: tags hardly vary, high bytes of times and sizes
//! less so. So a piece is taken apart into columns before it is compressed. Fields are
//! moved as they stand, byte by byte: what comes back is what went in.

use prof_shared::fields;
use prof_shared::kind::{Effect, Kind};
use prof_shared::record::{CODE, CODE_BYTES, LONG, LOST, ORIGIN, STACK};
use prof_shared::varint::MAX_LEN;

/// Where a field goes.
#[derive(Clone, Copy)]
enum Column {
    Tag,
    /// Of the next three.
    Lengths,
    Time,
    Addr,
    Size,
    /// Stacks, descriptions, and all else.
    Rest,
}

/// How many there are.
pub const COLUMNS: usize = 6;

/// The columns of a piece.
pub type Columns = [Vec<u8>; COLUMNS];

/// Takes records apart. What is not records goes into the last column as it is, with
/// nothing in the first.
pub fn split(raw: &[u8], columns: &mut Columns) {
    columns.iter_mut().for_each(Vec::clear);
    let mut split = Split { raw, columns };
    while !split.raw.is_empty() {
        if record(&mut split).is_none() {
            columns.iter_mut().for_each(Vec::clear);
            columns[Column::Rest as usize].extend_from_slice(raw);
            return;
        }
    }
}

/// Puts records together again; `None` if these are no columns.
pub fn join(columns: &Columns, raw: &mut Vec<u8>) -> Option<()> {
    raw.clear();
    if columns[Column::Tag as usize].is_empty() {
        raw.extend_from_slice(&columns[Column::Rest as usize]);
        return Some(());
    }
    let mut join = Join { columns: columns.each_ref().map(Vec::as_slice), raw };
    while !join.columns[Column::Tag as usize].is_empty() {
        record(&mut join)?;
    }
    join.columns.iter().all(|column| column.is_empty()).then_some(())
}

/// Moves fields in the order in which they stand in a record.
trait Mover {
    /// What follows in `column`, or in the records.
    fn ahead(&self, column: Column) -> &[u8];
    /// Moves so many bytes; as many are ahead.
    fn forward(&mut self, column: Column, len: usize);

    #[inline(always)]
    fn byte(&mut self, column: Column) -> Option<u8> {
        let byte = *self.ahead(column).first()?;
        self.forward(column, 1);
        Some(byte)
    }

    /// A LEB128 number; its value.
    #[inline(always)]
    fn number(&mut self, column: Column) -> Option<u64> {
        let ahead = self.ahead(column);
        let len = ahead.iter().take(MAX_LEN).position(|byte| byte & 0x80 == 0)? + 1;
        let value = ahead[..len].iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
        self.forward(column, len);
        Some(value)
    }

    #[inline(always)]
    fn bytes(&mut self, column: Column, len: usize) -> Option<()> {
        (len <= self.ahead(column).len()).then(|| self.forward(column, len))
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
}

/// Moves one record; `None` if it is none. See `prof_shared::record`.
#[inline(always)]
fn record(mover: &mut impl Mover) -> Option<()> {
    use Column::{Rest, Tag};
    let tag = mover.byte(Tag)?;
    match tag {
        ORIGIN => return mover.numbers(Rest, 4),
        LOST => return mover.numbers(Rest, 2),
        CODE => return mover.numbers(Rest, 6),
        CODE_BYTES => {
            mover.number(Rest)?;
            mover.byte(Rest)?;
            mover.byte(Rest)?;
            mover.number(Rest)?;
            let len = mover.number(Rest)?;
            return mover.bytes(Rest, usize::try_from(len).ok()?);
        }
        STACK => {
            let shape = mover.byte(Rest)?;
            let mut count = |half: u8| if half == LONG { mover.number(Rest) } else { Some(u64::from(half)) };
            let (_pops, pushes) = (count(shape >> 4)?, count(shape & LONG)?);
            return (0..pushes).try_for_each(|_| {
                let [code, offset] = fields::frame_lengths(mover.byte(Rest)?);
                mover.bytes(Rest, code + offset)
            });
        }
        _ => {}
    }
    match Kind::from_tag(tag)?.effect() {
        Effect::Allocates | Effect::Unmaps => mover.fields(true),
        Effect::Frees => mover.fields(false),
        Effect::Reallocates => mover.fields(false).and_then(|()| mover.fields(true)),
        Effect::Remaps => {
            mover.fields(true).and_then(|()| mover.fields(true)).and_then(|()| mover.numbers(Rest, 1))
        }
    }
}

struct Split<'a> {
    raw: &'a [u8],
    columns: &'a mut Columns,
}

impl Mover for Split<'_> {
    #[inline(always)]
    fn ahead(&self, _: Column) -> &[u8] {
        self.raw
    }

    #[inline(always)]
    fn forward(&mut self, column: Column, len: usize) {
        let (moved, rest) = self.raw.split_at(len);
        self.columns[column as usize].extend_from_slice(moved);
        self.raw = rest;
    }
}

struct Join<'a> {
    columns: [&'a [u8]; COLUMNS],
    raw: &'a mut Vec<u8>,
}

impl Mover for Join<'_> {
    #[inline(always)]
    fn ahead(&self, column: Column) -> &[u8] {
        self.columns[column as usize]
    }

    #[inline(always)]
    fn forward(&mut self, column: Column, len: usize) {
        let (moved, rest) = self.columns[column as usize].split_at(len);
        self.raw.extend_from_slice(moved);
        self.columns[column as usize] = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prof_shared::record::{CodeField, Delta, Encoder};
    use proptest::prelude::*;

    fn encoded(write: impl FnOnce(&mut Encoder)) -> Vec<u8> {
        let (mut out, mut delta) = ([0; 2048], Delta::default());
        let mut encoder = Encoder::new(&mut out, &mut delta);
        write(&mut encoder);
        let len = encoder.len();
        out[..len].to_vec()
    }

    fn there_and_back(raw: &[u8]) -> Columns {
        let (mut columns, mut back) = (Columns::default(), vec![1]);
        split(raw, &mut columns);
        assert_eq!(join(&columns, &mut back), Some(()));
        assert_eq!(back, raw);
        columns
    }

    #[test]
    fn every_kind_comes_back() {
        let raw = encoded(|e| {
            e.origin(3, 4711, 7, 1_000_000);
            e.code(9, 12, [3, 0, 4, 5]);
            e.code_bytes(9, CodeField::Name, 1, 0, 3).copy_from_slice(b"abc");
            e.lost(1, 300);
            for kind in Kind::ALL {
                e.stack(kind as u32, 2);
                e.frame(1, -1);
                e.frame(900, 64);
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
        assert_eq!(there_and_back(&raw)[Column::Tag as usize].len(), 4 + 2 * Kind::ALL.len());
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
    fn columns_that_do_not_fit_are_refused() {
        let mut columns = there_and_back(&[1, 0, 5, 6, 7]);
        columns[Column::Size as usize].push(9);
        assert_eq!(join(&columns, &mut Vec::new()), None);
        columns[Column::Size as usize].clear();
        assert_eq!(join(&columns, &mut Vec::new()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(raw: Vec<u8>) {
            there_and_back(&raw);
        }

        #[test]
        fn any_columns_are_harmless(columns: Columns) {
            let _ = join(&columns, &mut Vec::new());
        }
    }
}
