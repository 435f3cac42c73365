//! `/proc/PID/maps`, parsed.

use std::ops::Range;
use std::path::Path;

/// One line of `/proc/PID/maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address and the address behind the last.
    pub range: Range<u64>,
    /// `PROT_READ`, `PROT_WRITE`, `PROT_EXEC` as shown.
    pub read: bool,
    /// Writable.
    pub write: bool,
    /// Executable.
    pub exec: bool,
    /// `MAP_SHARED`.
    pub shared: bool,
    /// Offset in the file.
    pub offset: u64,
    /// Device as `major:minor` of the line, hexadecimal.
    pub device: (u32, u32),
    /// 0 for anonymous memory.
    pub inode: u64,
    /// Path, `[stack]` and the like, or empty; ` (deleted)` kept as shown.
    pub name: String,
}

impl Mapping {
    /// Parses one line; `None` if it is not one.
    pub fn parse(line: &str) -> Option<Mapping> {
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let flags = fields.next()?.as_bytes();
        let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
        let (major, minor) = fields.next()?.split_once(':')?;
        let inode = fields.next()?.parse().ok()?;
        let flag = |index: usize, letter| flags.get(index) == Some(&letter);
        let range = u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?;
        Some(Mapping {
            range: Some(range).filter(|range| !range.is_empty())?,
            read: flag(0, b'r'),
            write: flag(1, b'w'),
            exec: flag(2, b'x'),
            shared: flag(3, b's'),
            offset,
            device: (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?),
            inode,
            name: fields.next().unwrap_or_default().trim_start().to_owned(),
        })
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether it is empty, which the kernel never shows.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Whether it is backed by no file.
    pub fn is_anonymous(&self) -> bool {
        self.inode == 0
    }
}

/// The mappings of a process at one moment, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maps(pub Vec<Mapping>);

impl Maps {
    /// Reads a `maps` file (of a process or of one of its tasks).
    pub fn read(path: &Path) -> std::io::Result<Maps> {
        let text = std::fs::read(path)?;
        Ok(Maps(String::from_utf8_lossy(&text).lines().filter_map(Mapping::parse).collect()))
    }

    /// The mapping that holds `addr`.
    pub fn at(&self, addr: u64) -> Option<&Mapping> {
        let index = self.0.partition_point(|mapping| mapping.range.end <= addr);
        self.0.get(index).filter(|mapping| mapping.range.contains(&addr))
    }

    /// Whether no mapping touches `range`.
    pub fn is_free(&self, range: &Range<u64>) -> bool {
        let index = self.0.partition_point(|mapping| mapping.range.end <= range.start);
        self.0.get(index).is_none_or(|mapping| mapping.range.start >= range.end)
    }
}
