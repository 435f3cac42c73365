//! Records sorted by field, and back.
//!
//! Neighbouring records have little in common, but each field has much in common with
//! the same field of other records: tags hardly vary, high bytes of times and sizes
//! less so. So a piece is taken apart into columns before it is compressed. Fields are
//! moved as they stand, byte by byte: what comes back is what went in.

use prof_shared::kind::{Effect, Kind};
use prof_shared::record::{CODE, CODE_BYTES, LOST, ORIGIN, STACK};
use prof_shared::varint::MAX_LEN;

/// Where a field goes.
#[derive(Clone, Copy)]
enum Column {
    Tag,
    Time,
    Addr,
    Size,
    /// Stacks, descriptions, and all else.
    Rest,
}

/// How many there are.
pub const COLUMNS: usize = 5;

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
    fn numbers(&mut self, column: Column, count: u64) -> Option<()> {
        (0..count).try_for_each(|_| self.number(column).map(drop))
    }
}

/// Moves one record; `None` if it is none. See `prof_shared::record`.
#[inline(always)]
fn record(mover: &mut impl Mover) -> Option<()> {
    use Column::{Addr, Rest, Size, Tag, Time};
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
            let len = usize::try_from(mover.number(Rest)?).ok()?;
            (len <= mover.ahead(Rest).len()).then(|| mover.forward(Rest, len))?;
            return Some(());
        }
        _ => {}
    }
    let kind = Kind::from_tag(tag & !STACK)?;
    if tag & STACK != 0 {
        mover.number(Rest)?;
        let pushes = mover.number(Rest)?;
        mover.numbers(Rest, pushes.checked_mul(2)?)?;
    }
    let fields: &[Column] = match kind.effect() {
        Effect::Allocates | Effect::Unmaps => &[Time, Addr, Size],
        Effect::Frees => &[Time, Addr],
        Effect::Reallocates => &[Time, Addr, Time, Addr, Size],
        Effect::Remaps => &[Time, Addr, Size, Time, Addr, Size, Rest],
    };
    fields.iter().try_for_each(|&field| mover.number(field).map(drop))
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
        let (mut out, mut delta) = ([0; 512], Delta::default());
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
                e.tag_stack(kind, 1, 2);
                e.frame(1, -1);
                e.frame(900, 64);
                let fields = match kind.effect() {
                    Effect::Allocates | Effect::Unmaps => 3,
                    Effect::Frees => 2,
                    Effect::Reallocates => 5,
                    Effect::Remaps => 7,
                };
                (0..fields).for_each(|at| e.number(1 << (at * 9)));
            }
        });
        assert_eq!(there_and_back(&raw)[Column::Tag as usize].len(), 4 + Kind::ALL.len());
        let cut = there_and_back(&raw[..raw.len() - 1]);
        assert!(cut[Column::Tag as usize].is_empty(), "what is not records stays as it is");
    }

    #[test]
    fn fields_are_sorted() {
        let raw = encoded(|e| {
            e.tag(Kind::Malloc);
            [5, 300, 1024].into_iter().for_each(|field| e.number(field));
            e.tag(Kind::Free);
            [6, 7].into_iter().for_each(|field| e.number(field));
            e.tag(Kind::Mremap);
            (1..8).for_each(|field| e.number(field));
        });
        let columns = there_and_back(&raw);
        let expected: [&[u8]; COLUMNS] =
            [&[1, 10, 13], &[5, 6, 1, 4], &[0xac, 2, 7, 2, 5], &[0x80, 8, 3, 6], &[7]];
        assert_eq!(columns, expected.map(<[u8]>::to_vec));
    }

    #[test]
    fn columns_that_do_not_fit_are_refused() {
        let mut columns = there_and_back(&[1, 5, 6, 7]);
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
