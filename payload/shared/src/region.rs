//! The private region: everything in the target that is ours and not shared.
//!
//! One anonymous private mapping holds it all, so one `munmap` removes it and a
//! forked child gets a copy of its own:
//!
//! ```text
//!  GATE     1 page    `enabled`, `claim`; MADV_WIPEONFORK: a child reads 0
//!  HEADER   4 pages   Region: offsets, addresses, entries (the undo's register)
//!  STUB     1 page    read-execute: runs a Program
//!  PROGRAM  1 page    what the stub shall do, and its answers
//!  STACK    512 KiB   the stub's stack, with the signal frame at its top
//!  SLOTS    …         one ThreadSlot a thread, found by thread pointer
//!  FRAMES   …         each slot's previous Python stack
//!  CODES    …         code objects already described
//!  SAMPLERS …         one Sampler a thread, for its slot
//!  SAMPLED  8 MiB     addresses of the samples that are allocated
//!  NATIVE   …         each slot's previous native stack, if those are recorded
//! ```
//!
//! Addresses are those of the target, as integers.

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, AtomicU64};

/// First word of [`Region`]; the build's layout is part of it through [`LAYOUT`].
pub const MAGIC: u64 = u64::from_le_bytes(*b"profregn");
/// Raised with every change of a layout in this crate.
pub const LAYOUT: u32 = 10;
/// The low half of the region's address, by which a region is found before its
/// magic is written.
pub const ADDRESS_MARK: u64 = 0x5052_0000;

/// Bytes a page on the machines supported.
pub const PAGE: u64 = 4096;
/// Offset of the gate page.
pub const GATE: u64 = 0;
/// Offset of the word by which one thread of a forked child claims to set it up.
pub const CLAIM: u64 = 64;
/// Offset of [`Region`].
pub const HEADER: u64 = PAGE;
/// Offset of the stub's code.
pub const STUB: u64 = 5 * PAGE;
/// Offset of [`Program`].
pub const PROGRAM: u64 = 6 * PAGE;
/// Offset of the stub's stack.
pub const STACK: u64 = 7 * PAGE;
/// Bytes of the stub's stack.
pub const STACK_BYTES: u64 = 512 << 10;
/// Offset of the thread table.
pub const SLOTS: u64 = STACK + STACK_BYTES;

/// Entries of the code table.
pub const CODE_COUNT: u64 = 128 << 10;
/// Buckets of the table of samples; of those as many are used as the samples need.
pub const BUCKET_COUNT: u64 = 128 << 10;
/// How far from its home an entry of a table may lie.
pub const PROBES: usize = 64;
/// Python frames remembered a thread; deeper stacks are cut at the root.
pub const FRAME_COUNT: u64 = 4096;
/// Most detours.
pub const ENTRY_COUNT: usize = 128;

/// In place of a shift: moments are taken from the ring's `sequence`.
pub const SEQUENCE: u32 = 64;

/// An offset that a version does not have.
pub const ABSENT: u32 = u32::MAX;

/// Sizes of a region, derived from the number of thread slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of thread slots, a power of two, at least as many as fill a page.
    pub slot_count: u64,
    /// Whether there is room for native stacks.
    pub has_native: bool,
}

impl Shape {
    /// Offset of the frames.
    pub const fn frames(self) -> u64 {
        SLOTS + self.slot_count * size_of::<ThreadSlot>() as u64
    }

    /// Offset of the code table.
    pub const fn codes(self) -> u64 {
        self.frames() + self.slot_count * size_of::<FrameCache>() as u64
    }

    /// Offset of the samplers.
    pub const fn samplers(self) -> u64 {
        self.codes() + CODE_COUNT * size_of::<CodeSlot>() as u64
    }

    /// Offset of the table of samples.
    pub const fn sampled(self) -> u64 {
        self.samplers() + self.slot_count * size_of::<Sampler>() as u64
    }

    /// Offset of the native stacks.
    pub const fn native(self) -> u64 {
        self.sampled() + BUCKET_COUNT * size_of::<Bucket>() as u64
    }

