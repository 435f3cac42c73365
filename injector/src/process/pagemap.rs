//! Which pages of a process are in physical memory: `/proc/PID/pagemap`.
//!
//! `smaps` tells more, but walks a whole mapping under the process's `mmap_lock`: a
//! target that maps memory meanwhile waits for the walk of its largest mapping,
//! 20 ms a GiB. `pagemap` takes the lock anew for every 2 MiB of addresses
//! (fs/proc/task_mmu.c, `pagemap_read`, Linux 6.12) and holds it for microseconds.

use prof_shared::region::PAGE;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

// Documentation/admin-guide/mm/pagemap.rst
const PRESENT: u64 = 1 << 63;
const FILE_OR_SHARED: u64 = 1 << 61;
const EXCLUSIVE: u64 = 1 << 56;
const ENTRY: u64 = size_of::<u64>() as u64;
/// Entries read at a time: 32 MiB of addresses.
const BATCH: u64 = 8192;

/// Bytes of a range that are in physical memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// Of a file or of shared memory; in anonymous memory the huge zero page, which is
    /// mapped where memory is read that nobody has written to, and is in no resident set.
    pub file_bytes: u64,
    /// Anonymous, and of this process alone.
    pub own_bytes: u64,
    /// Anonymous and shared with a fork, or the zero page, which is in no resident
    /// set, or device memory, which is not either.
    pub doubtful_bytes: u64,
}

/// The open file.
pub struct Pagemap(File);

impl Pagemap {
    pub(super) fn open(path: &Path) -> io::Result<Pagemap> {
        Ok(Pagemap(File::open(path)?))
    }

    /// What of `range` is resident.
    pub fn resident(&self, range: &Range<u64>) -> io::Result<Resident> {
        let mut sum = Resident::default();
        self.tiles(range, u64::MAX, |_, resident| sum = resident)?;
        Ok(sum)
    }

    /// Tells what is resident of each part of `range` that lies between multiples of
    /// `tile_bytes`, in ascending order. Parts without anything are left out.
    pub fn tiles(
        &self,
        range: &Range<u64>,
        tile_bytes: u64,
        mut tell: impl FnMut(Range<u64>, Resident),
    ) -> io::Result<()> {
        let mut tile = Tile::new(tile_bytes, range.start);
        let mut buffer = [0; (BATCH * ENTRY) as usize];
        let (mut page, end) = (range.start / PAGE, range.end.div_ceil(PAGE));
        while page < end {
            let wanted = (end - page).min(BATCH) * ENTRY;
            let read = self.0.read_at(&mut buffer[..wanted as usize], page * ENTRY)?;
            let (entries, _) = buffer[..read].as_chunks();
            if entries.is_empty() {
                break;
            }
            entries.iter().zip(page..).for_each(|(&entry, page)| {
                tile.add(u64::from_ne_bytes(entry), page * PAGE, &mut tell);
            });
            page += entries.len() as u64;
        }
        tile.tell(range.end, &mut tell);
        Ok(())
    }
}

/// The part that is being read.
struct Tile {
    bytes: u64,
    range: Range<u64>,
    resident: Resident,
}

impl Tile {
    fn new(bytes: u64, start: u64) -> Tile {
        let end = (start - start % bytes).saturating_add(bytes);
        Tile { bytes, range: start..end, resident: Resident::default() }
    }

    #[inline]
    fn add(&mut self, entry: u64, at: u64, tell: &mut impl FnMut(Range<u64>, Resident)) {
        if entry & PRESENT != 0 {
            if at >= self.range.end {
                self.tell(self.range.end, tell);
                *self = Tile::new(self.bytes, at - at % self.bytes);
            }
            self.resident.add(entry);
        }
    }

    fn tell(&self, end: u64, tell: &mut impl FnMut(Range<u64>, Resident)) {
        if self.resident != Resident::default() {
            tell(self.range.start..end.min(self.range.end), self.resident);
        }
    }
}

impl Resident {
    fn add(&mut self, entry: u64) {
        let bytes = match entry & (PRESENT | FILE_OR_SHARED | EXCLUSIVE) {
            entry if entry & PRESENT == 0 => return,
            entry if entry & FILE_OR_SHARED != 0 => &mut self.file_bytes,
            entry if entry & EXCLUSIVE != 0 => &mut self.own_bytes,
            _ => &mut self.doubtful_bytes,
        };
        *bytes += PAGE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_end_where_tiles_do() {
        const TILE: u64 = 16 * PAGE;
        let mut tile = Tile::new(TILE, 3 * PAGE);
        let mut told = Vec::new();
        let mut tell = |range: Range<u64>, resident: Resident| {
            told.push((range.start / PAGE, range.end / PAGE, resident.own_bytes / PAGE));
        };
        for page in 3..60 {
            let entry = if [3, 15, 16, 47, 50].contains(&page) { PRESENT | EXCLUSIVE } else { 0 };
            tile.add(entry, page * PAGE, &mut tell);
        }
        tile.tell(60 * PAGE, &mut tell);
        assert_eq!(told, [(3, 16, 2), (16, 32, 1), (32, 48, 1), (48, 60, 1)]);
    }

    #[test]
    fn pages_are_of_three_sorts() {
        let mut resident = Resident::default();
        let swapped = 1 << 62;
        for entry in [0, swapped, EXCLUSIVE, PRESENT, PRESENT | EXCLUSIVE, PRESENT | EXCLUSIVE | 77] {
            resident.add(entry);
        }
        resident.add(PRESENT | FILE_OR_SHARED | EXCLUSIVE);
        let expected = Resident { file_bytes: PAGE, own_bytes: 2 * PAGE, doubtful_bytes: PAGE };
        assert_eq!(resident, expected);
    }
}
