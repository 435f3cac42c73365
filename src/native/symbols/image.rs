//! One ELF file: its sections, unpacked where they are compressed.

use super::Error;
use object::read::elf::ElfFile64;
use object::{Architecture, CompressedData, CompressionFormat, LittleEndian, Object, ObjectSection};
use std::io::{self, Read};

/// The file as `object` reads it.
pub(super) type Elf<'a> = ElfFile64<'a, LittleEndian>;

/// Compressed data that claims to grow further is left alone: what real files hold grows
/// by three to ten times.
const MOST_GROWTH: u64 = 64;
/// But a small section may.
const ALWAYS_FITS: u64 = 1 << 20;
/// The dictionary of `xz -9` and what its decoder needs besides, in KiB.
const XZ_MEMORY_KB: u32 = 66 << 10;

/// An ELF file and the DWARF in it.
pub(super) struct Image<'m> {
    bytes: Box<dyn AsRef<[u8]> + 'm>,
    unpacked: Vec<(String, Vec<u8>)>,
}

impl<'m> Image<'m> {
    /// Takes a file. Its compressed sections are unpacked here.
    pub fn open(bytes: impl AsRef<[u8]> + 'm) -> Result<Image<'m>, Error> {
        let mut image = Image { bytes: Box::new(bytes), unpacked: Vec::new() };
        let elf = Elf::parse(image.bytes())?;
        if elf.architecture() != Architecture::X86_64 {
            return Err(Error::Missing("x86_64 code"));
        }
        image.unpacked = elf.sections().filter_map(|section| unpacked(&section)).collect();
        Ok(image)
    }

    pub fn elf(&self) -> Elf<'_> {
        Elf::parse(self.bytes()).expect("it could be parsed before")
    }

    pub fn bytes(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    /// The bytes of a section; none if there is no such section, or it is damaged.
    pub fn section(&self, name: &str) -> &[u8] {
        if let Some((_, bytes)) = self.unpacked.iter().find(|(unpacked, _)| unpacked == name) {
            return bytes;
        }
        let in_file = self.elf().section_by_name(name).and_then(|section| section.data().ok());
        in_file.unwrap_or_default()
    }

    /// Whether it says which line and function an address belongs to.
    pub fn has_dwarf(&self) -> bool {
        !self.section(".debug_info").is_empty()
    }

    /// Whether a compiler has written parts of the DWARF into files of their own.
    pub fn is_split(&self) -> bool {
        // Each such unit counts its addresses here, and has `DW_AT_dwo_name` or its elder.
        !self.section(".debug_addr").is_empty()
    }

    /// The size of the DWARF in it.
    pub fn dwarf_bytes(&self) -> usize {
        let packed = |section: &&str| self.unpacked.iter().any(|(unpacked, _)| unpacked == section);
        let elf = self.elf();
        let names = elf.sections().filter_map(|section| section.name().ok().map(str::to_owned));
        let in_file = names.filter(|name| name.starts_with(".debug_") && !packed(&name.as_str()));
        let in_file: usize = in_file.map(|name| self.section(&name).len()).sum();
        in_file + self.unpacked.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
    }

    /// The little symbol table that some distributions put into stripped files.
    /// See "MiniDebugInfo" in gdb's manual.
    pub fn mini_debug_info(&self) -> Option<Image<'static>> {
        let packed = self.section(".gnu_debugdata");
        if packed.is_empty() {
            return None;
        }
        let limit = most(packed.len());
        let reader = lzma_rust2::XzReader::new_mem_limit(packed, true, XZ_MEMORY_KB);
        let unpacked = read_at_most(reader, limit).ok()?;
        Image::open(unpacked).ok()
    }
}

fn most(packed: usize) -> u64 {
    (packed as u64).saturating_mul(MOST_GROWTH).max(ALWAYS_FITS)
}

/// The name and contents of a section of DWARF that is compressed.
fn unpacked<'a>(section: &impl ObjectSection<'a>) -> Option<(String, Vec<u8>)> {
    let name = section.name().ok()?;
    let is_dwarf = name.starts_with(".debug_") || name.starts_with(".zdebug_");
    let packed = section.compressed_data().ok().filter(|_| is_dwarf)?;
    // `.zdebug_info` is the older form of a compressed `.debug_info`.
    let name = name.replacen(".zdebug_", ".debug_", 1);
    let bytes = match packed.format {
        CompressionFormat::Zlib => read_section(flate2::read::ZlibDecoder::new(packed.data), &packed),
        CompressionFormat::Zstandard => read_section(zstd::Decoder::new(packed.data).ok()?, &packed),
        _ => return None,
    };
    // What cannot be unpacked is empty, so that nobody reads the packed bytes.
    Some((name, bytes.unwrap_or_default()))
}

fn read_section(reader: impl Read, packed: &CompressedData<'_>) -> io::Result<Vec<u8>> {
    let bytes = read_at_most(reader, most(packed.data.len()))?;
    if bytes.len() as u64 == packed.uncompressed_size {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// All of it, or an error if there is more.
fn read_at_most(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}
