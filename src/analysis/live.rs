//! What is allocated at each moment.
//!
//! Heap blocks are known by their address, mappings by their range, as the kernel
//! keeps them: `munmap` may take a part, a mapping over another replaces it, and
//! lengths are rounded up to pages.

use hashbrown::HashMap;

use super::ranges::{Piece, Ranges};
use crate::model::{Event, Kind, StackId, What};

const MREMAP_DONTUNMAP: u32 = 4;
const DEFAULT_PAGE: u64 = 4096;

/// Memory that began or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new block or mapping.
    Begin {
        /// Whose.
        stack: StackId,
        /// By which function.
        kind: Kind,
        /// Its size.
        bytes: u64,
    },
    /// The end of a block, or of a part of a mapping.
    End {
        /// Who had allocated it.
        stack: StackId,
        /// By which function.
        kind: Kind,
        /// The bytes that ended.
        bytes: u64,
        /// By how many there are now more blocks: -1; 0 for the edge of a mapping, 1 for its middle.
        blocks: i64,
    },
}

impl Change {
    /// Whether it counts as heap. Thread stacks are apart.
    pub fn is_heap(&self) -> bool {
        let (Change::Begin { kind, .. } | Change::End { kind, .. }) = self;
        *kind != Kind::ThreadStack
    }
}

#[derive(Clone, Copy, Debug)]
struct Block {
    size: u64,
    stack: StackId,
    kind: Kind,
}

/// The blocks and mappings that are allocated.
#[derive(Debug)]
pub struct Live {
    blocks: HashMap<u64, Block>,
    mappings: Ranges,
    page: u64,
    unmatched_frees: u64,
    lost_frees: u64,
}

impl Live {
    /// With nothing allocated. `page_size` is in bytes; 0 if not known.
    pub fn new(page_size: u64) -> Live {
        let page = if page_size.is_power_of_two() { page_size } else { DEFAULT_PAGE };
        Live { blocks: HashMap::new(), mappings: Ranges::default(), page, unmatched_frees: 0, lost_frees: 0 }
    }

    /// Takes an event and tells what it changes. Endings come before what begins.
    #[inline]
    pub fn add(&mut self, event: &Event, mut change: impl FnMut(Change)) {
        match event.what {
            What::Free { addr, .. } | What::ReallocBegin { old_addr: addr } => self.free(addr.0, change),
            What::Munmap { addr, size } => self.unmap(addr.0, size, &mut change),
            What::MremapBegin { old_addr, old_size, flags } => {
                if flags & MREMAP_DONTUNMAP == 0 {
                    self.unmap(old_addr.0, old_size, &mut change);
                }
            }
            What::Lost { .. } => {}
            What::Alloc { .. } | What::Realloc { .. } | What::Mremap { .. } => {
                let Some((kind, addr, size)) = event.what.begins() else { return };
                match kind.is_mapping() {
                    true => self.map(addr.0, size, kind, event.stack, &mut change),
                    false => self.allocate(addr.0, Block { size, stack: event.stack, kind }, change),
                }
            }
        }
    }

    /// Every heap block and mapping: first address and bytes.
    pub fn memory(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let blocks = self.blocks.iter().map(|(&addr, block)| (addr, block.size));
        blocks.chain(self.mappings.iter().map(|(start, piece)| (start, piece.end - start)))
    }

    /// What is mapped, apart from heap blocks.
    pub fn mappings(&self) -> &Ranges {
        &self.mappings
    }

    /// Frees of blocks that were not seen allocated, also by `realloc`: mostly older
    /// than the recording.
    pub fn unmatched_frees(&self) -> u64 {
        self.unmatched_frees
    }

    /// Frees that are missing for certain: their block was allocated again.
    pub fn lost_frees(&self) -> u64 {
        self.lost_frees
    }

    #[inline]
    fn allocate(&mut self, addr: u64, block: Block, mut change: impl FnMut(Change)) {
        if let Some(old) = self.blocks.insert(addr, block) {
            self.lost_frees += 1;
            change(old.end());
        }
        change(Change::Begin { stack: block.stack, kind: block.kind, bytes: block.size });
    }

