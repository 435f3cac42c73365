//! The bytes of one record, as the payload writes and the attacher reads them.
//!
//! ```text
//!  chunk  = Origin record*                     delta state starts afresh here
//!  event  = tag (time address [size])*         tag = kind
//!  Stack  = tag shape (code-id offset)*        of the events that follow; root side first
//!  Native = tag shape (module offset)*         the same of native frames
//!  time   = ticks since the previous event of the chunk
//!  address= difference to the previous address, see `fold`
//! ```
//!
//! A tick is `tsc >> shift`; the shift stands in the capture. A decoder that meets a
//! tag it does not know stops rather than guesses.

use crate::fields::{self, Column, Source};
use crate::kind::{Effect, Kind};
use crate::varint::{self, unzigzag, zigzag};

/// Tag of [`Record::Origin`].
pub const ORIGIN: u8 = 24;
/// Tag of [`Record::Lost`].
pub const LOST: u8 = 25;
/// Tag of [`Record::Code`].
pub const CODE: u8 = 26;
/// Tag of [`Record::CodeBytes`].
pub const CODE_BYTES: u8 = 27;
/// Tag of [`Record::Stack`].
pub const STACK: u8 = 32;
/// Tag of a [`Record::Origin`] in a forked process.
pub const ORIGIN_OF_CHILD: u8 = 33;
/// Tag of [`Record::Sampling`].
pub const SAMPLING: u8 = 34;
/// Tag of [`Record::Passed`].
pub const PASSED: u8 = 35;
/// Tag of [`Record::Native`].
pub const NATIVE: u8 = 36;

/// The most bytes of an event.
pub const EVENT_MAX: usize = 1 + 2 * fields::ROOM + 5;
/// The most bytes of a [`Record::Stack`] without its frames.
pub const STACK_MAX: usize = 1 + 1 + 2 * 5;
/// The most bytes of one pushed frame.
pub const FRAME_MAX: usize = fields::FRAME_ROOM;
/// The most bytes of an [`Record::Origin`].
pub const ORIGIN_MAX: usize = 1 + 6 * 5 + varint::MAX_LEN;
/// The most bytes of a [`Record::Lost`].
pub const LOST_MAX: usize = 1 + 2 * varint::MAX_LEN;
/// The most bytes of a [`Record::Sampling`].
pub const SAMPLING_MAX: usize = 1 + varint::MAX_LEN;
/// The most bytes of a [`Record::Passed`].
pub const PASSED_MAX: usize = 1 + 2 * varint::MAX_LEN;
/// The most bytes of a [`Record::Code`].
pub const CODE_MAX: usize = 1 + 5 * 6;
/// The most bytes of a [`Record::CodeBytes`] besides its text.
pub const CODE_BYTES_HEAD_MAX: usize = 1 + 5 + 1 + 1 + 5 + 5;

/// The most characters of a name or path of a code object that are kept. One more is
/// sent of a longer one, so that a reader sees that it was cut.
pub const NAME_MAX: u32 = 4096;
/// In a half of a stack's shape byte: the number follows.
pub const LONG: u8 = 15;

/// The code id of the frame that stands for everything cut off at the root.
pub const TRUNCATED: u32 = 0;

/// The offset of a frame of [`TRUNCATED`] that stands for what lies between the evaluation of
/// one Python function and that of the next (3.12 and later); no one's frame. Only where
/// native stacks are recorded.
pub const SHIM_OFFSET: i32 = 0;

/// A text of a code object.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeField {
    /// `co_name`.
    Name = 0,
    /// `co_qualname`; empty before CPython 3.11.
    QualifiedName = 1,
    /// `co_filename`.
    File = 2,
    /// `co_lnotab` or `co_linetable`, raw bytes.
    LineTable = 3,
}

impl CodeField {
    /// Every field, in the order of the discriminants.
    pub const ALL: [CodeField; 4] =
        [CodeField::Name, CodeField::QualifiedName, CodeField::File, CodeField::LineTable];
}

