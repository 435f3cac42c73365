//! The header of the region in the target: numbers for the payload, and the
//! register of every change, by which it can be undone without us.

use super::Error;
use prof_injector::call::Caller;
use prof_injector::region::RegionHandle;
use prof_shared::region::{ENTRY_COUNT, Entry, GATE, HEADER, PyOffsets, Region};
use std::mem::offset_of;

/// The header of one region.
pub struct Register<'a> {
    caller: &'a Caller<'a>,
    region: &'a RegionHandle,
}

/// Names a field of [`Region`] and knows its offset.
#[derive(Clone, Copy)]
pub struct Field(usize);

impl Field {
    /// Bytes from the start of the header.
    pub fn offset(self) -> u64 {
        self.0 as u64
    }
}

/// The fields that are written or read from outside.
pub mod field {
    use super::{Field, Region, offset_of};

    macro_rules! fields {
        ($($name:ident = $field:ident;)+) => {$(
            #[doc = concat!("`Region::", stringify!($field), "`.")]
            pub const $name: Field = Field(offset_of!(Region, $field));
        )+};
    }

    fields! {
        SLOT_COUNT = slot_count;
        RING = ring;
        RING_BYTES = ring_bytes;
        CHUNK_SIZE = chunk_size;
        CHUNK_COUNT = chunk_count;
        RING_DATA = ring_data;
        LIBRARY_HANDLE = library_handle;
        LIBRARY_BASE = library_base;
        LIBRARY_BYTES = library_bytes;
        OWN_PID = own_pid;
        TID_OFFSET = tid_offset;
        TICK_SHIFT = tick_shift;
        REALLOC_ZERO_FREES = realloc_zero_frees;
        TICKS_PER_SECOND = ticks_per_second;
        WAIT_BUDGET_TICKS = wait_budget_ticks;
        ALLOCATOR_START = allocator_start;
        ALLOCATOR_BYTES = allocator_bytes;
        INTERPRETER_START = interpreter_start;
        INTERPRETER_BYTES = interpreter_bytes;
        ARENA_BYTES = arena_bytes;
        NATIVE = native;
        NATIVE_BYTES = native_bytes;
        MAIN_STACK_LOW = main_stack_low;
        MAIN_STACK_END = main_stack_end;
        OFFSETS = offsets;
        ENTRY_COUNT = entry_count;
        SIGNAL_FRAME_BYTES = signal_frame_bytes;
        FOLLOW = follow;
        ROOT_PID = root_pid;
        PROCESS = process;
        SAMPLE_INTERVAL = sample_interval;
        BUCKET_MASK = bucket_mask;
    }
}

impl<'a> Register<'a> {
    /// The register of `region`.
    pub fn new(caller: &'a Caller<'a>, region: &'a RegionHandle) -> Register<'a> {
        Register { caller, region }
    }

    /// Reads a word.
    pub fn word(&self, field: Field) -> Result<u64, Error> {
        let addr = self.region.at(HEADER) + field.0 as u64;
        self.caller.process().memory().read_u64(addr).map_err(Error::io("reading the register"))
    }

    /// Reads a half word.
    pub fn half(&self, field: Field) -> Result<u32, Error> {
        let addr = self.region.at(HEADER) + field.0 as u64;
        self.caller.process().memory().read_u32(addr).map_err(Error::io("reading the register"))
    }

    /// Writes a word.
    pub fn set_word(&self, field: Field, value: u64) -> Result<(), Error> {
        self.write(HEADER + field.0 as u64, &value.to_ne_bytes())
    }

    /// Writes a half word.
    pub fn set_half(&self, field: Field, value: u32) -> Result<(), Error> {
        self.write(HEADER + field.0 as u64, &value.to_ne_bytes())
    }

    /// Writes CPython's layout.
    pub fn set_offsets(&self, offsets: &PyOffsets) -> Result<(), Error> {
        self.write(HEADER + field::OFFSETS.0 as u64, &offsets.to_bytes())
    }

    /// The address of an entry.
    pub fn entry_addr(&self, index: usize) -> u64 {
        self.region.at(HEADER) + entry_offset(index)
    }

    /// Writes all entries, then their number.
    pub fn set_entries(&self, entries: &[Entry]) -> Result<(), Error> {
        if entries.len() > ENTRY_COUNT {
            return Err(Error::Unexpected("the process defines more allocator functions than fit"));
        }
        let bytes: Vec<u8> = entries.iter().flat_map(Entry::to_bytes).collect();
        self.write(HEADER + entry_offset(0), &bytes)?;
        self.set_half(field::ENTRY_COUNT, entries.len() as u32)
    }

    /// Reads the entries.
    pub fn entries(&self) -> Result<Vec<Entry>, Error> {
        let count = (self.half(field::ENTRY_COUNT)? as usize).min(ENTRY_COUNT);
        let memory = self.caller.process().memory();
        let entry = |index| {
            let mut bytes = [0; size_of::<Entry>()];
            memory.read(self.entry_addr(index), &mut bytes).map_err(Error::io("reading the register"))?;
            Ok(Entry::from_bytes(&bytes))
        };
        (0..count).map(entry).collect()
    }

    /// Lets hooks record, or pass through: one byte, which cannot tear.
    pub fn set_gate(&self, is_open: bool) -> Result<(), Error> {
        self.write(GATE, &[u8::from(is_open)])
    }

    /// Writes `bytes` at `offset` of the region.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.caller.writer().write(self.region.at(offset), bytes).map_err(Error::io("writing the register"))
    }
}

fn entry_offset(index: usize) -> u64 {
    (offset_of!(Region, entries) + index * size_of::<Entry>()) as u64
}
