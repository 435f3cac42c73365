//! The table of unwind rows as it lies in this process, read-only.

use crate::memory::load;
use core::mem::{align_of, offset_of};
use core::slice;
use prof_shared::native::{Header, LISTS, List, Text, row_of, text_of};
use prof_shared::region::Region;
use prof_shared::row::Row;

/// The list of text that is current, for one walk.
pub struct Rows {
    base: u64,
    bytes: u64,
    texts: &'static [Text],
    /// Which list it is.
    pub list: u32,
}

impl Rows {
    /// The table of `region`, which has one.
    pub fn of(region: &Region) -> Rows {
        let (base, bytes) = (region.native, region.native_bytes);
        // SAFETY: the attacher mapped the table before it let any hook run, and unmaps it only
        // when no thread is inside. Bytes are read, which cannot tear.
        let list: List = unsafe {
            let current = usize::from(load::<u8>(base + offset_of!(Header, current) as u64)) % LISTS;
            load(base + List::at(current as u8))
        };
        let mut rows = Rows { base, bytes, texts: &[], list: list.serial };
        rows.texts = rows.slice(list.offset, list.count);
        rows
    }

    /// The text that holds `pc`.
    pub fn text(&self, pc: u64) -> Option<&'static Text> {
        text_of(self.texts, pc)
    }

    /// The row for `pc` in its text.
    pub fn row(&self, text: &Text, pc: u64) -> Option<&'static Row> {
        let rows = self.slice(text.rows, text.row_count);
        row_of(rows, self.slice(text.pages, text.page_count), pc.wrapping_sub(text.base))
    }

    /// What lies at `offset`; nothing if that is not within the table.
    fn slice<T>(&self, offset: u64, count: u32) -> &'static [T] {
        let bytes = u64::from(count) * size_of::<T>() as u64;
        let fits = offset <= self.bytes && bytes <= self.bytes - offset;
        if !fits || !offset.is_multiple_of(align_of::<T>() as u64) {
            return &[];
        }
        // SAFETY: it is within the mapping, aligned, and any bytes are values of these types.
        unsafe { slice::from_raw_parts((self.base + offset) as *const T, count as usize) }
    }
}