    /// Bytes in all.
    pub const fn total_bytes(self) -> u64 {
        let native = if self.has_native { self.slot_count * size_of::<NativeCache>() as u64 } else { 0 };
        self.native() + native
    }
}

/// How CPython lays out what a frame walk reads. Offsets in bytes; [`ABSENT`]
/// where a version has no such thing.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PyOffsets {
    /// Address of `PyGILState_GetThisThreadState`; 0: record no Python stacks.
    pub this_thread_state: u64,
    /// Address of the word that is non-zero once the runtime finalizes.
    pub finalizing: u64,
    /// Address of `PyCode_Type`.
    pub code_type: u64,
    /// Bits of a frame's code word that are its address; the others are tags.
    pub frame_code_mask: u64,
    /// In the thread state: the frame, or the C frame that holds it.
    pub tstate_frame: u32,
    /// In the C frame (3.11, 3.12): the frame.
    pub cframe_frame: u32,
    /// In a frame: its code object.
    pub frame_code: u32,
    /// In a frame: the frame below.
    pub frame_previous: u32,
    /// In a frame: where it executes, see `frame_ip_form`.
    pub frame_ip: u32,
    /// See [`ip_form`].
    pub frame_ip_form: u32,
    /// In a frame: the byte that says who owns it.
    pub frame_owner: u32,
    /// The first of the owners whose frames are not Python's (shims); they are left out.
    pub frame_owner_hidden: u32,
    /// In a frame: the byte that says whether an evaluation begins with it (3.11).
    pub frame_entry: u32,
    /// In a code object: its first instruction (with a pointer form of ip).
    pub code_instructions: u32,
    /// In a code object: `co_name`, a `str`.
    pub code_name: u32,
    /// In a code object: `co_qualname`, a `str`.
    pub code_qualified_name: u32,
    /// In a code object: `co_filename`, a `str`.
    pub code_file: u32,
    /// In a code object: `co_firstlineno`, an `int`.
    pub code_first_line: u32,
    /// In a code object: `co_lnotab` or `co_linetable`, a `bytes`.
    pub code_line_table: u32,
    /// In a `str`: its length in characters (8 bytes).
    pub str_length: u32,
    /// In a `str`: the state word (kind in bits 2–4, compact bit 5, ascii bit 6).
    pub str_state: u32,
    /// In a compact ASCII `str`: the characters.
    pub str_ascii_data: u32,
    /// In another compact `str`: the characters.
    pub str_compact_data: u32,
    /// In a `bytes`: its length (8 bytes).
    pub bytes_length: u32,
    /// In a `bytes`: the bytes.
    pub bytes_data: u32,
}

impl PyOffsets {
    /// As they lie in the region.
    pub fn to_bytes(&self) -> [u8; size_of::<PyOffsets>()] {
        let mut bytes = [0; size_of::<PyOffsets>()];
        let addresses = [self.this_thread_state, self.finalizing, self.code_type, self.frame_code_mask];
        let (words, halves) = bytes.split_at_mut(32);
        for (place, address) in words.chunks_exact_mut(8).zip(addresses) {
            place.copy_from_slice(&address.to_ne_bytes());
        }
        let offsets = [
            self.tstate_frame,
            self.cframe_frame,
            self.frame_code,
            self.frame_previous,
            self.frame_ip,
            self.frame_ip_form,
            self.frame_owner,
            self.frame_owner_hidden,
            self.frame_entry,
            self.code_instructions,
            self.code_name,
            self.code_qualified_name,
            self.code_file,
            self.code_first_line,
            self.code_line_table,
            self.str_length,
            self.str_state,
            self.str_ascii_data,
            self.str_compact_data,
            self.bytes_length,
            self.bytes_data,
        ];
        for (place, offset) in halves.chunks_exact_mut(4).zip(offsets) {
            place.copy_from_slice(&offset.to_ne_bytes());
        }
        bytes
    }
}

