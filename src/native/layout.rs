//! Where a file keeps its unwind information, found by program headers alone: a
//! file without section headers, or an image copied out of memory, will do.

use super::Error;
use object::LittleEndian;
use object::elf::{EM_X86_64, FileHeader64, PF_X, PT_GNU_EH_FRAME, PT_LOAD, ProgramHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use std::ops::Range;

/// A part of the file and its address as the file gives it.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Where in the file.
    pub bytes: Range<usize>,
    /// The address of its first byte, without load bias.
    pub addr: u64,
}

impl Part {
    /// From the byte at `addr` to the end of the part.
    fn rest_at(&self, addr: u64) -> Option<Part> {
        let skip = usize::try_from(addr.checked_sub(self.addr)?).ok()?;
        (skip < self.bytes.len()).then(|| Part { bytes: self.bytes.start + skip..self.bytes.end, addr })
    }
}

/// The parts of a file that rules are made from.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// `.eh_frame_hdr`.
    pub header: Part,
    /// `.eh_frame`, up to the end of its segment.
    pub frames: Part,
    /// Start of the text without load bias; rows count from here.
    pub text: u64,
}

impl Layout {
    /// Finds the parts; all lie inside `data`.
    pub fn parse(data: &[u8]) -> Result<Layout, Error> {
        let elf = FileHeader64::<LittleEndian>::parse(data)?;
        let endian = elf.endian()?;
        if elf.e_machine(endian) != EM_X86_64 {
            return Err(Error::Missing("x86_64 code"));
        }
        let segments = elf.program_headers(endian, data)?;
        let header = segments.iter().find(|s| s.p_type(endian) == PT_GNU_EH_FRAME);
        let header = part(header.ok_or(Error::Missing("PT_GNU_EH_FRAME"))?, data)?;
        let loads = || segments.iter().filter(|s| s.p_type(endian) == PT_LOAD);
        let text = loads().filter(|s| s.p_flags(endian).contains(PF_X)).map(|s| s.p_vaddr(endian)).min();
        let frames_addr = super::header::frames_addr(&data[header.bytes.clone()], header.addr)?;
        let frames = loads().filter_map(|s| part(s, data).ok()?.rest_at(frames_addr)).next();
        Ok(Layout {
            header,
            frames: frames.ok_or(Error::OutsideFile(".eh_frame"))?,
            text: text.ok_or(Error::Missing("executable segment"))?,
        })
    }
}

fn part(segment: &ProgramHeader64<LittleEndian>, data: &[u8]) -> Result<Part, Error> {
    let (offset, size) = segment.file_range(LittleEndian);
    let range = || Some(usize::try_from(offset).ok()?..usize::try_from(offset.checked_add(size)?).ok()?);
    let bytes = range().filter(|r| r.end <= data.len()).ok_or(Error::OutsideFile("a segment"))?;
    Ok(Part { bytes, addr: segment.p_vaddr(LittleEndian) })
}
