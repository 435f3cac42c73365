//! `_Py_DebugOffsets`, which begins `_PyRuntime` from 3.13 on: 64-bit words that
//! say where things are (`Include/internal/pycore_runtime.h`, 3.13).
//!
//! ```text
//!  0 "xdebugpy"   1 PY_VERSION_HEX   2 free-threaded?
//!  3 size of the runtime    4 5          offsets in it
//!  6 size of an interpreter 7 … 18       offsets in it
//!  …
//! ```
//!
//! The words are the target's, so foreign: an offset is taken only if it is
//! aligned and lies within its structure, whose size is bounded in turn.

use super::Layout;
use crate::cpython::Version;

/// Bytes of the table in 3.13.
pub const DEBUG_BYTES: usize = 73 * 8;

const COOKIE: u64 = u64::from_ne_bytes(*b"xdebugpy");

/// No structure of CPython comes near this.
const SIZE_MAX: u64 = 16 << 20;

/// Why the table cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTable {
    /// It does not begin with the cookie.
    #[error("_PyRuntime does not begin with debug offsets")]
    Cookie,
    /// It is another version's than `Py_Version` says.
    #[error("the debug offsets are of version {0:#010x}")]
    Version(u64),
    /// The build has no GIL.
    #[error("the debug offsets are of a free-threaded build")]
    FreeThreaded,
    /// A word cannot be an offset in its structure.
    #[error("word {word} of the debug offsets, {value}, is out of range")]
    OutOfRange {
        /// Its index in the table.
        word: usize,
        /// Its value.
        value: u64,
    },
}

/// Where the size of a structure stands in the table.
mod size {
    pub const RUNTIME: usize = 3;
    pub const INTERPRETER: usize = 6;
    pub const THREAD: usize = 19;
    pub const FRAME: usize = 28;
    pub const CODE: usize = 34;
    pub const OBJECT: usize = 44;
    pub const BYTES: usize = 64;
    pub const STR: usize = 67;
}

/// Replaces what the table knows in `layout`.
pub fn apply(layout: &mut Layout, version: Version, table: &[u8; DEBUG_BYTES]) -> Result<(), BadTable> {
    let words = Words(table);
    words.check_head(version)?;
    layout.runtime_finalizing = words.offset(4, size::RUNTIME, 8)?;
    layout.runtime_interpreters = words.offset(5, size::RUNTIME, 8)?;
    layout.interpreter_next = words.offset(8, size::INTERPRETER, 8)?;
    layout.interpreter_threads = words.offset(9, size::INTERPRETER, 8)?;
    layout.thread_next = words.offset(21, size::THREAD, 8)?;
    layout.thread_id = words.offset(24, size::THREAD, 8)?;
    layout.native_thread_id = words.offset(25, size::THREAD, 8)?;
    layout.object_type = words.offset(45, size::OBJECT, 8)?;
    let walk = &mut layout.walk;
    walk.tstate_frame = words.offset(23, size::THREAD, 8)?;
    walk.frame_previous = words.offset(29, size::FRAME, 8)?;
    walk.frame_code = words.offset(30, size::FRAME, 8)?;
    walk.frame_ip = words.offset(31, size::FRAME, 8)?;
    walk.frame_owner = words.offset(33, size::FRAME, 1)?;
    walk.code_file = words.offset(35, size::CODE, 8)?;
    walk.code_name = words.offset(36, size::CODE, 8)?;
    walk.code_qualified_name = words.offset(37, size::CODE, 8)?;
    walk.code_line_table = words.offset(38, size::CODE, 8)?;
    walk.code_first_line = words.offset(39, size::CODE, 4)?;
    walk.code_instructions = words.offset(43, size::CODE, 2)?;
    walk.bytes_length = words.offset(65, size::BYTES, 8)?;
    walk.bytes_data = words.offset(66, size::BYTES, 1)?;
    walk.str_state = words.offset(68, size::STR, 4)?;
    walk.str_length = words.offset(69, size::STR, 8)?;
    walk.str_ascii_data = words.offset(70, size::STR, 1)?;
    Ok(())
}

struct Words<'a>(&'a [u8; DEBUG_BYTES]);

impl Words<'_> {
    fn word(&self, index: usize) -> u64 {
        u64::from_ne_bytes(self.0.as_chunks().0[index])
    }

    fn check_head(&self, version: Version) -> Result<(), BadTable> {
        if self.word(0) != COOKIE {
            return Err(BadTable::Cookie);
        }
        let stated = u32::try_from(self.word(1)).ok().and_then(Version::from_hex);
        if stated != Some(version) {
            return Err(BadTable::Version(self.word(1)));
        }
        match self.word(2) {
            0 => Ok(()),
            _ => Err(BadTable::FreeThreaded),
        }
    }

    /// The offset in word `index`, of a field of `width` bytes in the structure
    /// whose size stands in word `size`.
    fn offset(&self, index: usize, size: usize, width: u64) -> Result<u32, BadTable> {
        let (value, bytes) = (self.word(index), self.word(size));
        let is_inside = value.checked_add(width).is_some_and(|end| end <= bytes);
        let fits = bytes <= SIZE_MAX && value.is_multiple_of(width) && is_inside;
        match u32::try_from(value) {
            Ok(offset) if fits => Ok(offset),
            _ => Err(BadTable::OutOfRange { word: index, value }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: u32 = 0x030d_00f0;

    fn table(change: impl Fn(&mut [u64; 73])) -> [u8; DEBUG_BYTES] {
        let mut words = [0_u64; 73];
        (words[0], words[1]) = (COOKIE, VERSION.into());
        for index in [3, 6, 19, 28, 34, 44, 64, 67] {
            words[index] = 4096;
        }
        change(&mut words);
        let mut bytes = [0; DEBUG_BYTES];
        for (out, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *out = word.to_ne_bytes();
        }
        bytes
    }

    fn applied(change: impl Fn(&mut [u64; 73])) -> Result<Layout, BadTable> {
        let mut layout = Layout::of(13).expect("a table");
        let version = Version::from_hex(VERSION).expect("a version");
        apply(&mut layout, version, &table(change)).map(|()| layout)
    }

    #[test]
    fn the_table_overrides_ours() {
        let layout = applied(|words| (words[23], words[30], words[5]) = (80, 16, 640)).expect("a good table");
        assert_eq!((layout.walk.tstate_frame, layout.walk.frame_code), (80, 16));
        assert_eq!(layout.runtime_interpreters, 640);
    }

    #[test]
    fn a_foreign_head_is_refused() {
        assert_eq!(applied(|words| words[0] ^= 1), Err(BadTable::Cookie));
        assert_eq!(applied(|words| words[1] += 0x100), Err(BadTable::Version(0x030d_01f0)));
        assert_eq!(applied(|words| words[2] = 1), Err(BadTable::FreeThreaded));
    }

    #[test]
    fn offsets_outside_their_structure_are_refused() {
        for value in [4089, 4096, 1 << 20, u64::MAX, 4] {
            let bad = BadTable::OutOfRange { word: 23, value };
            assert_eq!(applied(|words| words[23] = value), Err(bad), "{value}");
        }
        assert!(applied(|words| words[23] = 4088).is_ok());
        let huge = |words: &mut [u64; 73]| (words[19], words[23]) = (1 << 40, 1 << 32);
        assert!(matches!(applied(huge), Err(BadTable::OutOfRange { word: 21 | 23, .. })));
        assert!(matches!(applied(|words| words[28] = 0), Err(BadTable::OutOfRange { .. })));
    }
}