/// What `frame_ip` holds.
pub mod ip_form {
    /// A pointer to an instruction.
    pub const POINTER: u32 = 0;
    /// `int`, an index in bytes (3.6 to 3.9).
    pub const BYTES: u32 = 1;
    /// `int`, an index in code units of two bytes (3.10).
    pub const UNITS: u32 = 2;
}

/// The region's header.
#[repr(C)]
pub struct Region {
    /// [`MAGIC`], written last.
    pub magic: u64,
    /// [`LAYOUT`].
    pub layout: u32,
    /// Number of [`ThreadSlot`]s, a power of two.
    pub slot_count: u32,
    /// Bytes of the region.
    pub total_bytes: u64,
    /// Where the ring is mapped; 0 before.
    pub ring: u64,
    /// Bytes of the ring's mapping.
    pub ring_bytes: u64,
    /// Bytes a chunk.
    pub chunk_size: u32,
    /// Number of chunks.
    pub chunk_count: u32,
    /// Offset of chunk 0 in the ring.
    pub ring_data: u64,
    /// What `dlopen` returned; 0 before.
    pub library_handle: u64,
    /// Where the library is loaded.
    pub library_base: u64,
    /// Bytes of its mapping.
    pub library_bytes: u64,
    /// The pid of the process as it sees itself: of that which recording began with, until
    /// a followed child writes its own.
    pub own_pid: AtomicU32,
    /// Offset of the tid from the thread pointer.
    pub tid_offset: u32,
    /// How far the time stamp counter is shifted to make a tick; or [`SEQUENCE`].
    pub tick_shift: u32,
    /// 1 if `realloc(p, 0)` frees `p` and returns null (glibc).
    pub realloc_zero_frees: u32,
    /// Ticks a second, roughly.
    pub ticks_per_second: u64,
    /// Ticks a second that all threads together may wait for a free chunk.
    pub wait_budget_ticks: u64,
    /// Where libc's own allocator lies: a `free` called from there is no event.
    pub allocator_start: u64,
    /// Bytes of it.
    pub allocator_bytes: u64,
    /// Where the interpreter's code lies: from there arenas are mapped.
    pub interpreter_start: u64,
    /// Bytes of it.
    pub interpreter_bytes: u64,
    /// Bytes of an arena of its small-object allocator; 0 if there are none.
    pub arena_bytes: u64,
    /// Where the table of unwind rows is mapped (see [`crate::native`]); 0: no native stacks.
    pub native: u64,
    /// Bytes of its mapping.
    pub native_bytes: u64,
    /// The lowest address that the main thread's stack may come to,
    pub main_stack_low: u64,
    /// and where it ends.
    pub main_stack_end: u64,
    /// CPython's layout.
    pub offsets: PyOffsets,
    /// Number of `entries` in use.
    pub entry_count: u32,
    /// The least that lies between a thread and the handler of a signal that interrupts it.
    pub signal_frame_bytes: u32,
    /// Raised when a described code object dies.
    pub code_epoch: AtomicU32,
    /// Serial of the thread that made the last event under the interpreter's lock.
    pub last_in_turn: AtomicU32,
    /// 1 if forked children record too.
    pub follow: AtomicU32,
    /// The pid of the process that recording began with, as it sees itself.
    pub root_pid: u32,
    /// Number of this process in the recording; 0 of that which it began with.
    pub process: AtomicU32,
    /// Number of the process that forked it.
    pub parent: AtomicU32,
    /// The mean number of bytes between two samples; 0: every allocation is recorded.
    pub sample_interval: AtomicU64,
    /// Buckets of the table of samples that are used, a power of two, less one.
    pub bucket_mask: u64,
    /// Start of the second that `wait_spent` belongs to.
    pub wait_window: AtomicU64,
    /// Ticks waited in it.
    pub wait_spent: AtomicU64,
    /// The detours and pointers.
    pub entries: [Entry; ENTRY_COUNT],
}