/// One decoded record. Times are absolute ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// First in every chunk: whose it is.
    Origin {
        /// The process; by default that which recording began with.
        process: Process,
        /// Serial number of the thread within the recording (never reused).
        thread: u32,
        /// The kernel's id of the thread, in the target's pid namespace.
        tid: u32,
        /// Number of the chunk among the thread's, from 0, ascending.
        sequence: u32,
        /// Where the chunk's clock starts.
        ticks: u64,
    },
    /// Events of this thread that found no room since its previous record.
    Lost {
        /// Allocations dropped.
        allocations: u64,
        /// Frees dropped.
        frees: u64,
    },
    /// Of the blocks that this chunk tells of only samples are recorded.
    Sampling {
        /// The mean number of bytes between two samples.
        interval: u64,
    },
    /// Allocations of this thread since its previous record that were no samples.
    Passed {
        /// How many.
        allocations: u64,
        /// The bytes asked for.
        bytes: u64,
    },
    /// A code object is about to be described.
    Code {
        /// Its id within the recording (never reused, never 0).
        id: u32,
        /// `co_firstlineno`.
        first_line: u32,
        /// Length in bytes of each [`CodeField`].
        lengths: [u32; 4],
    },
    /// A piece of one of its texts.
    CodeBytes {
        /// The code object's id.
        id: u32,
        /// Which text; as sent, so a decoder checks it.
        field: u8,
        /// Bytes per character: 1 (Latin-1), 2 or 4 (native order).
        width: u8,
        /// Where in the text this piece starts, in bytes.
        offset: u32,
        /// The piece.
        bytes: &'a [u8],
    },
    /// The stack of the events that follow differs from that before.
    Stack {
        /// Frames to take off at the leaf.
        pops: u32,
        /// Frames to put on, root side first. A flag: an evaluation begins with it.
        pushes: Frames<'a>,
    },
    /// The native stack of the events that follow differs from that before. Instead of code
    /// ids there are numbers of modules, instead of offsets, less one, addresses in their files.
    Native {
        /// Frames to take off at the leaf.
        pops: u32,
        /// Frames to put on, root side first. A flag: it evaluates Python code.
        pushes: Frames<'a>,
    },
    /// New memory. Not for the kinds that have a record of their own below.
    Alloc {
        /// One that [`Effect::Allocates`].
        kind: Kind,
        /// After the call.
        ticks: u64,
        /// What it returned.
        addr: u64,
        /// Bytes asked for.
        size: u64,
    },
    /// A block ended and another began.
    Realloc {
        /// One that [`Effect::Reallocates`].
        kind: Kind,
        /// Before the call: the old block ends here.
        before: u64,
        /// After the call: the new block begins here.
        ticks: u64,
        /// The old block, 0 if none.
        old_addr: u64,
        /// The new block.
        addr: u64,
        /// Bytes asked for.
        size: u64,
    },
    /// A block is given back.
    Free {
        /// By which function.
        kind: Kind,
        /// Before the call.
        ticks: u64,
        /// The block.
        addr: u64,
    },
    /// `mremap`.
    Mremap {
        /// Before the call.
        before: u64,
        /// After the call.
        ticks: u64,
        /// Where the mapping was.
        old_addr: u64,
        /// Its old length in bytes.
        old_size: u64,
        /// Where it is now.
        addr: u64,
        /// Its new length in bytes.
        size: u64,
        /// The call's flags (`MREMAP_*`).
        flags: u64,
    },
    /// `munmap`.
    Munmap {
        /// Before the call.
        ticks: u64,
        /// First byte.
        addr: u64,
        /// Bytes.
        size: u64,
    },
}

/// A process of a recording. All numbers are 0 of that which it began with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Counts the processes of a recording.
    pub number: u32,
    /// The number of the one that forked it.
    pub parent: u32,
    /// Its pid, as it sees itself.
    pub pid: u32,
}

/// The frames of a [`Record::Stack`], root side first; already checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    left: u32,
}

impl Iterator for Frames<'_> {
    /// Code id and instruction offset (in bytes; -1 before the first instruction).
    type Item = (u32, i32);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let [code, offset] = fields::take_frame(&mut self.bytes)?;
        Some((code, offset.wrapping_sub(1) as i32))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Frames<'_> {}

