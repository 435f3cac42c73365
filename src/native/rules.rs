//! The unwind rules of one module, found one pc at a time.

use super::compile::Compiler;
use super::header::{Entry, Header};
use super::layout::Layout;
use super::{Error, Table};
use gimli::{BaseAddresses, EhFrame, EndianSlice, FrameDescriptionEntry, LittleEndian};
use gimli::{UnwindContext, UnwindSection};
use prof_shared::row::{Base, Row};

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// The `.eh_frame` of one ELF file. Addresses are the file's own, without load bias.
pub struct Rules<D> {
    data: D,
    layout: Layout,
    context: UnwindContext<usize>,
}

impl<D: AsRef<[u8]>> Rules<D> {
    /// Finds the unwind information of an ELF file, or of its image in memory
    /// where that has the file's layout (vDSO).
    pub fn parse(data: D) -> Result<Rules<D>, Error> {
        let layout = Layout::parse(data.as_ref())?;
        Ok(Rules { data, layout, context: UnwindContext::new() })
    }

    /// Reads every page of the unwind information, so that none comes from a disk while a
    /// thread is held for its row.
    pub fn fetch(&self) {
        const PAGE: usize = 4096;
        let data = self.data.as_ref();
        for part in [&self.layout.header.bytes, &self.layout.frames.bytes] {
            for page in data[part.clone()].chunks(PAGE) {
                std::hint::black_box(page[0]);
            }
        }
    }

    /// Start of the text, which rows count from.
    pub fn text(&self) -> u64 {
        self.layout.text
    }

    /// The row for `pc`; its `start` counts from the module's text. `None` if
    /// there is no rule, or none that a row can say. Takes about a microsecond.
    pub fn row(&mut self, pc: u64) -> Option<Row> {
        let parts = Parts::new(self.data.as_ref(), &self.layout);
        let fde = parts.fde(parts.header().find(pc)?)?;
        let rules = fde.unwind_info_for_address(&parts.frames, &parts.bases, &mut self.context, pc).ok()?;
        parts.compiler(&fde).row(parts.relative(rules.start_address())?, rules)
    }

    /// The rows of the whole module.
    pub fn table(&mut self) -> Result<Table, Error> {
        let parts = Parts::new(self.data.as_ref(), &self.layout);
        let header = parts.header();
        let mut builder = Builder { rows: Vec::new(), work: 0, limit: self.data.as_ref().len() * 8 };
        let ends = header.entries().skip(1).map(|next| next.start).chain([u64::MAX]);
        for (entry, end) in header.entries().zip(ends) {
            if entry.start > end {
                return Err(Error::Unsorted);
            }
            builder.add(&parts, entry, end, &mut self.context)?;
        }
        Ok(Table::new(builder.rows))
    }
}

#[cfg(test)]
impl<D> Rules<D> {
    pub(super) fn header_bytes(&self) -> std::ops::Range<usize> {
        self.layout.header.bytes.clone()
    }

    pub(super) fn frames_bytes(&self) -> std::ops::Range<usize> {
        self.layout.frames.bytes.clone()
    }
}

/// The module's parts as gimli wants them.
struct Parts<'a> {
    layout: &'a Layout,
    header: &'a [u8],
    frames: EhFrame<Slice<'a>>,
    bases: BaseAddresses,
}

impl<'a> Parts<'a> {
    fn new(data: &'a [u8], layout: &'a Layout) -> Parts<'a> {
        let frames = EhFrame::new(&data[layout.frames.bytes.clone()], LittleEndian);
        let bases = BaseAddresses::default().set_eh_frame(layout.frames.addr).set_text(layout.text);
        Parts { layout, header: &data[layout.header.bytes.clone()], frames, bases }
    }

    fn header(&self) -> Header<'a> {
        Header::new(self.header, self.layout.header.addr)
    }

    /// The frame description of an entry, if it is well-formed and begins where
    /// the entry says.
    fn fde(&self, entry: Entry) -> Option<FrameDescriptionEntry<Slice<'a>>> {
        let offset = usize::try_from(entry.fde.checked_sub(self.layout.frames.addr)?).ok()?;
        let fde = self.frames.fde_from_offset(&self.bases, offset.into(), EhFrame::cie_from_offset).ok()?;
        (fde.initial_address() == entry.start).then_some(fde)
    }

    fn compiler(&self, fde: &FrameDescriptionEntry<Slice<'a>>) -> Compiler<'_, EhFrame<Slice<'a>>> {
        let encoding = fde.cie().encoding();
        Compiler { section: &self.frames, encoding, is_signal: fde.is_signal_trampoline() }
    }

    fn relative(&self, pc: u64) -> Option<u32> {
        u32::try_from(pc.checked_sub(self.layout.text)?).ok()
    }
}

/// Collects rows in ascending order. Entries may share bytes in a hostile file,
/// so the bytes decoded are counted: rows and time stay linear in the file.
struct Builder {
    rows: Vec<Row>,
    work: usize,
    limit: usize,
}

impl Builder {
    /// Adds the rows of one entry, none of them at or behind `end`.
    fn add(
        &mut self,
        parts: &Parts,
        entry: Entry,
        end: u64,
        context: &mut UnwindContext<usize>,
    ) -> Result<(), Error> {
        let Some(start) = parts.relative(entry.start) else { return Ok(()) };
        self.push(Row::new(start, Base::UNSUPPORTED, 0));
        let Some(fde) = parts.fde(entry) else { return Ok(()) };
        self.work = self.work.saturating_add(fde.entry_len()).saturating_add(fde.cie().entry_len());
        if self.work > self.limit {
            return Err(Error::Excessive);
        }
        let compiler = parts.compiler(&fde);
        let mut covered = entry.start;
        if let Ok(mut rules) = fde.rows(&parts.frames, &parts.bases, context) {
            while let Ok(Some(rule)) = rules.next_row() {
                if rule.start_address() >= end {
                    return Ok(());
                }
                let Some(start) = parts.relative(rule.start_address()) else { break };
                let row = compiler.row(start, rule);
                self.push(row.unwrap_or(Row::new(start, Base::UNSUPPORTED, 0)));
                covered = rule.end_address();
            }
        }
        if let Some(start) = parts.relative(covered).filter(|_| covered < end) {
            self.push(Row::new(start, Base::UNSUPPORTED, 0));
        }
        Ok(())
    }

    /// Adds a row; an empty one before it gives way, an equal one goes on.
    fn push(&mut self, row: Row) {
        while self.rows.last().is_some_and(|last| last.start >= row.start) {
            self.rows.pop();
        }
        if !self.rows.last().is_some_and(|last| last.has_rule_of(&row)) {
            self.rows.push(row);
        }
    }
}