/// One detoured function, or a pointer to a function that leads to a hook. Island or
/// thunk hand the entry's address to the hook.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The function as it was: the trampoline, or what the pointer held.
    pub original: u64,
    /// Address of [`Region`].
    pub region: u64,
    /// The function.
    pub function: u64,
    /// First changed byte; where the pointer is.
    pub patch: u64,
    /// What stood there; `patch_len` bytes count.
    pub before: [u8; 8],
    /// What stands there while recording.
    pub after: [u8; 8],
    /// The island's mapping; 0 for a pointer.
    pub island: u64,
    /// Its length in bytes.
    pub island_bytes: u32,
    /// 1, or 5 where every thread was stopped; [`POINTER`].
    pub patch_len: u8,
    /// [`crate::kind::Kind`].
    pub kind: u8,
    reserved: [u8; 2],
}

/// [`Entry::patch_len`] of a pointer: a word, changed by a compare-and-swap.
pub const POINTER: u8 = 8;

impl Entry {
    /// As it lies in the region.
    pub fn to_bytes(&self) -> [u8; size_of::<Entry>()] {
        let mut bytes = [0; size_of::<Entry>()];
        let words = [self.original, self.region, self.function, self.patch];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes[32..40].copy_from_slice(&self.before);
        bytes[40..48].copy_from_slice(&self.after);
        bytes[48..56].copy_from_slice(&self.island.to_ne_bytes());
        bytes[56..60].copy_from_slice(&self.island_bytes.to_ne_bytes());
        bytes[60] = self.patch_len;
        bytes[61] = self.kind;
        bytes
    }

    /// The inverse of [`Entry::to_bytes`].
    pub fn from_bytes(bytes: &[u8; size_of::<Entry>()]) -> Entry {
        let eight = |at: usize| core::array::from_fn(|i| bytes[at + i]);
        let word = |at: usize| u64::from_ne_bytes(eight(at));
        Entry {
            original: word(0),
            region: word(8),
            function: word(16),
            patch: word(24),
            before: eight(32),
            after: eight(40),
            island: word(48),
            island_bytes: word(56) as u32,
            patch_len: bytes[60],
            kind: bytes[61],
            reserved: [0; 2],
        }
    }
}

/// A thread's state. Besides the atomics only its owner touches it. On the first
/// cache line lies what begins an event and finds the stack unchanged, on the second
/// what writes a record, and last what neither does.
#[repr(C, align(64))]
pub struct ThreadSlot {
    /// Thread pointer; 0: never used, 1: given up.
    pub thread_pointer: AtomicU64,
    /// tid of the thread that may use the slot.
    pub owner: AtomicU32,
    /// See [`inside`]. The attacher reads it.
    pub inside: AtomicU32,
    /// Stack pointer at the outermost hook's entry.
    pub entry_sp: Cell<u64>,
    /// Earliest tick of the event at hand.
    pub began: Cell<u64>,
    /// Raised by every outermost hook; tells one that was overtaken.
    pub turn: Cell<u32>,
    /// The code epoch that the frames belong to.
    pub epoch: Cell<u32>,
    /// Frames remembered.
    pub depth: Cell<u32>,
    /// 1 if the frames were cut at the root.
    pub truncated: Cell<u32>,
    /// 1 if the decoder of the open chunk has exactly the remembered frames.
    pub is_sent: Cell<u32>,
    /// Index of the open chunk; [`ABSENT`] if none.
    pub chunk: Cell<u32>,
    /// Of the remembered frames, root side, the decoder has.
    pub sent: Cell<u32>,
    /// Serial number of the thread.
    pub serial: Cell<u32>,
    /// Address of its first byte; 0 if none.
    pub data: Cell<u64>,
    /// Bytes written to it.
    pub written: Cell<u32>,
    /// Up to here a record needs no second look; 0 if there is no chunk, or losses
    /// wait to be reported.
    pub limit: Cell<u32>,
    /// Delta state of the open chunk.
    pub delta: Cell<crate::record::Delta>,
    /// Frames the decoder has.
    pub wire_depth: Cell<u32>,
    /// See [`wire`].
    pub wire_truncated: Cell<u32>,
    /// Chunks begun.
    pub chunks: Cell<u32>,
    /// Allocations lost and not yet reported in the stream.
    pub lost_allocations: Cell<u32>,
    /// Frees lost and not yet reported in the stream.
    pub lost_frees: Cell<u32>,
    /// The last turn whose function called another hooked one.
    pub nested: Cell<u32>,
}

