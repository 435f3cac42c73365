//! The file of unwind rows, which the target maps read-only. Written with plain writes: what
//! the target reads has been there for long, or is led to by a list that comes last.

use crate::native::Table;
use prof_injector::memfd;
use prof_shared::native::{AREA, EVALUATION, Header, LISTS, List, PAGE_SHIFT, Text};
use prof_shared::region::PAGE;
use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Address space that it takes of the target, as far as that can be told beforehand.
pub const USUAL_BYTES: u64 = 64 << 20;
/// What there is room for besides as much again as there is at first: modules that come later.
const SPARE_BYTES: u64 = 16 << 20;
/// It has no more than this.
const MOST_BYTES: u64 = 512 << 20;

/// The file as it is being written.
pub struct RowFile {
    file: File,
    end: u64,
    /// How long it may get.
    bytes: u64,
    serial: u32,
    texts: Vec<Text>,
}

/// Rows that are in the file.
#[derive(Clone, Copy, Debug)]
pub struct Written(Text);

/// Where a module lies whose rows are in the file.
pub struct Placed<'a> {
    /// Its number.
    pub id: u32,
    /// Its rows.
    pub rows: Written,
    /// What is added to the file's addresses.
    pub load_bias: u64,
    /// Its executable parts in the target.
    pub text: &'a [Range<u64>],
    /// The parts of the file that evaluate Python code, ascending.
    pub evaluations: &'a [Range<u64>],
}

impl RowFile {
    /// Begins with nothing, in `file`, a new memfd.
    pub fn new(file: File) -> RowFile {
        RowFile { file, end: AREA, bytes: MOST_BYTES, serial: 0, texts: Vec::new() }
    }

    /// Gives the file the length that it keeps, before anybody maps it. Returns it.
    pub fn seal(&mut self) -> io::Result<u64> {
        self.bytes = (2 * self.end + SPARE_BYTES).next_multiple_of(PAGE);
        self.file.set_len(self.bytes)?;
        memfd::seal_size(&self.file)?;
        match self.file.metadata()?.len() == self.bytes {
            true => Ok(self.bytes),
            false => Err(io::Error::other("the target changed its size")),
        }
    }

    /// Adds the rows of a file, which count from `file_base` in it.
    pub fn write(&mut self, table: &Table, file_base: u64) -> io::Result<Written> {
        let rows = table.rows();
        let bytes: Vec<u8> = rows.iter().flat_map(|row| row.to_bytes()).collect();
        let last = rows.last().map_or(0, |row| row.start >> PAGE_SHIFT);
        let pages = (0..=last + 1).map(|page| {
            let start = u64::from(page) << PAGE_SHIFT;
            rows.partition_point(|row| u64::from(row.start) <= start) as u32
        });
        let pages: Vec<u32> = pages.collect();
        let page_bytes: Vec<u8> = pages.iter().flat_map(|count| count.to_ne_bytes()).collect();
        Ok(Written(Text {
            rows: self.append(&bytes)?,
            pages: self.append(&page_bytes)?,
            row_count: rows.len() as u32,
            page_count: pages.len() as u32,
            file_base: file_base as u32,
            ..Text::default()
        }))
    }

    /// Puts a module into the next list.
    pub fn add(&mut self, module: &Placed) {
        let text = module.rows.0;
        let base = module.load_bias.wrapping_add(u64::from(text.file_base));
        let parts = module.text.iter().flat_map(|part| split(part, module));
        self.texts.extend(parts.map(|(part, mark)| Text {
            start: part.start,
            end: part.end,
            base,
            module: module.id | mark,
            ..text
        }));
    }

    /// Leaves a module out of the next list.
    pub fn remove(&mut self, id: u32) {
        self.texts.retain(|text| text.module & !EVALUATION != id);
    }

    /// Makes a list of all that is there and has the target use it.
    pub fn publish(&mut self) -> io::Result<()> {
        self.texts.sort_by_key(|text| text.start);
        let mut texts = self.texts.clone();
        // One that lies where another does has its turn when that is gone.
        texts.dedup_by(|next, previous| next.start < previous.end);
        let bytes: Vec<u8> = texts.iter().flat_map(Text::to_bytes).collect();
        self.serial += 1;
        let list = List { offset: self.append(&bytes)?, count: texts.len() as u32, serial: self.serial };
        let index = (self.serial as usize % LISTS) as u8;
        self.file.write_all_at(&list.to_bytes(), List::at(index))?;
        // One byte, which cannot tear.
        self.file.write_all_at(&[index], offset_of!(Header, current) as u64)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let offset = self.end;
        let end = offset + (bytes.len() as u64).next_multiple_of(8);
        if end > self.bytes {
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
        let module = Placed {
            id: 1,
            rows: Written(Text::default()),
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
    /// What is written is found as hooks find it.
    #[test]
    fn rows_are_found_again() {
        let bytes = std::fs::read(std::env::current_exe().expect("it runs")).expect("it can be read");
        let mut rules = crate::native::Rules::parse(bytes).expect("it has rules");
        let (table, file_base) = (rules.table().expect("it has rules"), rules.text());
        let mut rows = RowFile::new(memfd::create("prof-test").expect("memory files can be made"));
        let written = rows.write(&table, file_base).expect("there is room");
        let load_bias = 0x7000_0000_0000;
        let text = load_bias + file_base..load_bias + (1 << 30);
        rows.add(&Placed {
            id: 7,
            rows: written,
            load_bias,
            text: std::slice::from_ref(&text),
            evaluations: &[],
        });
        let length = rows.seal().expect("it is new");
        rows.publish().expect("there is room");
        let mut image = vec![0; length as usize];
        rows.file.read_exact_at(&mut image, 0).expect("it is that long");
        let half = |at: usize| u32::from_ne_bytes(image[at..at + 4].try_into().expect("of four"));
        let list = List::at(image[0]) as usize;
        let at = half(list) as usize;
        let [first, pages, count] = [at + 24, at + 32, at + 40].map(half);
        assert_eq!((half(list + 8), count as usize), (1, table.rows().len()));
        for (index, row) in table.rows().iter().enumerate().step_by(97) {
            let page = pages as usize + 4 * (row.start as usize >> PAGE_SHIFT);
            assert!(half(page) as usize <= index + 1 && index < half(page + 4) as usize);
            assert_eq!(image[first as usize + 12 * index..][..12], row.to_bytes());
        }
    }
}