impl Frames<'_> {
    /// The next frame, and whether it is flagged.
    #[inline]
    pub fn next_flagged(&mut self) -> Option<(u32, i32, bool)> {
        let is_flagged = self.bytes.first().is_some_and(|lengths| lengths & fields::FRAME_FLAG != 0);
        self.next().map(|(code, offset)| (code, offset, is_flagged))
    }
}

/// What both sides remember within a chunk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delta {
    ticks: u64,
    addr: u64,
}

/// Appends records to a buffer. What finds no room is dropped without a panic: the
/// caller reserves the `*_MAX` sizes above.
pub struct Encoder<'a> {
    out: &'a mut [u8],
    len: usize,
    delta: &'a mut Delta,
}

impl<'a> Encoder<'a> {
    /// Writes into `out`, continuing from `delta`.
    #[inline(always)]
    pub fn new(out: &'a mut [u8], delta: &'a mut Delta) -> Self {
        Encoder { out, len: 0, delta }
    }

    /// Bytes written so far.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Begins a chunk: [`Record::Origin`]. Resets the delta state.
    #[inline(always)]
    pub fn origin(&mut self, thread: u32, tid: u32, sequence: u32, ticks: u64) {
        *self.delta = Delta { ticks, addr: 0 };
        self.byte(ORIGIN);
        self.number(u64::from(thread));
        self.number(u64::from(tid));
        self.number(u64::from(sequence));
        self.number(ticks);
    }

    /// The same in a process that was forked.
    pub fn origin_of_child(&mut self, process: Process, thread: u32, tid: u32, sequence: u32, ticks: u64) {
        *self.delta = Delta { ticks, addr: 0 };
        self.byte(ORIGIN_OF_CHILD);
        for number in [process.number, process.parent, process.pid, thread, tid, sequence] {
            self.number(u64::from(number));
        }
        self.number(ticks);
    }

    /// [`Record::Lost`].
    pub fn lost(&mut self, allocations: u64, frees: u64) {
        self.byte(LOST);
        self.number(allocations);
        self.number(frees);
    }

    /// [`Record::Sampling`].
    pub fn sampling(&mut self, interval: u64) {
        self.byte(SAMPLING);
        self.number(interval);
    }

    /// [`Record::Passed`].
    pub fn passed(&mut self, allocations: u64, bytes: u64) {
        self.byte(PASSED);
        self.number(allocations);
        self.number(bytes);
    }

    /// [`Record::Code`].
    pub fn code(&mut self, id: u32, first_line: u32, lengths: [u32; 4]) {
        self.byte(CODE);
        self.number(u64::from(id));
        self.number(u64::from(first_line));
        for length in lengths {
            self.number(u64::from(length));
        }
    }

    /// The head of a [`Record::CodeBytes`]; the caller then fills the returned
    /// `len` bytes of text.
    pub fn code_bytes(&mut self, id: u32, field: CodeField, width: u8, offset: u32, len: usize) -> &mut [u8] {
        self.byte(CODE_BYTES);
        self.number(u64::from(id));
        self.byte(field as u8);
        self.byte(width);
        self.number(u64::from(offset));
        self.number(len as u64);
        let start = self.len;
        self.len += len;
        self.out.get_mut(start..self.len).unwrap_or_default()
    }

    /// The tag of an event.
    #[inline(always)]
    pub fn tag(&mut self, kind: Kind) {
        self.byte(kind as u8);
    }

    /// Begins a [`Record::Stack`]; `pushes` frames must follow.
    #[inline(always)]
    pub fn stack(&mut self, pops: u32, pushes: u32) {
        self.difference(STACK, pops, pushes);
    }

    /// Begins a [`Record::Native`]; `pushes` frames must follow.
    pub fn native(&mut self, pops: u32, pushes: u32) {
        self.difference(NATIVE, pops, pushes);
    }

    #[inline(always)]
    fn difference(&mut self, tag: u8, pops: u32, pushes: u32) {
        let long = u32::from(LONG);
        self.byte(tag);
        self.byte((pops.min(long) << 4 | pushes.min(long)) as u8);
        for number in [pops, pushes] {
            if number >= long {
                self.number(u64::from(number));
            }
        }
    }