/// Bits of [`ThreadSlot::wire_truncated`].
pub mod wire {
    /// The frames on the wire were cut at the root.
    pub const CUT: u32 = 1;
    /// Each stack goes the long way, on which the native one is added.
    pub const NATIVE: u32 = 2;
}

/// What [`ThreadSlot::inside`] says.
pub mod inside {
    /// The thread is in no hook.
    pub const OUT: u32 = 0;
    /// It is in the hooked function itself, called by a hook.
    pub const CALLING: u32 = 1;
    /// It writes a record.
    pub const RECORDING: u32 = 2;
}

/// A thread's Python frames as they were at its previous event, root side first:
/// what every event compares apart from what few ask for.
#[repr(C, align(64))]
pub struct FrameCache {
    /// What each frame held. The one behind the last tells where that lies.
    pub links: [Link; FRAME_COUNT as usize + 1],
    /// What each executed.
    pub names: [Name; FRAME_COUNT as usize],
}

/// What a frame held that changes: the two words that an event compares, in one piece.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Address of the frame below; of the first frame, where those below were cut, else 0.
    pub below: u64,
    /// Its raw instruction field; [`NOWHERE`] if it has to be read anew.
    pub ip: u64,
}

/// What a frame executes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// Its code object.
    pub code: u64,
    /// The code's id; 0 not known yet, [`HIDDEN`] not shown.
    pub id: u32,
    /// Visible frames from the root up to and with this one.
    pub visible: u32,
}

/// Native frames remembered a thread; deeper stacks are cut at the root.
pub const NATIVE_COUNT: usize = 8192;

/// A thread's native stack as it was at its previous allocation, root side first.
#[repr(C, align(64))]
pub struct NativeCache {
    /// Serial of the thread that it is of.
    pub serial: u32,
    /// Frames remembered.
    pub depth: u32,
    /// Of these, root side, the decoder has.
    pub sent: u32,
    /// Frames the decoder has.
    pub wire_depth: u32,
    /// How many chunks the thread had begun when that was so.
    pub wire_chunks: u32,
    /// Which list of text the frames were found with.
    pub list: u32,
    /// The stack that the thread was on last,
    pub stack_low: u64,
    /// and where it ends.
    pub stack_end: u64,
    /// The frames.
    pub frames: [NativeFrame; NATIVE_COUNT],
}

/// A native frame and where the stack says so.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NativeFrame {
    /// Address of the word that holds `pc`; the largest for what stands for a cut root.
    pub at: u64,
    /// Where the frame goes on.
    pub pc: u64,
    /// Its rbp.
    pub bp: u64,
    /// Its rbx.
    pub bx: u64,
    /// The module, with [`crate::native::EVALUATION`].
    pub module: u32,
    /// The instruction's address in the module's file.
    pub offset: u32,
}

/// An instruction field that no frame has.
pub const NOWHERE: u64 = u64::MAX;

/// The id of a frame that is not Python's own.
pub const HIDDEN: u32 = u32::MAX;

/// An entry of the code table.
#[repr(C)]
pub struct CodeSlot {
    /// Address of the code object; 0 never used, 1 given up.
    pub code: AtomicU64,
    /// Its id, valid once non-zero.
    pub id: AtomicU32,
    reserved: u32,
}

