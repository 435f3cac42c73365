//! Decodes the records of one chunk into events.
//!
//! It keeps what the records leave out: the thread, the current stack, and the
//! second half of a call that ends one block and begins another.

use prof_shared::fields::Source;
use prof_shared::record::{Decoder, Frames, Malformed, Record};

use super::hybrid::Hybrid;
use crate::model::{Addr, CodeId, Event, Frame, ProcessId, StackId, Stacks, ThreadSerial, Tick, Tid, What};

/// Why a chunk cannot be decoded further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChunkError {
    /// The bytes are not records.
    #[error("malformed record: {0:?}")]
    Malformed(Malformed),
    /// It does not begin with an `Origin`, or has a second one.
    #[error("misplaced origin")]
    Origin,
    /// More frames are taken off than there are, or a stack is too deep.
    #[error("impossible stack")]
    Stack,
}

/// What a chunk holds, apart from what the decoder keeps to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// Something happened.
    Event(Event),
    /// A `Code` or `CodeBytes` record, for a [`CodeAssembler`](super::CodeAssembler).
    Code(Record<'a>),
}

/// Decodes one chunk, in pieces of whole records.
#[derive(Clone, Debug)]
pub(super) struct ChunkDecoder {
    records: Decoder,
    origin: Option<(ThreadSerial, Tid)>,
    process: ProcessId,
    stack: StackId,
    depth: u32,
    /// Where there are native stacks: both, and how they fit together.
    hybrid: Option<Box<Hybrid>>,
    now: Tick,
    /// The thread's latest event before `now`; a gap begins there.
    previous: Option<Tick>,
    second: Option<Event>,
}

/// The deepest stack that is believed.
const MAX_DEPTH: u32 = 1 << 16;

impl ChunkDecoder {
    /// At the start of a chunk. `previous` is the same thread's latest event in
    /// the chunk before, if there is one.
    pub fn new(previous: Option<Tick>) -> Self {
        ChunkDecoder {
            records: Decoder::new(),
            origin: None,
            process: ProcessId::ROOT,
            stack: StackId::EMPTY,
            depth: 0,
            hybrid: None,
            now: Tick(0),
            previous,
            second: None,
        }
    }

    /// The thread, once the first record was read.
    pub fn thread(&self) -> Option<(ThreadSerial, Tid)> {
        self.origin
    }

    /// The moment of the latest event, or of the origin.
    pub fn now(&self) -> Tick {
        self.now
    }

    /// The thread's latest event, be it in this chunk or before.
    pub fn previous(&self) -> Option<Tick> {
        self.previous
    }

