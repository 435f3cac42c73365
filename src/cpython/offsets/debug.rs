//! `_Py_DebugOffsets`, which begins `_PyRuntime` from 3.13 on: 64-bit words that
//! say where things are (`Include/internal/pycore_debug_offsets.h`, before 3.14
//! `pycore_runtime.h`).
//!
//! ```text
//!  0 "xdebugpy"   1 PY_VERSION_HEX   2 free-threaded?
//!  3 size of the runtime    4 5     offsets in it
//!  6 size of an interpreter 7 …     offsets in it
//!  …
//! ```
//!
//! Each version adds words, so which word is which stands in that version's table
//! ([`DebugWords`]). The words are the target's, so foreign: an offset is taken only if
//! it is aligned and lies within its structure, whose size is bounded in turn.

use super::Layout;
use crate::cpython::Version;

/// Index of each word that is used, in one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebugWords {
    /// Words of the table.
    pub count: usize,
    pub runtime_size: usize,
    pub runtime_finalizing: usize,
    pub runtime_interpreters: usize,
    pub interpreter_size: usize,
    pub interpreter_next: usize,
    pub interpreter_threads: usize,
    pub thread_size: usize,
    pub thread_next: usize,
    pub thread_frame: usize,
    pub thread_id: usize,
    pub native_thread_id: usize,
    pub frame_size: usize,
    pub frame_previous: usize,
    pub frame_code: usize,
    pub frame_ip: usize,
    pub frame_owner: usize,
    pub code_size: usize,
    pub code_file: usize,
    pub code_name: usize,
    pub code_qualified_name: usize,
    pub code_line_table: usize,
    pub code_first_line: usize,
    pub code_instructions: usize,
    pub object_size: usize,
    pub object_type: usize,
    pub bytes_size: usize,
    pub bytes_length: usize,
    pub bytes_data: usize,
    pub str_size: usize,
    pub str_state: usize,
    pub str_length: usize,
    pub str_ascii_data: usize,
}

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

impl DebugWords {
    /// Bytes of the table.
    pub fn bytes(&self) -> usize {
        self.count * 8
    }
}

/// Replaces in `layout` what `table` knows, whose words are those of `at`.
pub fn apply(layout: &mut Layout, at: &DebugWords, version: Version, table: &[u8]) -> Result<(), BadTable> {
    let words = Words(table.as_chunks().0);
    words.check_head(version)?;
    layout.runtime_finalizing = words.offset(at.runtime_finalizing, at.runtime_size, 8)?;
    layout.runtime_interpreters = words.offset(at.runtime_interpreters, at.runtime_size, 8)?;
    layout.interpreter_next = words.offset(at.interpreter_next, at.interpreter_size, 8)?;
    layout.interpreter_threads = words.offset(at.interpreter_threads, at.interpreter_size, 8)?;
    layout.thread_next = words.offset(at.thread_next, at.thread_size, 8)?;
    layout.thread_id = words.offset(at.thread_id, at.thread_size, 8)?;
    layout.native_thread_id = words.offset(at.native_thread_id, at.thread_size, 8)?;
    layout.object_type = words.offset(at.object_type, at.object_size, 8)?;
    let walk = &mut layout.walk;
    walk.tstate_frame = words.offset(at.thread_frame, at.thread_size, 8)?;
    walk.frame_previous = words.offset(at.frame_previous, at.frame_size, 8)?;
    walk.frame_code = words.offset(at.frame_code, at.frame_size, 8)?;
    walk.frame_ip = words.offset(at.frame_ip, at.frame_size, 8)?;
    walk.frame_owner = words.offset(at.frame_owner, at.frame_size, 1)?;
    walk.code_file = words.offset(at.code_file, at.code_size, 8)?;
    walk.code_name = words.offset(at.code_name, at.code_size, 8)?;
    walk.code_qualified_name = words.offset(at.code_qualified_name, at.code_size, 8)?;
    walk.code_line_table = words.offset(at.code_line_table, at.code_size, 8)?;
    walk.code_first_line = words.offset(at.code_first_line, at.code_size, 4)?;
    walk.code_instructions = words.offset(at.code_instructions, at.code_size, 2)?;
    walk.bytes_length = words.offset(at.bytes_length, at.bytes_size, 8)?;
    walk.bytes_data = words.offset(at.bytes_data, at.bytes_size, 1)?;
    walk.str_state = words.offset(at.str_state, at.str_size, 4)?;
    walk.str_length = words.offset(at.str_length, at.str_size, 8)?;
    walk.str_ascii_data = words.offset(at.str_ascii_data, at.str_size, 1)?;
    Ok(())
}

struct Words<'a>(&'a [[u8; 8]]);

impl Words<'_> {
    /// Word `index`; what a table is too short for is no sound offset.
    fn word(&self, index: usize) -> u64 {
        self.0.get(index).map_or(u64::MAX, |&word| u64::from_ne_bytes(word))
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

    fn table(change: impl Fn(&mut Vec<u64>)) -> Vec<u8> {
        let mut words = vec![0_u64; 73];
        (words[0], words[1]) = (COOKIE, VERSION.into());
        for index in [3, 6, 19, 28, 34, 44, 64, 67] {
            words[index] = 4096;
        }
        change(&mut words);
        words.into_iter().flat_map(u64::to_ne_bytes).collect()
    }

    fn applied(change: impl Fn(&mut Vec<u64>)) -> Result<Layout, BadTable> {
        let mut layout = Layout::of(13).expect("a table");
        let version = Version::from_hex(VERSION).expect("a version");
        let words = layout.debug.expect("3.13 has the table");
        apply(&mut layout, &words, version, &table(change)).map(|()| layout)
    }

    #[test]
    fn every_word_lies_in_the_table() {
        for minor in 13..=15 {
            let words = Layout::of(minor).expect("a table").debug.expect("it has words");
            assert!(words.str_ascii_data < words.count && words.count <= 128, "3.{minor}");
        }
    }

    #[test]
    fn a_short_table_is_refused() {
        assert_eq!(applied(|words| words.clear()), Err(BadTable::Cookie));
        let short = applied(|words| words.truncate(68));
        assert_eq!(short, Err(BadTable::OutOfRange { word: 68, value: u64::MAX }));
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
        let huge = |words: &mut Vec<u64>| (words[19], words[23]) = (1 << 40, 1 << 32);
        assert!(matches!(applied(huge), Err(BadTable::OutOfRange { word: 21 | 23, .. })));
        assert!(matches!(applied(|words| words[28] = 0), Err(BadTable::OutOfRange { .. })));
    }
}