/// When a thread takes its next sample. Only its owner touches it.
#[repr(C, align(64))]
pub struct Sampler {
    /// The interval that `left` was drawn for; 0: none was drawn yet.
    pub interval: Cell<u64>,
    /// The allocation with the so manieth byte from now is a sample; 0: to be drawn.
    pub left: Cell<u64>,
    /// Allocations since the previous record that were no samples.
    pub passed: Cell<u64>,
    /// Their bytes.
    pub passed_bytes: Cell<u64>,
    /// The state of its random numbers.
    pub random: Cell<u64>,
}

/// A part of the table of samples: addresses, 0 where there is none.
#[repr(C, align(64))]
#[derive(Default)]
pub struct Bucket(pub [AtomicU64; 8]);

/// What the stub executes: steps in order, each answer in place.
#[repr(C)]
pub struct Program {
    /// Set to 1 by the stub when it is through.
    pub done: u64,
    /// Number of steps.
    pub len: u64,
    /// The steps.
    pub steps: [Step; STEP_COUNT],
    /// Texts that steps point to.
    pub text: [u8; 512],
}

/// Most steps of a program.
pub const STEP_COUNT: usize = 40;

/// One step of a [`Program`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// See [`step`].
    pub what: u64,
    /// System call number, function address, or address of a word.
    pub target: u64,
    /// Arguments; a swap takes the expected and the new value.
    pub args: [u64; 6],
    /// The result (a swap: what the word held).
    pub result: u64,
}

/// What a step does.
pub mod step {
    /// A raw system call.
    pub const SYSCALL: u64 = 0;
    /// A call of a function in the System V convention.
    pub const CALL: u64 = 1;
    /// An atomic compare-and-swap of an aligned word.
    pub const SWAP: u64 = 2;
}

const _: () = assert!(size_of::<Region>() as u64 <= STUB - HEADER);
const _: () = assert!(size_of::<Program>() as u64 <= STACK - PROGRAM);
const _: () = assert!(size_of::<Entry>() == 64);
const _: () = assert!(size_of::<ThreadSlot>() == 128);
const _: () = assert!(size_of::<Sampler>() == 64);
const _: () = assert!(size_of::<Bucket>() == 64);
const _: () = assert!(size_of::<FrameCache>() == (128 << 10) + 64);
const _: () = assert!(size_of::<NativeFrame>() == 40);
const _: () = assert!(core::mem::offset_of!(ThreadSlot, data) == 64);

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn offsets_lie_in_order() {
        let offsets = PyOffsets {
            this_thread_state: 1,
            code_type: 3,
            tstate_frame: 4,
            bytes_data: 23,
            ..PyOffsets::default()
        };
        let bytes = offsets.to_bytes();
        assert_eq!((bytes[0], bytes[16], bytes[32], bytes[32 + 20 * 4]), (1, 3, 4, 23));
        assert_eq!(offset_of!(PyOffsets, code_type), 16);
        assert_eq!(offset_of!(PyOffsets, tstate_frame), 32);
        assert_eq!(offset_of!(PyOffsets, bytes_data), 32 + 20 * 4);
    }

    #[test]
    fn entries_survive_as_bytes() {
        let entry = Entry {
            original: 1,
            region: 2,
            function: 3,
            patch: 4,
            before: *b"abcdefgh",
            after: *b"ijklmnop",
            island: u64::MAX,
            island_bytes: 0x1234_5678,
            patch_len: 5,
            kind: 14,
            reserved: [0; 2],
        };
        assert_eq!(Entry::from_bytes(&entry.to_bytes()), entry);
        let fields = [
            (offset_of!(Entry, original), 0),
            (offset_of!(Entry, region), 8),
            (offset_of!(Entry, function), 16),
            (offset_of!(Entry, patch), 24),
            (offset_of!(Entry, before), 32),
            (offset_of!(Entry, after), 40),
            (offset_of!(Entry, island), 48),
            (offset_of!(Entry, island_bytes), 56),
            (offset_of!(Entry, patch_len), 60),
            (offset_of!(Entry, kind), 61),
        ];
        assert!(fields.iter().all(|(real, written)| real == written), "{fields:?}");
    }
}
