//! A reader of DWARF that pays for every step.
//!
//! `gimli` never reads outside a section, but a small file can ask for endless work: many
//! units that share one long table, names without an end, functions nested into each other
//! a million deep. Everything that is read through [`Metered`] is charged to one [`Meter`];
//! when that is empty, or the stack has grown too far, each read fails and what is asked
//! for has no answer.

use gimli::{EndianSlice, LittleEndian, Reader, ReaderOffsetId, Result};
use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How far the stack may grow below [`Meter::mark`]. Inlined functions are read by
/// recursion; a level takes less than a kilobyte.
const STACK_BYTES: usize = 512 << 10;
/// `gimli` reserves room for as many directories and files as the header of a line program
/// has bytes; nothing but that is cut by [`Reader::truncate`] in what is read here.
const LONGEST_LINE_HEADER: usize = 4 << 20;
/// Bytes that are searched or skipped for the price of one that is read.
const BYTES_PER_STEP: usize = 16;

/// What reading may still cost.
#[derive(Debug)]
pub(super) struct Meter {
    left: AtomicUsize,
    stack: AtomicUsize,
}

impl Meter {
    pub fn new(steps: usize) -> Meter {
        Meter { left: AtomicUsize::new(steps), stack: AtomicUsize::new(stack_pointer()) }
    }

    /// The stack is measured from here.
    pub fn mark(&self) {
        self.stack.store(stack_pointer(), Relaxed);
    }

    /// Whether nothing can be read any more.
    pub fn is_empty(&self) -> bool {
        self.left.load(Relaxed) == 0
    }

    fn charge(&self, steps: usize) -> Result<()> {
        let is_deep = self.stack.load(Relaxed).saturating_sub(stack_pointer()) > STACK_BYTES;
        let left = if is_deep { 0 } else { self.left.load(Relaxed).saturating_sub(steps) };
        self.left.store(left, Relaxed);
        if left == 0 { Err(gimli::Error::UnexpectedEof(ReaderOffsetId(0))) } else { Ok(()) }
    }
}

#[cfg(test)]
impl Meter {
    pub fn left(&self) -> usize {
        self.left.load(Relaxed)
    }
}

/// About where the stack ends now; it grows downwards.
#[inline(always)]
fn stack_pointer() -> usize {
    let here = 0u8;
    std::hint::black_box(&raw const here).addr()
}

/// Bytes of a section, and who is charged.
#[derive(Clone, Debug)]
pub(super) struct Metered<'a> {
    bytes: EndianSlice<'a, LittleEndian>,
    meter: &'a Meter,
}

impl<'a> Metered<'a> {
    pub fn new(bytes: &'a [u8], meter: &'a Meter) -> Metered<'a> {
        Metered { bytes: EndianSlice::new(bytes, LittleEndian), meter }
    }

    /// All that is left, for nothing.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes.slice()
    }
}

impl Reader for Metered<'_> {
    type Endian = LittleEndian;
    type Offset = usize;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn empty(&mut self) {
        self.bytes.empty();
    }

    fn truncate(&mut self, len: usize) -> Result<()> {
        if len > LONGEST_LINE_HEADER {
            return Err(gimli::Error::UnexpectedEof(self.offset_id()));
        }
        self.bytes.truncate(len)
    }

    fn offset_from(&self, base: &Self) -> usize {
        self.bytes.offset_from(base.bytes)
    }

    fn offset_id(&self) -> ReaderOffsetId {
        self.bytes.offset_id()
    }

    fn lookup_offset_id(&self, id: ReaderOffsetId) -> Option<usize> {
        self.bytes.lookup_offset_id(id)
    }

    fn find(&self, byte: u8) -> Result<usize> {
        let found = self.bytes.find(byte);
        self.meter.charge(1 + found.unwrap_or(self.len()) / BYTES_PER_STEP)?;
        found.ok_or(gimli::Error::UnexpectedEof(self.offset_id()))
    }

    fn skip(&mut self, len: usize) -> Result<()> {
        self.meter.charge(1)?;
        self.bytes.skip(len)
    }

    fn split(&mut self, len: usize) -> Result<Self> {
        self.meter.charge(1)?;
        Ok(Metered { bytes: self.bytes.split(len)?, meter: self.meter })
    }

    fn to_slice(&self) -> Result<Cow<'_, [u8]>> {
        self.meter.charge(self.len())?;
        self.bytes.to_slice()
    }

    fn to_string(&self) -> Result<Cow<'_, str>> {
        self.meter.charge(self.len())?;
        Reader::to_string(&self.bytes)
    }

    fn to_string_lossy(&self) -> Result<Cow<'_, str>> {
        self.meter.charge(self.len())?;
        Reader::to_string_lossy(&self.bytes)
    }

    fn read_slice(&mut self, out: &mut [u8]) -> Result<()> {
        self.meter.charge(1)?;
        self.bytes.read_slice(out)
    }
}