    /// Reads the `Origin` with which a chunk begins.
    pub fn start<'a>(&mut self, source: &mut impl Source<'a>) -> Result<(), ChunkError> {
        match self.records.next(source).map_err(ChunkError::Malformed)? {
            Some(Record::Origin { process, thread, tid, ticks, .. }) => {
                self.process = ProcessId(process.number);
                self.origin = Some((ThreadSerial(thread), Tid(tid)));
                self.now = Tick(ticks);
                Ok(())
            }
            _ => Err(ChunkError::Origin),
        }
    }

    /// Takes the next item off the front of `source`; `None` when the piece is used
    /// up. After an error the chunk is lost from here on.
    #[inline(always)]
    pub fn next<'a>(
        &mut self,
        source: &mut impl Source<'a>,
        stacks: &mut Stacks,
    ) -> Result<Option<Item<'a>>, ChunkError> {
        if let Some(second) = self.second.take() {
            self.now = second.at;
            return Ok(Some(Item::Event(second)));
        }
        if self.origin.is_none() {
            self.start(source)?;
        }
        while let Some(record) = self.records.next(source).map_err(ChunkError::Malformed)? {
            match record {
                Record::Stack { pops, pushes } => self.change_stack(pops, pushes, stacks)?,
                Record::Native { pops, pushes } => {
                    let kept = self.hybrid.get_or_insert_default().change_native(pops, pushes);
                    kept.ok_or(ChunkError::Stack)?;
                }
                Record::Origin { .. } => return Err(ChunkError::Origin),
                Record::Code { .. } | Record::CodeBytes { .. } => return Ok(Some(Item::Code(record))),
                record => {
                    if let Some(hybrid) = &mut self.hybrid {
                        self.stack = hybrid.stack(stacks);
                    }
                    return Ok(Some(Item::Event(self.event(record))));
                }
            }
        }
        Ok(None)
    }

    fn change_stack(&mut self, pops: u32, pushes: Frames<'_>, stacks: &mut Stacks) -> Result<(), ChunkError> {
        if let Some(hybrid) = &mut self.hybrid {
            return hybrid.change_python(pops, pushes).ok_or(ChunkError::Stack);
        }
        let kept = self.depth.checked_sub(pops).ok_or(ChunkError::Stack)?;
        self.depth =
            u32::try_from(pushes.len()).ok().and_then(|new| kept.checked_add(new)).unwrap_or(u32::MAX);
        if self.depth > MAX_DEPTH {
            return Err(ChunkError::Stack);
        }
        for _ in 0..pops {
            // A full interner leaves frames out, so the root may come early.
            self.stack = stacks.parent(self.stack).unwrap_or(StackId::EMPTY);
        }
        for (code, offset) in pushes {
            self.stack = stacks.push(self.stack, Frame { code: CodeId(code), offset });
        }
        Ok(())
    }

    #[inline(always)]
    fn event(&mut self, record: Record<'_>) -> Event {
        match record {
            Record::Alloc { kind, ticks, addr, size } => {
                self.made(ticks, What::Alloc { kind, addr: self.process.addr(addr), size })
            }
            Record::Free { kind, ticks, addr } => {
                self.ended(ticks, What::Free { kind, addr: self.process.addr(addr) })
            }
            Record::Munmap { ticks, addr, size } => {
                self.ended(ticks, What::Munmap { addr: self.process.addr(addr), size })
            }
            Record::Realloc { kind, before, ticks, old_addr, addr, size } => {
                let is_new = old_addr == 0;
                let old_addr = if is_new { Addr(0) } else { self.process.addr(old_addr) };
                let made = What::Realloc { kind, old_addr, addr: self.process.addr(addr), size };
                if is_new {
                    return self.made(ticks, made);
                }
                self.twice(before, What::ReallocBegin { old_addr }, ticks, made)
            }
            Record::Mremap { before, ticks, old_addr, old_size, addr, size, flags } => {
                let (old_addr, flags) = (self.process.addr(old_addr), flags as u32);
                let made = What::Mremap { old_addr, old_size, addr: self.process.addr(addr), size, flags };
                self.twice(before, What::MremapBegin { old_addr, old_size, flags }, ticks, made)
            }
            Record::Lost { allocations, frees } => {
                let since = self.previous.unwrap_or(self.now);
                self.at(self.now.0, StackId::EMPTY, What::Lost { since, allocations, frees })
            }
            Record::Sampling { interval } => self.aside(What::Sampling { interval }),
            Record::Passed { allocations, bytes } => self.aside(What::Passed { allocations, bytes }),
            Record::Origin { .. }
            | Record::Stack { .. }
            | Record::Native { .. }
            | Record::Code { .. }
            | Record::CodeBytes { .. } => {
                unreachable!("next() keeps these")
            }
        }
    }

    /// What has no moment of its own.
    fn aside(&self, what: What) -> Event {
        let (thread, tid) = self.origin.unwrap_or_default();
        Event { at: self.now, process: self.process, thread, tid, stack: StackId::EMPTY, what }
    }

    fn twice(&mut self, before: u64, ended: What, after: u64, made: What) -> Event {
        let first = self.ended(before, ended);
        self.second = Some(self.at(after, self.stack, made));
        self.now = first.at;
        first
    }

    fn made(&mut self, ticks: u64, what: What) -> Event {
        self.at(ticks, self.stack, what)
    }

    fn ended(&mut self, ticks: u64, what: What) -> Event {
        self.at(ticks, StackId::EMPTY, what)
    }

    #[inline(always)]
    fn at(&mut self, ticks: u64, stack: StackId, what: What) -> Event {
        let (thread, tid) = self.origin.unwrap_or_default();
        self.now = Tick(ticks);
        self.previous = Some(self.now);
        Event { at: self.now, process: self.process, thread, tid, stack, what }
    }
}