    /// One pushed frame.
    #[inline(always)]
    pub fn frame(&mut self, code: u32, offset: i32) {
        let offset = (offset as u32).wrapping_add(1);
        self.fixed(|out| fields::put_frame(out, code, offset));
    }

    /// The same with a flag.
    pub fn flagged_frame(&mut self, code: u32, offset: i32, is_flagged: bool) {
        let at = self.len;
        self.frame(code, offset);
        if let Some(lengths) = self.out.get_mut(at).filter(|_| is_flagged) {
            *lengths |= fields::FRAME_FLAG;
        }
    }

    /// A moment and what it is the end of. The clock of a thread does not run
    /// backwards; if it did, the moment counts as that of the previous event.
    #[inline(always)]
    pub fn moment(&mut self, ticks: u64, addr: u64) {
        let (time, addr) = self.differences(ticks, addr);
        self.fixed(|out| fields::put(out, time, addr, None));
    }

    /// A moment, an address and the size of what is there.
    #[inline(always)]
    pub fn block(&mut self, ticks: u64, addr: u64, size: u64) {
        let (time, addr) = self.differences(ticks, addr);
        self.fixed(|out| fields::put(out, time, addr, Some(size)));
    }

    /// A length or set of flags.
    #[inline(always)]
    pub fn number(&mut self, value: u64) {
        self.len += varint::encode_at(value, self.out, self.len);
    }

    #[inline(always)]
    fn differences(&mut self, ticks: u64, addr: u64) -> (u64, u64) {
        let time = ticks.saturating_sub(self.delta.ticks);
        let difference = addr.wrapping_sub(self.delta.addr);
        *self.delta = Delta { ticks: self.delta.ticks + time, addr };
        (time, zigzag(fold(difference as i64)))
    }

    /// What `put` writes to so many bytes, of which it returns the number.
    #[inline(always)]
    fn fixed<const N: usize>(&mut self, put: impl FnOnce(&mut [u8; N]) -> usize) {
        let room = self.out.get_mut(self.len..self.len.wrapping_add(N)).and_then(<[u8]>::first_chunk_mut);
        self.len += room.map_or(N, put);
    }

    #[inline(always)]
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.out.get_mut(self.len) {
            *place = byte;
        }
        self.len += 1;
    }
}

/// Makes differences between multiples of 8 small, of either sign: an eighth of it,
/// with the three low bits (mostly 0) folded into the top.
#[inline(always)]
fn fold(difference: i64) -> i64 {
    (difference >> 3) ^ ((difference & 7) << 61)
}

/// The inverse of [`fold`]: bits 61 to 63 of an eighth all equal its sign, bit 60.
#[inline(always)]
fn unfold(folded: i64) -> i64 {
    let eighth = folded << 3 >> 3;
    eighth << 3 | ((folded ^ eighth) >> 61 & 7)
}

/// Why bytes are not records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes end inside a record.
    Short,
    /// A tag nobody writes, with its value.
    Tag(u8),
    /// A number too large for its field.
    Range,
}

/// Reads the records of one chunk, in pieces if need be.
///
/// It trusts nothing: every answer is within its source, and malformed input ends in
/// [`Malformed`].
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    delta: Delta,
}