    #[inline]
    fn free(&mut self, addr: u64, mut change: impl FnMut(Change)) {
        match self.blocks.remove(&addr) {
            Some(block) => change(block.end()),
            None => self.unmatched_frees += u64::from(addr != 0),
        }
    }

    fn map(&mut self, addr: u64, size: u64, kind: Kind, stack: StackId, change: &mut impl FnMut(Change)) {
        self.unmap(addr, size, change);
        let end = self.end(addr, size);
        self.mappings.insert(addr, Piece { end, stack, kind });
        change(Change::Begin { stack, kind, bytes: end - addr });
    }

    fn unmap(&mut self, addr: u64, size: u64, change: &mut impl FnMut(Change)) {
        let end = self.end(addr, size);
        self.mappings.remove(addr, end, |Piece { stack, kind, .. }, bytes, blocks| {
            change(Change::End { stack, kind, bytes, blocks });
        });
    }

    /// One past the last byte of whole pages.
    fn end(&self, addr: u64, size: u64) -> u64 {
        let bytes = size.checked_next_multiple_of(self.page).unwrap_or(u64::MAX);
        addr.saturating_add(bytes)
    }
}

impl Block {
    fn end(self) -> Change {
        Change::End { stack: self.stack, kind: self.kind, bytes: self.size, blocks: -1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Addr, ThreadSerial, Tick, Tid};

    const PAGE: u64 = 4096;

    fn alloc(kind: Kind, addr: u64, size: u64) -> What {
        What::Alloc { kind, addr: Addr(addr), size }
    }

    fn malloc(addr: u64, size: u64) -> What {
        alloc(Kind::Malloc, addr, size)
    }

    fn map(page: u64, pages: u64) -> What {
        alloc(Kind::Mmap, page * PAGE, pages * PAGE)
    }

    fn unmap(page: u64, pages: u64) -> What {
        What::Munmap { addr: Addr(page * PAGE), size: pages * PAGE }
    }

    fn free(addr: u64) -> What {
        What::Free { kind: Kind::Free, addr: Addr(addr) }
    }

    fn realloc(old: u64, addr: u64, size: u64) -> [What; 2] {
        let old_addr = Addr(old);
        [
            What::ReallocBegin { old_addr },
            What::Realloc { kind: Kind::Realloc, old_addr, addr: Addr(addr), size },
        ]
    }

    fn mremap(old: u64, old_pages: u64, page: u64, pages: u64, flags: u32) -> [What; 2] {
        let (old_addr, old_size) = (Addr(old * PAGE), old_pages * PAGE);
        let (addr, size) = (Addr(page * PAGE), pages * PAGE);
        [
            What::MremapBegin { old_addr, old_size, flags },
            What::Mremap { old_addr, old_size, addr, size, flags },
        ]
    }

    /// Heap bytes and blocks, unmatched frees, lost frees.
    type Outcome = (u64, i64, u64, u64);

    fn fold(whats: &[What]) -> Outcome {
        let mut live = Live::new(PAGE);
        let (mut bytes, mut count) = (0, 0);
        for &what in whats {
            let (thread, tid, stack) = (ThreadSerial(1), Tid(1), StackId(1));
            live.add(&Event { at: Tick(0), thread, tid, stack, what }, |change| match change {
                Change::Begin { bytes: more, kind, .. } if kind != Kind::ThreadStack => {
                    bytes += more;
                    count += 1;
                }
                Change::End { bytes: less, blocks, kind, .. } if kind != Kind::ThreadStack => {
                    bytes -= less;
                    count += blocks;
                }
                _ => {}
            });
        }
        (bytes, count, live.unmatched_frees(), live.lost_frees())
    }

    #[test]
    fn blocks() {
        let both = |a: &[What], b: &[What]| [a, b].concat();
        for (what, events, expected) in [
            ("freed", vec![malloc(16, 5), free(16)], (0, 0, 0, 0)),
            ("kept", vec![malloc(16, 5), malloc(32, 6), free(16)], (6, 1, 0, 0)),
            ("older than the recording", vec![free(16), malloc(16, 5)], (5, 1, 1, 0)),
            ("free(NULL)", vec![free(0)], (0, 0, 0, 0)),
            ("a free was lost", vec![malloc(16, 5), malloc(16, 7)], (7, 1, 0, 1)),
            ("size 0", vec![malloc(16, 0)], (0, 1, 0, 0)),
            ("moved", both(&[malloc(16, 5)], &realloc(16, 32, 9)), (9, 1, 0, 0)),
            ("in place", both(&[malloc(16, 5)], &realloc(16, 16, 9)), (9, 1, 0, 0)),
            ("realloc(p, 0)", both(&[malloc(16, 5)], &realloc(16, 0, 0)), (0, 0, 0, 0)),
            ("realloc of an older block", realloc(16, 32, 9).to_vec(), (9, 1, 1, 0)),
            ("realloc(NULL, n)", realloc(16, 32, 9)[1..].to_vec(), (9, 1, 0, 0)),
        ] {
            assert_eq!(fold(&events), expected, "{what}");
        }
    }

    #[test]
    fn mappings() {
        let stack = alloc(Kind::ThreadStack, 900 * PAGE, 8 * PAGE);
        let odd = alloc(Kind::Mmap, PAGE, 100);
        for (what, events, pages, count) in [
            ("unmapped", vec![map(1, 10), unmap(1, 10)], 0, 0),
            ("the front", vec![map(1, 10), unmap(1, 3)], 7, 1),
            ("the middle", vec![map(1, 10), unmap(4, 3)], 7, 2),
            ("many by one call", vec![map(1, 2), map(3, 2), map(9, 2), unmap(0, 20)], 0, 0),
            ("one by many calls", vec![map(1, 3), unmap(1, 1), unmap(3, 1), unmap(2, 1)], 0, 0),
            ("never seen", vec![unmap(1, 3), map(2, 1)], 1, 1),
            ("MAP_FIXED over the middle", vec![map(1, 10), map(4, 3)], 10, 3),
            ("MAP_FIXED over all", vec![map(2, 3), map(1, 10)], 10, 1),
            ("not whole pages", vec![odd], 1, 1),
            ("thread stacks are apart", vec![stack, map(1, 1)], 1, 1),
        ] {
            let (bytes, blocks, ..) = fold(&events);
            assert_eq!((bytes, blocks), (pages * PAGE, count), "{what}");
        }
        let all = [alloc(Kind::Mmap, 0, u64::MAX), What::Munmap { addr: Addr(0), size: u64::MAX }];
        assert_eq!(fold(&all), (0, 0, 0, 0), "nothing overflows");
    }

    #[test]
    fn remappings() {
        for (what, call, pages, count) in [
            ("grows in place", mremap(1, 10, 1, 20, 1), 24, 2),
            ("moves", mremap(1, 10, 50, 20, 1), 24, 2),
            ("shrinks", mremap(1, 10, 1, 4, 0), 8, 2),
            ("moves a part", mremap(4, 3, 50, 3, 1), 14, 4),
            ("onto half of another (MREMAP_FIXED)", mremap(1, 10, 102, 10, 3), 12, 2),
            ("keeps the old (MREMAP_DONTUNMAP)", mremap(1, 10, 50, 10, 5), 24, 3),
            ("copies shared pages (old size 0)", mremap(1, 0, 50, 10, 1), 24, 3),
        ] {
            let events = [&[map(1, 10), map(100, 4)], &call[..]].concat();
            let (bytes, blocks, ..) = fold(&events);
            assert_eq!((bytes, blocks), (pages * PAGE, count), "{what}");
        }
    }

    #[test]
    fn a_block_is_small() {
        assert_eq!(size_of::<Block>(), 16);
    }
}
