//! The file of unwind rows, which the target maps read-only. Written with plain writes: what
//! the target reads has been there for long, or is led to by a list that comes last.

use crate::native::Table;
use prof_injector::memfd;
use prof_shared::native::{AREA, EVALUATION, Header, LISTS, List, PAGE_SHIFT, Text};
use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Bytes of address space. Memory is what is written.
pub const BYTES: u64 = 1 << 30;

/// The file as it is being written.
pub struct RowFile {
    file: File,
    end: u64,
    serial: u32,
    texts: Vec<Text>,
}

/// A module whose rows are to be added.
pub struct Placed<'a> {
    /// Its number.
    pub id: u32,
    /// Its rows.
    pub table: &'a Table,
    /// What rows count from, in the file,
    pub file_base: u64,
    /// and what is added to the file's addresses.
    pub load_bias: u64,
    /// Its executable parts in the target.
    pub text: &'a [Range<u64>],
    /// The parts of the file that evaluate Python code, ascending.
    pub evaluations: &'a [Range<u64>],
}

impl RowFile {
    /// Sizes `file` (a new memfd) and puts an empty list into it.
    pub fn create(file: File) -> io::Result<RowFile> {
        file.set_len(BYTES)?;
        memfd::seal_size(&file)?;
        if file.metadata()?.len() != BYTES {
            return Err(io::Error::other("the target changed its size"));
        }
        Ok(RowFile { file, end: AREA, serial: 0, texts: Vec::new() })
    }

    /// Adds the rows of a module, for the next list.
    pub fn add(&mut self, module: &Placed) -> io::Result<()> {
        let rows = module.table.rows();
        let bytes: Vec<u8> = rows.iter().flat_map(|row| row.to_bytes()).collect();
        let last = rows.last().map_or(0, |row| row.start >> PAGE_SHIFT);
        let pages = (0..=last + 1).map(|page| {
            let start = u64::from(page) << PAGE_SHIFT;
            rows.partition_point(|row| u64::from(row.start) <= start) as u32
        });
        let pages: Vec<u32> = pages.collect();
        let page_bytes: Vec<u8> = pages.iter().flat_map(|count| count.to_ne_bytes()).collect();
        let text = Text {
            start: 0,
            end: 0,
            base: module.load_bias.wrapping_add(module.file_base),
            rows: self.append(&bytes)?,
            pages: self.append(&page_bytes)?,
            row_count: rows.len() as u32,
            page_count: pages.len() as u32,
            module: module.id,
            file_base: module.file_base as u32,
        };
        let parts = module.text.iter().flat_map(|part| split(part, module));
        self.texts.extend(parts.map(|(part, mark)| Text {
            start: part.start,
            end: part.end,
            module: text.module | mark,
            ..text
        }));
        Ok(())
    }

    /// Leaves a module out of the next list.
    pub fn remove(&mut self, id: u32) {
        self.texts.retain(|text| text.module & !EVALUATION != id);
    }

    /// Makes a list of all that is there and has the target use it.
    pub fn publish(&mut self) -> io::Result<()> {
        self.texts.sort_by_key(|text| text.start);
        // Where addresses are used again the newer module counts.
        self.texts.dedup_by(|next, previous| next.start < previous.end);
        let bytes: Vec<u8> = self.texts.iter().flat_map(Text::to_bytes).collect();
        self.serial += 1;
        let list = List { offset: self.append(&bytes)?, count: self.texts.len() as u32, serial: self.serial };
        let index = (self.serial as usize % LISTS) as u8;
        self.file.write_all_at(&list.to_bytes(), List::at(index))?;
        // One byte, which cannot tear.
        self.file.write_all_at(&[index], offset_of!(Header, current) as u64)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let offset = self.end;
        let end = offset + (bytes.len() as u64).next_multiple_of(8);
        if end > BYTES {
            return Err(io::Error::other("the table of unwind rows is full"));
        }
        self.file.write_all_at(bytes, offset)?;
        self.end = end;
        Ok(offset)
    }
}

/// An executable part, cut where the evaluation of Python code begins and ends.
fn split(part: &Range<u64>, module: &Placed) -> Vec<(Range<u64>, u32)> {
    let mut cut = Vec::new();
    let mut at = part.start;
    for range in module.evaluations {
        let place = |addr: u64| addr.wrapping_add(module.load_bias).clamp(at, part.end.max(at));
        let (start, end) = (place(range.start), place(range.end));
        cut.extend([(at..start, 0), (start..end, EVALUATION)]);
        at = end;
    }
    cut.push((at..part.end, 0));
    cut.retain(|(range, _)| !range.is_empty());
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_cut_at_evaluations() {
        let table = Table::default();
        let module = Placed {
            id: 1,
            table: &table,
            file_base: 0,
            load_bias: 1000,
            text: &[],
            evaluations: &[10..20, 20..30, 90..200],
        };
        let expected = [
            (1000..1010, 0),
            (1010..1020, EVALUATION),
            (1020..1030, EVALUATION),
            (1030..1090, 0),
            (1090..1100, EVALUATION),
        ];
        assert_eq!(split(&(1000..1100), &module), expected);
        assert_eq!(split(&(1200..1300), &module), [(1200..1300, 0)]);
        assert_eq!(split(&(1012..1015), &module), [(1012..1015, EVALUATION)]);
    }
}