impl Decoder {
    /// At the start of a chunk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one record off the front of `source`; `None` at the end.
    #[inline(always)]
    pub fn next<'a>(&mut self, source: &mut impl Source<'a>) -> Result<Option<Record<'a>>, Malformed> {
        let tags = source.column(Column::Tag);
        let Some((&tag, rest)) = tags.split_first() else { return Ok(None) };
        *tags = rest;
        match Kind::from_tag(tag) {
            Some(kind) => self.event(kind, source),
            None if tag == STACK => stack(source.column(Column::Rest)),
            None => self.rare(tag, source.column(Column::Rest)),
        }
        .map(Some)
    }

    #[inline(never)]
    fn rare<'a>(&mut self, tag: u8, bytes: &mut &'a [u8]) -> Result<Record<'a>, Malformed> {
        match tag {
            ORIGIN => self.origin(Process::default(), bytes),
            ORIGIN_OF_CHILD => {
                let (number, parent, pid) = (small(bytes)?, small(bytes)?, small(bytes)?);
                self.origin(Process { number, parent, pid }, bytes)
            }
            LOST => Ok(Record::Lost { allocations: number(bytes)?, frees: number(bytes)? }),
            SAMPLING => Ok(Record::Sampling { interval: number(bytes)? }),
            PASSED => Ok(Record::Passed { allocations: number(bytes)?, bytes: number(bytes)? }),
            CODE => code(bytes),
            CODE_BYTES => code_bytes(bytes),
            NATIVE => {
                let (pops, pushes) = difference(bytes, u32::MAX)?;
                Ok(Record::Native { pops, pushes })
            }
            _ => Err(Malformed::Tag(tag)),
        }
    }

    fn origin<'a>(&mut self, process: Process, bytes: &mut &'a [u8]) -> Result<Record<'a>, Malformed> {
        let (thread, tid, sequence) = (small(bytes)?, small(bytes)?, small(bytes)?);
        let ticks = number(bytes)?;
        self.delta = Delta { ticks, addr: 0 };
        Ok(Record::Origin { process, thread, tid, sequence, ticks })
    }

    #[inline(always)]
    fn event<'a>(&mut self, kind: Kind, source: &mut impl Source<'a>) -> Result<Record<'a>, Malformed> {
        Ok(match kind.effect() {
            Effect::Frees => {
                let (ticks, addr) = self.moment(source)?;
                Record::Free { kind, ticks, addr }
            }
            Effect::Allocates => {
                let (ticks, addr, size) = self.block(source)?;
                Record::Alloc { kind, ticks, addr, size }
            }
            Effect::Unmaps => {
                let (ticks, addr, size) = self.block(source)?;
                Record::Munmap { ticks, addr, size }
            }
            Effect::Reallocates => {
                let (before, old_addr) = self.moment(source)?;
                let (ticks, addr, size) = self.block(source)?;
                Record::Realloc { kind, before, ticks, old_addr, addr, size }
            }
            Effect::Remaps => {
                let (before, old_addr, old_size) = self.block(source)?;
                let (ticks, addr, size) = self.block(source)?;
                let flags = number(source.column(Column::Rest))?;
                Record::Mremap { before, ticks, old_addr, old_size, addr, size, flags }
            }
        })
    }

    #[inline(always)]
    fn moment<'a>(&mut self, source: &mut impl Source<'a>) -> Result<(u64, u64), Malformed> {
        let fields = fields::take(source, false).ok_or(Malformed::Short)?;
        self.absolute(fields).map(|(ticks, addr, _)| (ticks, addr))
    }

    #[inline(always)]
    fn block<'a>(&mut self, source: &mut impl Source<'a>) -> Result<(u64, u64, u64), Malformed> {
        self.absolute(fields::take(source, true).ok_or(Malformed::Short)?)
    }

    #[inline(always)]
    fn absolute(&mut self, [time, addr, size]: [u64; 3]) -> Result<(u64, u64, u64), Malformed> {
        let ticks = self.delta.ticks.checked_add(time).ok_or(Malformed::Range)?;
        let addr = self.delta.addr.wrapping_add(unfold(unzigzag(addr)) as u64);
        self.delta = Delta { ticks, addr };
        Ok((ticks, addr, size))
    }
}

fn code<'a>(bytes: &mut &'a [u8]) -> Result<Record<'a>, Malformed> {
    let (id, first_line) = (small(bytes)?, small(bytes)?);
    let mut lengths = [0; 4];
    for length in &mut lengths {
        *length = small(bytes)?;
    }
    Ok(Record::Code { id, first_line, lengths })
}

