//! The table of unwind rows: written by the attacher, read by hooks, never moved.
//!
//! ```text
//!  HEADER page   current:byte ─► one of the lists
//!                lists  [where, count] × LISTS        the latest ones
//!  AREA …        rows of modules, their pages, lists of text: only ever added to
//!
//!  pc ─► Text of a list (binary search) ─► pages[pc / 4096] ─► Row (binary search in a page)
//! ```
//!
//! Whoever reads a list finds all of it, for nothing that a list leads to changes. A list is
//! made current by one byte, which cannot tear. A reader that was asleep while all lists
//! were replaced may find a list half written: numbers are checked, so it finds no row, or a
//! wrong one, as after an address was reused.

use crate::row::Row;
use core::sync::atomic::AtomicU8;

/// Number of lists that are kept.
pub const LISTS: usize = 128;
/// Offset of the area.
pub const AREA: u64 = 4096;
/// Bytes of a page of text are `1 << PAGE_SHIFT`.
pub const PAGE_SHIFT: u32 = 12;

/// In [`Text::module`], and so in frames: code that evaluates Python code.
pub const EVALUATION: u32 = 1 << 31;
/// The module of our own code, whose frames are not shown.
pub const OWN: u32 = EVALUATION - 1;

/// The module of a frame that stands for what is missing at the root; its offset says why.
pub const MISSING: u32 = 0;

/// Why a native stack ends before its root.
pub mod missing {
    /// At a place of which nothing is known: code made at run time, a module just loaded.
    pub const UNKNOWN: u32 = 1;
    /// At a rule that cannot be followed.
    pub const STUCK: u32 = 2;
    /// It has more frames than are remembered, or fit.
    pub const DEEP: u32 = 3;
    /// The thread is on a stack that is not its own.
    pub const ELSEWHERE: u32 = 4;
    /// Python's frames and the native ones do not belong together. Found by the reader.
    pub const APART: u32 = 5;
    /// None was sent.
    pub const NONE: u32 = 6;
}

/// The first page of the table.
#[repr(C)]
pub struct Header {
    /// Index of the list to take.
    pub current: AtomicU8,
    reserved: [u8; 15],
    /// The lists.
    pub lists: [List; LISTS],
}

/// Where a list of [`Text`] is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Its offset in the table.
    pub offset: u64,
    /// Its elements, ascending.
    pub count: u32,
    /// Counts the lists, so that two can be told apart.
    pub serial: u32,
}

/// A range of code and where its rows are.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// First address,
    pub start: u64,
    /// and the one behind the last.
    pub end: u64,
    /// The address that rows count from.
    pub base: u64,
    /// Offset of the rows in the table.
    pub rows: u64,
    /// Offset of the pages in the table: for each page of text, from `base` on, how many rows
    /// start at or before it.
    pub pages: u64,
    /// Number of rows.
    pub row_count: u32,
    /// Number of pages.
    pub page_count: u32,
    /// Number of the module, with [`EVALUATION`].
    pub module: u32,
    /// What `base` is in the module's file.
    pub file_base: u32,
}

const _: () = assert!(size_of::<Header>() <= AREA as usize);
const _: () = assert!(size_of::<Text>() == 56);

impl List {
    /// As it lies in the table.
    pub fn to_bytes(&self) -> [u8; size_of::<List>()] {
        let mut bytes = [0; size_of::<List>()];
        bytes[..8].copy_from_slice(&self.offset.to_ne_bytes());
        bytes[8..12].copy_from_slice(&self.count.to_ne_bytes());
        bytes[12..].copy_from_slice(&self.serial.to_ne_bytes());
        bytes
    }

    /// Where the list of that index is in the table.
    pub const fn at(index: u8) -> u64 {
        core::mem::offset_of!(Header, lists) as u64 + index as u64 * size_of::<List>() as u64
    }
}

impl Text {
    /// As it lies in the table.
    pub fn to_bytes(&self) -> [u8; size_of::<Text>()] {
        let mut bytes = [0; size_of::<Text>()];
        let words = [self.start, self.end, self.base, self.rows, self.pages];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        let halves = [self.row_count, self.page_count, self.module, self.file_base];
        for (place, half) in bytes[40..].chunks_exact_mut(4).zip(halves) {
            place.copy_from_slice(&half.to_ne_bytes());
        }
        bytes
    }
}

/// The range that `pc` lies in.
#[inline(always)]
pub fn text_of(texts: &[Text], pc: u64) -> Option<&Text> {
    let text = texts.get(texts.partition_point(|text| text.end <= pc))?;
    (text.start <= pc).then_some(text)
}

/// The row of the place `at` from where rows count.
#[inline(always)]
pub fn row_of<'a>(rows: &'a [Row], pages: &[u32], at: u64) -> Option<&'a Row> {
    let page = (at >> PAGE_SHIFT) as usize;
    let low = *pages.get(page)? as usize;
    let high = pages.get(page + 1).map_or(rows.len(), |&count| count as usize);
    let within = rows.get(low..high)?;
    let behind = low + within.partition_point(|row| u64::from(row.start) <= at);
    rows.get(behind.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Base;

    #[test]
    fn rows_are_found_by_page() {
        let starts = [0x10, 0x20, 0xfff, 0x1000, 0x1800, 0x5000];
        let rows = starts.map(|start| Row::new(start, Base::SP, 8));
        let pages: [u32; 7] =
            core::array::from_fn(|page| starts.partition_point(|&start| start as usize <= page << 12) as u32);
        for at in (0..0x6800).step_by(0x8) {
            let expected = starts.partition_point(|&start| u64::from(start) <= at).checked_sub(1);
            assert_eq!(row_of(&rows, &pages, at), expected.map(|index| &rows[index]), "{at:#x}");
        }
        assert_eq!(row_of(&rows, &pages, 0x7000), None);
        assert_eq!(row_of(&rows, &[5, 3, 99], 0x500), None, "pages that lie");
        assert_eq!(row_of(&rows, &[0, 3, 99], 0x1500), None);
    }

    #[test]
    fn texts_are_found_by_address() {
        let text = |start, end| Text { start, end, ..Text::default() };
        let texts = [text(10, 20), text(20, 30), text(40, 50)];
        for (pc, expected) in [(9, None), (10, Some(0)), (20, Some(1)), (30, None), (49, Some(2)), (50, None)]
        {
            assert_eq!(text_of(&texts, pc), expected.map(|index: usize| &texts[index]), "{pc}");
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let text = Text {
            start: 1,
            end: 2,
            base: 3,
            rows: 4,
            pages: 5,
            row_count: 6,
            page_count: 7,
            module: 8,
            file_base: 9,
        };
        let bytes = text.to_bytes();
        let fields = [
            (core::mem::offset_of!(Text, pages), 5),
            (core::mem::offset_of!(Text, row_count), 6),
            (core::mem::offset_of!(Text, page_count), 7),
            (core::mem::offset_of!(Text, module), 8),
            (core::mem::offset_of!(Text, file_base), 9),
        ];
        assert!(fields.iter().all(|&(at, value)| bytes[at] == value), "{bytes:?}");
        let list = List { offset: 1, count: 2, serial: 3 }.to_bytes();
        assert_eq!((list[0], list[8], list[12]), (1, 2, 3));
    }
}
