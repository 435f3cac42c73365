//! Writing the bytes of planned detours into a running process, and taking them
//! out again. Every write is preceded by a comparison: what is not as expected
//! belongs to somebody else and stays.
//!
//! `memory` is the target's `/proc/PID/mem`, opened for reading and writing. Some
//! kernels let only an active tracer write to text there
//! (`proc_mem.force_override=ptrace`): keep one thread seized meanwhile.
//!
//! Comparison and write are two system calls. Nobody else writes to the text of
//! a process without owning it as a debugger would; for one who does at that very
//! moment, there is no remedy.

use super::block::JUMP_BYTES;
use crate::failpoint::{ToldToFail, fail_point};
use prof_shared::region::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Why a detour was not changed. The target is as it was, unless a test asked for it.
#[derive(Debug, thiserror::Error)]
pub enum ArmError {
    /// Its text could not be read or written.
    #[error("cannot change the text at {addr:#x}")]
    Memory {
        /// Where.
        addr: u64,
        /// Why.
        source: io::Error,
    },
    /// Somebody else changed it.
    #[error("the text at {addr:#x} is neither as it was nor ours: {found:02x?}")]
    Foreign {
        /// Where.
        addr: u64,
        /// What stands there.
        found: [u8; JUMP_BYTES],
    },
    /// A thread is about to execute bytes that would change.
    #[error("a thread is at {pc:#x}, in the middle of what changes")]
    ThreadInside {
        /// Where it is.
        pc: u64,
    },
    /// Five bytes tear under running threads.
    #[error("the text at {addr:#x} may only change while every thread is stopped")]
    MustStop {
        /// Where.
        addr: u64,
    },
    /// A test asked for it.
    #[error(transparent)]
    ToldToFail(#[from] ToldToFail),
}

/// Puts a one-byte detour in. Does nothing if it is there.
pub fn arm(memory: &File, entry: &Entry) -> Result<(), ArmError> {
    single(entry)?;
    exchange(memory, entry, &entry.before, &entry.after)
}

/// Takes a one-byte detour out. Does nothing if it is not there.
pub fn disarm(memory: &File, entry: &Entry) -> Result<(), ArmError> {
    single(entry)?;
    exchange(memory, entry, &entry.after, &entry.before)
}

/// Puts a detour in while *every* thread is stopped, those included that were
/// started meanwhile.
///
/// `pcs` are the places where threads will go on: the pc of each, and each pc in
/// a signal frame on its stack (or, to be safe, every word of its stack). A
/// thread at the window's first byte is fine.
pub fn arm_all_stopped(memory: &File, entry: &Entry, pcs: &[u64]) -> Result<(), ArmError> {
    nobody_inside(entry, pcs)?;
    exchange(memory, entry, &entry.before, &entry.after)
}

/// Takes a detour out; conditions as for [`arm_all_stopped`].
pub fn disarm_all_stopped(memory: &File, entry: &Entry, pcs: &[u64]) -> Result<(), ArmError> {
    nobody_inside(entry, pcs)?;
    exchange(memory, entry, &entry.after, &entry.before)
}

fn single(entry: &Entry) -> Result<(), ArmError> {
    if entry.patch_len == 1 { Ok(()) } else { Err(ArmError::MustStop { addr: entry.patch }) }
}

fn nobody_inside(entry: &Entry, pcs: &[u64]) -> Result<(), ArmError> {
    let inside = entry.patch + 1..entry.patch + u64::from(entry.patch_len);
    match pcs.iter().find(|pc| inside.contains(pc)) {
        Some(pc) => Err(ArmError::ThreadInside { pc: *pc }),
        None => Ok(()),
    }
}

/// Writes `to` where `from` stands. The bytes behind the changed one are compared
/// with it: they are the displacement, or show a foreign jump that happens to
/// begin like ours.
fn exchange(memory: &File, entry: &Entry, from: &[u8; 8], to: &[u8; 8]) -> Result<(), ArmError> {
    let addr = entry.patch;
    let failed = |source| ArmError::Memory { addr, source };
    let mut found = [0; JUMP_BYTES];
    memory.read_exact_at(&mut found, addr).map_err(failed)?;
    if found == to[..JUMP_BYTES] {
        return Ok(());
    }
    if found != from[..JUMP_BYTES] {
        return Err(ArmError::Foreign { addr, found });
    }
    memory.write_all_at(&to[..usize::from(entry.patch_len).min(JUMP_BYTES)], addr).map_err(failed)?;
    Ok(fail_point("detour-changed")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A file stands in for the memory of a process.
    fn memory(bytes: &[u8]) -> File {
        let fd = nix::sys::memfd::memfd_create(c"text", nix::sys::memfd::MFdFlags::empty()).expect("a memfd");
        let mut file = File::from(fd);
        file.write_all(bytes).expect("room");
        file
    }

    fn entry(patch_len: u8) -> Entry {
        let mut entry = Entry::default();
        entry.patch = 2;
        entry.before = [1, 2, 3, 4, 5, 6, 7, 8];
        entry.after = if patch_len == 1 { [0xe9, 2, 3, 4, 5, 6, 7, 8] } else { [0xe9, 9, 9, 9, 9, 6, 7, 8] };
        entry.patch_len = patch_len;
        entry
    }

    fn text(memory: &File) -> [u8; 12] {
        let mut text = [0; 12];
        memory.read_exact_at(&mut text, 0).expect("written before");
        text
    }

    const WHOLE: [u8; 12] = [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0];

    #[test]
    fn one_byte_goes_in_and_out_and_again() {
        let memory = memory(&WHOLE);
        for _ in 0..2 {
            arm(&memory, &entry(1)).expect("as before");
            assert_eq!(text(&memory), [0, 0, 0xe9, 2, 3, 4, 5, 6, 7, 8, 0, 0]);
            arm(&memory, &entry(1)).expect("there already");
            disarm(&memory, &entry(1)).expect("ours");
            assert_eq!(text(&memory), WHOLE);
            disarm(&memory, &entry(1)).expect("gone already");
        }
    }

    #[test]
    fn foreign_bytes_stay() {
        for foreign in [[0, 0, 0xcc, 2, 3, 4, 5, 6, 7, 8, 0, 0], [0, 0, 0xe9, 2, 3, 4, 6, 6, 7, 8, 0, 0]] {
            let memory = memory(&foreign);
            assert!(matches!(arm(&memory, &entry(1)), Err(ArmError::Foreign { addr: 2, .. })));
            assert!(matches!(disarm(&memory, &entry(1)), Err(ArmError::Foreign { addr: 2, .. })));
            assert_eq!(text(&memory), foreign);
        }
    }

    #[test]
    fn five_bytes_need_every_thread_outside() {
        let memory = memory(&WHOLE);
        assert!(matches!(arm(&memory, &entry(5)), Err(ArmError::MustStop { addr: 2 })));
        for pc in 3..7 {
            let refused = arm_all_stopped(&memory, &entry(5), &[100, pc]);
            assert!(matches!(refused, Err(ArmError::ThreadInside { pc: inside }) if inside == pc));
        }
        assert_eq!(text(&memory), WHOLE);
        arm_all_stopped(&memory, &entry(5), &[1, 2, 7]).expect("nobody inside");
        assert_eq!(text(&memory), [0, 0, 0xe9, 9, 9, 9, 9, 6, 7, 8, 0, 0]);
        disarm_all_stopped(&memory, &entry(5), &[2]).expect("nobody inside");
        assert_eq!(text(&memory), WHOLE);
    }

    #[test]
    fn unreadable_text_is_an_error() {
        assert!(matches!(arm(&memory(&[0; 3]), &entry(1)), Err(ArmError::Memory { addr: 2, .. })));
    }
}