fn code_bytes<'a>(bytes: &mut &'a [u8]) -> Result<Record<'a>, Malformed> {
    let (id, field, width) = (small(bytes)?, byte(bytes)?, byte(bytes)?);
    let (offset, len) = (small(bytes)?, small(bytes)? as usize);
    let (text, rest) = bytes.split_at_checked(len).ok_or(Malformed::Short)?;
    *bytes = rest;
    Ok(Record::CodeBytes { id, field, width, offset, bytes: text })
}

/// The largest offset of a frame, as it is written.
const OFFSET_END: u32 = 1 << 31;

#[inline(always)]
fn stack<'a>(bytes: &mut &'a [u8]) -> Result<Record<'a>, Malformed> {
    let (pops, pushes) = difference(bytes, OFFSET_END)?;
    Ok(Record::Stack { pops, pushes })
}

#[inline(always)]
fn difference<'a>(bytes: &mut &'a [u8], offset_end: u32) -> Result<(u32, Frames<'a>), Malformed> {
    let shape = byte(bytes)?;
    let mut count = |half: u8| if half == LONG { small(bytes) } else { Ok(half.into()) };
    let (pops, left) = (count(shape >> 4)?, count(shape & LONG)?);
    let start = *bytes;
    for _ in 0..left {
        let [_, offset] = fields::take_frame(bytes).ok_or(Malformed::Short)?;
        if offset > offset_end {
            return Err(Malformed::Range);
        }
    }
    Ok((pops, Frames { bytes: start, left }))
}

fn byte(bytes: &mut &[u8]) -> Result<u8, Malformed> {
    let (&first, rest) = bytes.split_first().ok_or(Malformed::Short)?;
    *bytes = rest;
    Ok(first)
}

#[inline(always)]
fn number(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let (value, len) = varint::decode(bytes).ok_or(Malformed::Short)?;
    *bytes = &bytes[len..];
    Ok(value)
}

