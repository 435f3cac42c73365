//! Code objects: an id for each, described once in the stream.
//!
//! The table maps addresses of living, described code objects to ids. An entry
//! is published only after its description is; when the object dies its entry is
//! taken out before the memory is given back, so an address that is reused is a
//! stranger. Two threads may describe the same object under two ids: harmless,
//! reports merge by content.

use crate::chunk::{self, Purpose};
use crate::memory::{self, is_plausible, load};
use crate::thread;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use prof_shared::record::{CODE_BYTES_HEAD_MAX, CODE_MAX, CodeField, NAME_MAX};
use prof_shared::region::{ABSENT, CODE_COUNT, CodeSlot, Entry, PROBES, Region, Shape, ThreadSlot};

const GIVEN_UP: u64 = 1;
/// Line tables are cut at this length, and at this fraction of the ring.
const TABLE_MAX: u64 = 1 << 20;
const TABLE_SHARE: u64 = 32;
/// Pieces of a text are this long at most, and this fraction of a chunk.
const PIECE_MAX: u32 = 4096;
const PIECE_SHARE: u32 = 4;

/// The id of a code object that is known already; 0 if it is not.
#[inline(always)]
pub fn lookup(region: &Region, code: u64) -> u32 {
    for probe in 0..PROBES as u64 {
        let slot = nth(region, home(code).wrapping_add(probe));
        match slot.code.load(Acquire) {
            0 => return 0,
            found if found == code => return slot.id.load(Acquire),
            _ => {}
        }
    }
    0
}

/// The id of a live code object, describing it if need be; `None` without room.
pub fn identify(region: &Region, thread: &ThreadSlot, code: u64) -> Option<u32> {
    match lookup(region, code) {
        0 => {
            let id = chunk::header(region).next.code.fetch_add(1, Relaxed);
            describe(region, thread, id, code)?;
            publish(region, code, id);
            Some(id)
        }
        id => Some(id),
    }
}

/// Enters a described code. A full neighbourhood leaves it out: it is described
/// again at its next sight.
fn publish(region: &Region, code: u64, id: u32) {
    for probe in 0..PROBES as u64 {
        let slot = nth(region, home(code).wrapping_add(probe));
        let found = slot.code.load(Relaxed);
        if found <= GIVEN_UP && slot.code.compare_exchange(found, code, AcqRel, Relaxed).is_ok() {
            slot.id.store(id, Release);
            return;
        }
    }
}

/// `PyCode_Type.tp_dealloc`: the object's address is no longer its id's. Jumps on to
/// the original, which can run any Python: no frame of ours may be below that.
///
/// # Safety
/// Called by the interpreter in place of the original, through the thunk that
/// adds the entry as a second argument.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prof_code_dealloc() {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "push rdi",
        ".cfi_adjust_cfa_offset 8",
        "push rsi",
        ".cfi_adjust_cfa_offset 8",
        "sub rsp, 8",
        ".cfi_adjust_cfa_offset 8",
        "call {code_dies}",
        "add rsp, 8",
        ".cfi_adjust_cfa_offset -8",
        "pop rsi",
        ".cfi_adjust_cfa_offset -8",
        "pop rdi",
        ".cfi_adjust_cfa_offset -8",
        "jmp [rsi + {original}]",
        ".cfi_endproc",
        code_dies = sym code_dies,
        original = const core::mem::offset_of!(Entry, original),
    )
}

unsafe extern "C" fn code_dies(code: u64, entry: &Entry) {
    // SAFETY: an entry names the region that it lies in.
    forget(unsafe { &*(entry.region as *const Region) }, code);
}

/// Takes a dead code out of the table. The epoch tells all threads, also those that
/// remember a frame of a code that never came to be in the table.
fn forget(region: &Region, code: u64) {
    for probe in 0..PROBES as u64 {
        let slot = nth(region, home(code).wrapping_add(probe));
        match slot.code.load(Relaxed) {
            0 => break,
            found if found == code => {
                slot.id.store(0, Relaxed);
                slot.code.store(GIVEN_UP, Release);
            }
            _ => {}
        }
    }
    region.code_epoch.fetch_add(1, Release);
}

/// One text of a code object, where it lies.
#[derive(Clone, Copy)]
struct Text {
    addr: u64,
    bytes: u32,
    width: u8,
}

const NO_TEXT: Text = Text { addr: 0, bytes: 0, width: 1 };

