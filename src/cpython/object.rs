//! Objects of the target, read from outside.
//!
//! The process runs on while they are read, and nothing holds a reference: every
//! answer may be stale or torn, so lengths are bounded and types compared.

use super::text;
use prof_injector::process::Memory;
use prof_shared::region::PyOffsets;
use std::io;
use std::rc::Rc;

/// Characters of a name or path that are read; more are cut.
const TEXT_MAX: u64 = 4096;
/// Bytes of a line table that are read; a larger one is taken for damage.
const TABLE_MAX: u64 = 4 << 20;
/// The last line number that is believed.
const LINE_MAX: u32 = 1 << 30;

/// Why something does not look like what it should be.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It cannot be read.
    #[error("cannot read {addr:#x}: {source}")]
    Unreadable {
        /// Where.
        addr: u64,
        /// Why.
        source: io::Error,
    },
    /// A pointer that none can be.
    #[error("{what} has the address {addr:#x}")]
    Pointer {
        /// What it should point to.
        what: &'static str,
        /// Its value.
        addr: u64,
    },
    /// A frame executes something that is no code object.
    #[error("the object at {0:#x} is no code object")]
    NotCode(u64),
    /// A value outside its range.
    #[error("{what} is {value}")]
    Value {
        /// Which.
        what: &'static str,
        /// The value.
        value: u64,
    },
    /// A list that has no end.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are believed.
        limit: usize,
    },
    /// A walk that does not end.
    #[error("stacks without an end: the walk was given up after {0} s")]
    Endless(u64),
}

/// A code object's description.
#[derive(Clone, Debug)]
pub struct Code {
    /// The qualified name, or the name where a version has none.
    pub name: Rc<str>,
    /// `co_filename`.
    pub file: Rc<str>,
    /// `co_firstlineno`.
    pub first_line: u32,
    /// `co_lnotab` or `co_linetable`.
    pub line_table: Vec<u8>,
}

/// Reads objects laid out as `offsets` say.
#[derive(Clone, Copy)]
pub struct Objects<'a> {
    pub memory: &'a Memory,
    pub offsets: &'a PyOffsets,
    pub object_type: u32,
}

impl Objects<'_> {
    /// The code object at `addr`.
    pub fn code(&self, addr: u64) -> Result<Code, Damage> {
        if self.pointer(addr, self.object_type, "a type")? != self.offsets.code_type {
            return Err(Damage::NotCode(addr));
        }
        let name = match self.offsets.code_qualified_name {
            prof_shared::region::ABSENT => self.offsets.code_name,
            qualified => qualified,
        };
        let first_line = self.u32(addr + u64::from(self.offsets.code_first_line))?;
        if first_line > LINE_MAX {
            return Err(Damage::Value { what: "a first line", value: first_line.into() });
        }
        Ok(Code {
            name: self.text(self.pointer(addr, name, "a name")?)?.into(),
            file: self.text(self.pointer(addr, self.offsets.code_file, "a file name")?)?.into(),
            first_line,
            line_table: self.bytes(self.pointer(addr, self.offsets.code_line_table, "a line table")?)?,
        })
    }

    /// The pointer at `offset` from `base`, which must be one.
    pub fn pointer(&self, base: u64, offset: u32, what: &'static str) -> Result<u64, Damage> {
        match self.pointer_or_null(base, offset, what)? {
            0 => Err(Damage::Pointer { what, addr: 0 }),
            addr => Ok(addr),
        }
    }

    /// The pointer at `offset` from `base`, or 0.
    pub fn pointer_or_null(&self, base: u64, offset: u32, what: &'static str) -> Result<u64, Damage> {
        check_pointer(self.u64(base + u64::from(offset))?, what)
    }

    /// As [`Objects::pointer`]; only the bits of `mask` are the address.
    pub fn masked(&self, base: u64, offset: u32, mask: u64, what: &'static str) -> Result<u64, Damage> {
        let word = self.u64(base + u64::from(offset))?;
        match word & mask {
            0 => Err(Damage::Pointer { what, addr: word }),
            addr => check_pointer(addr, what),
        }
    }

    /// The word at `addr`.
    pub fn u64(&self, addr: u64) -> Result<u64, Damage> {
        self.memory.read_u64(addr).map_err(|source| Damage::Unreadable { addr, source })
    }

    /// The half word at `addr`.
    pub fn u32(&self, addr: u64) -> Result<u32, Damage> {
        self.memory.read_u32(addr).map_err(|source| Damage::Unreadable { addr, source })
    }

    /// The byte at `addr`.
    pub fn u8(&self, addr: u64) -> Result<u8, Damage> {
        Ok(self.block(addr, 1)?[0])
    }

    /// The `str` at `addr`, its first [`TEXT_MAX`] characters.
    fn text(&self, addr: u64) -> Result<String, Damage> {
        let state = self.u32(addr + u64::from(self.offsets.str_state))?;
        let (width, compact, ascii) = ((state >> 2 & 7) as u8, state & 1 << 5 != 0, state & 1 << 6 != 0);
        if !compact || !matches!(width, 1 | 2 | 4) || ascii && width != 1 {
            return Err(Damage::Value { what: "the state of a str", value: state.into() });
        }
        let length = self.u64(addr + u64::from(self.offsets.str_length))?;
        if length > TABLE_MAX {
            return Err(Damage::Value { what: "the length of a str", value: length });
        }
        let data = if ascii { self.offsets.str_ascii_data } else { self.offsets.str_compact_data };
        let bytes = self.block(addr + u64::from(data), length.min(TEXT_MAX + 1) * u64::from(width))?;
        Ok(text::decode_bounded(width, &bytes, TEXT_MAX as usize))
    }

    /// The `bytes` at `addr`.
    fn bytes(&self, addr: u64) -> Result<Vec<u8>, Damage> {
        let length = self.u64(addr + u64::from(self.offsets.bytes_length))?;
        if length > TABLE_MAX {
            return Err(Damage::Value { what: "the length of a line table", value: length });
        }
        self.block(addr + u64::from(self.offsets.bytes_data), length)
    }

    fn block(&self, addr: u64, len: u64) -> Result<Vec<u8>, Damage> {
        let mut block = vec![0; len as usize];
        match self.memory.read(addr, &mut block) {
            Ok(()) => Ok(block),
            Err(source) => Err(Damage::Unreadable { addr, source }),
        }
    }
}

fn check_pointer(addr: u64, what: &'static str) -> Result<u64, Damage> {
    if addr.is_multiple_of(8) && addr < 1 << 47 { Ok(addr) } else { Err(Damage::Pointer { what, addr }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpython::offsets::Layout;
    use prof_injector::Pid;

    #[test]
    fn a_long_text_is_cut() {
        let layout = Layout::of(13).expect("a table");
        let memory = Memory::new(Pid::from_raw(std::process::id().cast_signed()));
        let objects = Objects { memory: &memory, offsets: &layout.walk, object_type: layout.object_type };
        let mut text = vec![b'a'; layout.walk.str_ascii_data as usize + 5000];
        let mut set = |offset: u32, word: [u8; 8]| text[offset as usize..][..8].copy_from_slice(&word);
        set(layout.walk.str_length, 5000_u64.to_ne_bytes());
        set(layout.walk.str_state, (1_u64 << 2 | 1 << 5 | 1 << 6).to_ne_bytes());
        let read = objects.text(text.as_ptr() as u64).expect("a text");
        assert_eq!(read, "a".repeat(4096) + "…");
    }
}