fn small(bytes: &mut &[u8]) -> Result<u32, Malformed> {
    u32::try_from(number(bytes)?).map_err(|_| Malformed::Range)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn encode(write: impl FnOnce(&mut Encoder)) -> Vec<u8> {
        let mut out = [0; 512];
        let mut delta = Delta::default();
        let mut encoder = Encoder::new(&mut out, &mut delta);
        write(&mut encoder);
        let len = encoder.len();
        out[..len].to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Vec<Record<'_>>, Malformed> {
        let mut rest = bytes;
        let mut decoder = Decoder::new();
        let mut records = Vec::new();
        while let Some(record) = decoder.next(&mut rest)? {
            records.push(record);
        }
        Ok(records)
    }

    #[test]
    fn events_survive() {
        let bytes = encode(|e| {
            e.origin(3, 4711, 7, 1_000_000);
            e.stack(0, 2);
            e.frame(1, -1);
            e.frame(900, i32::MAX);
            e.tag(Kind::Malloc);
            e.block(1_000_010, 0x7f00_1234_5670, 1024);
            e.tag(Kind::Free);
            e.moment(1_000_020, 0x7f00_1234_5670);
            e.tag(Kind::Realloc);
            e.moment(1_000_030, 0x10);
            e.block(1_000_031, 0x7f00_1234_0001, 7);
        });
        let records = decode(&bytes).expect("well-formed");
        let (process, ticks) = (Process::default(), 1_000_000);
        assert_eq!(records[0], Record::Origin { process, thread: 3, tid: 4711, sequence: 7, ticks });
        let Record::Stack { pops: 0, pushes } = records[1] else { panic!("{:?}", records[1]) };
        assert_eq!(pushes.collect::<Vec<_>>(), [(1, -1), (900, i32::MAX)]);
        let (ticks, addr) = (1_000_010, 0x7f00_1234_5670);
        assert_eq!(records[2], Record::Alloc { kind: Kind::Malloc, ticks, addr, size: 1024 });
        assert_eq!(records[3], Record::Free { kind: Kind::Free, ticks: 1_000_020, addr });
        let (before, ticks, addr) = (1_000_030, 1_000_031, 0x7f00_1234_0001);
        let kind = Kind::Realloc;
        assert_eq!(records[4], Record::Realloc { kind, before, ticks, old_addr: 0x10, addr, size: 7 });
    }

    #[test]
    fn bytes_are_as_documented() {
        let bytes = encode(|e| {
            e.origin(1, 4711, 0, 1_000_000);
            e.stack(0, 2);
            e.frame(1, 12);
            e.frame(2, 30);
            e.tag(Kind::Malloc);
            e.block(1_000_010, 0x7f00_1234_5670, 1024);
            e.tag(Kind::Malloc);
            e.block(1_000_013, 0x7f00_1234_5a80, 1024);
        });
        let expected: &[&[u8]] = &[
            &[0x18, 0x01, 0xe7, 0x24, 0x00, 0xc0, 0x84, 0x3d],
            &[0x20, 0x02, 0x00, 0x01, 0x0d, 0x00, 0x02, 0x1f],
            &[0x01, 0x34, 0x0a, 0x9c, 0x15, 0x8d, 0x04, 0xc0, 0x1f, 0x00, 0x04],
            &[0x01, 0x24, 0x03, 0x04, 0x01, 0x00, 0x04],
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn native_frames_survive() {
        let bytes = encode(|e| {
            e.native(3, 3);
            e.flagged_frame(1, 0x1234, false);
            e.flagged_frame(2, u32::MAX as i32, true);
            e.flagged_frame(3, i32::MIN, false);
        });
        let records = decode(&bytes).expect("well-formed");
        let [Record::Native { pops: 3, mut pushes }] = records[..] else { panic!("{records:?}") };
        let frames: Vec<_> = core::iter::from_fn(|| pushes.next_flagged()).collect();
        assert_eq!(frames, [(1, 0x1234, false), (2, -1, true), (3, i32::MIN, false)]);
        assert_eq!(bytes[..5], [0x24, 0x33, 0x04, 0x01, 0x35]);
    }

    #[test]
    fn a_child_says_who_it_is() {
        let process = Process { number: 2, parent: 1, pid: 4712 };
        let bytes = encode(|e| e.origin_of_child(process, 7, 4713, 0, 130));
        assert_eq!(bytes, [0x21, 0x02, 0x01, 0xe8, 0x24, 0x07, 0xe9, 0x24, 0x00, 0x82, 0x01]);
        let (thread, tid, sequence, ticks) = (7, 4713, 0, 130);
        assert_eq!(
            decode(&bytes).expect("well-formed"),
            [Record::Origin { process, thread, tid, sequence, ticks }]
        );
    }

    #[test]
    fn differences_fold_small_and_back() {
        for difference in [0, 8, -8, 1, -1, 7, -7, 16, i64::MAX, i64::MIN, 0x1234_5678, -0x1234_5670] {
            assert_eq!(unfold(fold(difference)), difference, "{difference}");
        }
        assert_eq!((zigzag(fold(-16)), zigzag(fold(16))), (3, 4));
    }

    #[test]
    fn a_clock_that_runs_backwards_stands_still() {
        let bytes = encode(|e| {
            e.origin(1, 1, 0, 100);
            e.tag(Kind::Free);
            e.moment(90, 16);
        });
        assert_eq!(
            decode(&bytes).expect("well-formed")[1],
            Record::Free { kind: Kind::Free, ticks: 100, addr: 16 }
        );
    }

    #[test]
    fn every_cut_is_noticed() {
        let bytes = encode(|e| {
            e.code(9, 12, [3, 0, 4, 5]);
            e.code_bytes(9, CodeField::Name, 1, 0, 3).copy_from_slice(b"abc");
            e.stack(15, 1);
            e.frame(9, 4);
            e.tag(Kind::Mmap);
            e.block(1, 4096, 8192);
        });
        assert_eq!(decode(&bytes).expect("well-formed").len(), 4);
        let whole: Vec<usize> = (0..=bytes.len()).filter(|&n| decode(&bytes[..n]).is_ok()).collect();
        assert_eq!(whole.len(), 5, "only the ends of records: {whole:?}");
    }

    #[test]
    fn unknown_tags_stop() {
        assert_eq!(decode(&[0]), Err(Malformed::Tag(0)));
        assert_eq!(decode(&[0x40 | 1]), Err(Malformed::Tag(0x41)));
    }
}