fn describe(region: &Region, thread: &ThreadSlot, id: u32, code: u64) -> Option<()> {
    let offsets = &region.offsets;
    let texts = [
        string(region, code, offsets.code_name),
        string(region, code, offsets.code_qualified_name),
        string(region, code, offsets.code_file),
        byte_string(region, code, offsets.code_line_table),
    ];
    // SAFETY: `code` was checked to be a code object and is held by a live frame.
    let first_line: u32 = unsafe { load(code + u64::from(offsets.code_first_line)) };
    chunk::reserve(region, thread, CODE_MAX as u32, Purpose::Allocation)?;
    let [name, qualified_name, file, lines] = texts;
    chunk::append(region, thread, CODE_MAX as u32, |encoder| {
        encoder.code(id, first_line, [name.bytes, qualified_name.bytes, file.bytes, lines.bytes]);
    });
    chunk::publish(region, thread)?;
    for field in CodeField::ALL {
        send(region, thread, id, field, texts[field as usize & 3])?;
    }
    Some(())
}

fn send(region: &Region, thread: &ThreadSlot, id: u32, field: CodeField, text: Text) -> Option<()> {
    let most = PIECE_MAX.min(region.chunk_size / PIECE_SHARE);
    let mut offset = 0;
    while offset < text.bytes {
        let len = most.min(text.bytes - offset);
        let need = CODE_BYTES_HEAD_MAX as u32 + len;
        chunk::reserve(region, thread, need, Purpose::Allocation)?;
        chunk::append(region, thread, need, |encoder| {
            let out = encoder.code_bytes(id, field, text.width, offset, len as usize);
            // SAFETY: the text belongs to the code object, which a live frame holds.
            unsafe { memory::copy(text.addr + u64::from(offset), out) };
        });
        chunk::publish(region, thread)?;
        offset += len;
    }
    Some(())
}

/// A compact `str` behind a pointer at `offset`.
fn string(region: &Region, code: u64, offset: u32) -> Text {
    const COMPACT: u32 = 1 << 5;
    const ASCII: u32 = 1 << 6;
    let offsets = &region.offsets;
    let Some(addr) = member(code, offset) else { return NO_TEXT };
    // SAFETY: a text attribute of a live code object is a live `str`.
    let (length, state): (u64, u32) =
        unsafe { (load(addr + u64::from(offsets.str_length)), load(addr + u64::from(offsets.str_state))) };
    let width = (state >> 2 & 7) as u8;
    if state & COMPACT == 0 || !matches!(width, 1 | 2 | 4) {
        return NO_TEXT;
    }
    let data = if state & ASCII != 0 { offsets.str_ascii_data } else { offsets.str_compact_data };
    let length = bounded(region, length, u64::from(NAME_MAX) + 1);
    Text { addr: addr + u64::from(data), bytes: length * u32::from(width), width }
}

/// A `bytes` behind a pointer at `offset`.
fn byte_string(region: &Region, code: u64, offset: u32) -> Text {
    let Some(addr) = member(code, offset) else { return NO_TEXT };
    // SAFETY: the line table of a live code object is a live `bytes`.
    let length: u64 = unsafe { load(addr + u64::from(region.offsets.bytes_length)) };
    let share = u64::from(region.chunk_count) * u64::from(region.chunk_size) / TABLE_SHARE;
    let bytes = bounded(region, length, TABLE_MAX.min(share));
    Text { addr: addr + u64::from(region.offsets.bytes_data), bytes, width: 1 }
}

/// A length of at most `most`; what is cut is counted.
fn bounded(region: &Region, length: u64, most: u64) -> u32 {
    if length > most {
        chunk::header(region).losses.texts.fetch_add(1, Relaxed);
    }
    length.min(most) as u32
}

fn member(code: u64, offset: u32) -> Option<u64> {
    if offset == ABSENT {
        return None;
    }
    // SAFETY: `code` was checked to be a code object and is held by a live frame.
    let addr = unsafe { load(code + u64::from(offset)) };
    is_plausible(addr).then_some(addr)
}

#[inline(always)]
fn home(code: u64) -> u64 {
    (code >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
}

#[inline(always)]
fn nth(region: &Region, index: u64) -> &'static CodeSlot {
    let base = thread::table(region, Shape::codes);
    // SAFETY: the region holds `CODE_COUNT` slots there, zeroed by the kernel.
    unsafe { &*(base as *const CodeSlot).add((index & (CODE_COUNT - 1)) as usize) }
}
