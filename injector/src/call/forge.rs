//! Finds the instructions that calls borrow, and builds frames for them.

use super::CallError;
use crate::arch::frame::{FRAME_BYTES, Frame};
use crate::arch::gadget::{Gadgets, OVERLAP};
use crate::arch::{self, RT_SIGRETURN, Registers};
use crate::process::{Mapping, Maps, Memory};
use crate::tracee::MemoryWriter;

/// Bytes searched at once.
const PIECE: usize = 1 << 20;

/// Builds frames that lead from one system call to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forge {
    syscall_ret: u64,
    /// What lies in front of a frame: return addresses that end in `rt_sigreturn`.
    way_back: Vec<u64>,
}

impl Forge {
    /// Searches the code of the process as it is in memory, libc first: that is
    /// never unloaded.
    pub fn find(memory: &Memory, maps: &Maps) -> Option<Forge> {
        let mut text: Vec<&Mapping> = maps.0.iter().filter(|m| m.exec && m.inode != 0 && !m.shared).collect();
        text.sort_by_key(|mapping| !is_libc(&mapping.name));
        let mut gadgets = Gadgets::default();
        for mapping in text {
            search(memory, mapping, &mut gadgets);
            if gadgets.is_complete() {
                break;
            }
        }
        let (syscall_ret, way_back) = gadgets.way()?;
        Some(Forge { syscall_ret, way_back })
    }

    /// Registers that load `frame` by `rt_sigreturn`.
    pub fn loading(&self, saved: &Registers, frame: u64) -> Registers {
        arch::calling(saved, self.syscall_ret, frame, RT_SIGRETURN, [0; 6])
    }

    /// Registers that make a system call and return to what lies at `returning`.
    pub fn calling(&self, saved: &Registers, returning: u64, number: u64, args: [u64; 6]) -> Registers {
        arch::calling(saved, self.syscall_ret, returning, number, args)
    }

    /// Puts `frame` on `pile`, with the way to it in front.
    pub fn put(&self, pile: &mut Pile, frame: &Frame) -> Landing {
        let mut bytes: Vec<u8> = self.way_back.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend(frame.to_bytes());
        let returning = pile.push(&bytes, 8);
        Landing { returning, frame: returning + bytes.len() as u64 - FRAME_BYTES }
    }
}

/// A frame that lies in memory.
#[derive(Clone, Copy, Debug)]
pub struct Landing {
    /// Where a `ret` is to find its address for the frame to be loaded.
    pub returning: u64,
    /// The frame itself.
    pub frame: u64,
}

/// By the name only: it decides what is searched first, not what is found.
fn is_libc(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    ["libc.", "libc-", "ld-musl"].iter().any(|start| file.starts_with(start))
}

fn search(memory: &Memory, mapping: &Mapping, gadgets: &mut Gadgets) {
    let mut buffer = vec![0; PIECE];
    let mut addr = mapping.range.start;
    while addr < mapping.range.end && !gadgets.is_complete() {
        let len = (mapping.range.end - addr).min(PIECE as u64) as usize;
        match memory.read_some(addr, &mut buffer[..len]) {
            Ok(read) if read > OVERLAP => {
                gadgets.search(&buffer[..read], addr);
                addr += (read - OVERLAP) as u64;
            }
            _ => return,
        }
    }
}

/// Bytes that grow downwards from an address, to be written at once.
pub struct Pile {
    top: u64,
    /// From the top down, so back to front.
    reversed: Vec<u8>,
}

impl Pile {
    /// An empty one below `top`.
    pub fn new(top: u64) -> Pile {
        Pile { top, reversed: Vec::new() }
    }

    /// Its lowest address so far.
    pub fn bottom(&self) -> u64 {
        self.top.wrapping_sub(self.reversed.len() as u64)
    }

    /// Puts `bytes` below all others, at a multiple of `align`; their address.
    pub fn push(&mut self, bytes: &[u8], align: u64) -> u64 {
        let addr = self.bottom().wrapping_sub(bytes.len() as u64) & !(align - 1);
        let end = addr.wrapping_add(bytes.len() as u64);
        let gap = self.bottom().wrapping_sub(end) as usize;
        self.reversed.resize(self.reversed.len() + gap, 0);
        self.reversed.extend(bytes.iter().rev());
        addr
    }

    /// Writes it.
    pub fn write(mut self, writer: &MemoryWriter) -> Result<(), CallError> {
        let bottom = self.bottom();
        self.reversed.reverse();
        let written = writer.write(bottom, &self.reversed);
        written.map_err(|source| CallError::Memory { what: "writing frames", source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pile_grows_down_and_keeps_alignment() {
        let mut pile = Pile::new(0x1003);
        assert_eq!(pile.push(b"abc", 64), 0x1000);
        assert_eq!(pile.push(b"defg", 8), 0xff8);
        assert_eq!(pile.bottom(), 0xff8);
        pile.reversed.reverse();
        assert_eq!(pile.reversed, b"defg\0\0\0\0abc");
    }

    #[test]
    fn libc_is_told_by_its_file_name() {
        for path in ["/lib/libc.so.6", "/lib/libc-2.28.so", "/lib/ld-musl-x86_64.so.1"] {
            assert!(is_libc(path), "{path}");
        }
        assert!(!is_libc("/usr/lib/libcrypto.so.3") && !is_libc("/opt/libc.d/app"));
    }
}
