//! What is allocated at each moment.
//!
//! Heap blocks are known by their address, mappings by their range, as the kernel
//! keeps them: `munmap` may take a part, a mapping over another replaces it, and
//! lengths are rounded up to pages.
//!
//! Memory remembers when it began, in the terms that are asked for later: in which
//! interval of the recording, and as which allocation of its thread.
//!
//! ```text
//!  thread 1   alloc A (1)   alloc B (2)   alloc C (3)   free A       age of A: 2
//!  interval   ├────── 0 ──────┤├────────── 1 ──────────┤             born in 0
//! ```

use hashbrown::HashMap;

use super::ledger::Sum;
use super::near::Near;
use super::ranges::{Piece, Ranges};
use super::sampled::{Sampled, estimate};
use super::site::{Site, SiteId, Sites, ThreadNumber};
use crate::model::{Event, Kind, ThreadSerial, What};
use std::ops::Range;

const MREMAP_DONTUNMAP: u32 = 4;
const DEFAULT_PAGE: u64 = 4096;

/// Memory that began or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new block or mapping.
    Begin {
        /// Whose.
        site: SiteId,
        /// Its size; of mappings whole pages.
        bytes: u64,
        /// The size that was asked for.
        asked: u64,
        /// How many it stands for, where only samples are recorded; else 1.
        blocks: u64,
    },
    /// The end of a block, or of a part of a mapping.
    End {
        /// Who had allocated it.
        site: SiteId,
        /// The bytes that ended.
        bytes: u64,
        /// By how many there are now more blocks: -1, or what a sample stands for; 0 for the
        /// edge of a mapping, 1 for its middle.
        blocks: i64,
        /// When it had begun.
        birth: Birth,
        /// How many further allocations its thread has made since; the most there can be if
        /// it is older than the window.
        age: u32,
    },
    /// Stacks of threads, which do not count as heap, take so many bytes more.
    ThreadStacks(i64),
}

/// When memory began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Birth {
    /// The interval of the recording, as [`Live::set_interval`] had told.
    pub interval: u16,
    /// The number of the allocation among those of its thread; wraps around.
    order: u32,
}

/// A block that is allocated.
#[derive(Clone, Copy, Debug)]
struct Block {
    /// The size in the lower 48 bits, as many as an address has; the interval above.
    size_interval: u64,
    site: SiteId,
    order: u32,
}

/// A stretch of the recording up to now. The first of each sort is all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// Since the window began.
    Window,
    /// Since the last gap.
    Gap,
}

/// A thread's allocations.
#[derive(Clone, Copy, Debug, Default)]
struct Thread {
    allocations: u32,
    /// By era.
    starts: [Start; 2],
}

/// An era as far as a thread has allocated in it.
#[derive(Clone, Copy, Debug, Default)]
struct Start {
    era: u32,
    /// The thread's allocations before it.
    allocations: u32,
}

/// The blocks and mappings that are allocated.
#[derive(Debug)]
pub struct Live {
    blocks: HashMap<u64, Block, Near>,
    mappings: Ranges,
    sites: Sites,
    threads: Vec<Thread>,
    /// The mean number of bytes between two samples, of the threads of which only samples are
    /// recorded.
    sampling: HashMap<ThreadSerial, u64>,
    sampled: Sampled,
    interval: u16,
    /// The number of the current one of each sort.
    eras: [u32; 2],
    page: u64,
    unmatched_frees: u64,
    lost_frees: u64,
}

impl Live {
    /// With nothing allocated. `page_size` is in bytes; 0 if not known.
    pub fn new(page_size: u64) -> Live {
        Live {
            blocks: HashMap::default(),
            mappings: Ranges::default(),
            sites: Sites::default(),
            threads: Vec::new(),
            sampling: HashMap::new(),
            sampled: Sampled::default(),
            interval: 0,
            eras: [0; 2],
            page: if page_size.is_power_of_two() { page_size } else { DEFAULT_PAGE },
            unmatched_frees: 0,
            lost_frees: 0,
        }
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
            What::ProcessEnd => self.end_space(&event.process.space(), &mut change),
            What::Lost { .. } => {}
            What::Sampling { interval } => {
                self.sampling.insert(event.thread, interval);
                self.sampled.set_interval(event.at, interval);
            }
            What::Passed { allocations, bytes } => {
                self.sampled.passed.add(Sum { bytes, blocks: allocations });
                self.pass(event.thread, allocations);
            }
            What::Alloc { .. } | What::Realloc { .. } | What::Mremap { .. } => {
                let Some((kind, addr, size)) = event.what.begins() else { return };
                let Event { stack, thread, .. } = *event;
                let is_mapping = kind.is_mapping();
                let interval = if is_mapping { 0 } else { self.interval_of(thread) };
                let site = self.sites.intern(Site { stack, thread, kind, interval });
                match is_mapping {
                    true => self.map(addr.0, size, site, &mut change),
                    false => self.allocate(addr.0, size, site, change),
                }
            }
        }
    }

    /// What begins from now on begins in this interval.
    pub fn set_interval(&mut self, interval: u16) {
        self.interval = interval;
    }

    /// Makes one of each two intervals.
    pub fn halve_intervals(&mut self) {
        self.blocks.values_mut().for_each(Block::halve_interval);
        self.mappings.pieces_mut().for_each(|piece| piece.birth.interval /= 2);
    }

    /// [`Live::young`] tells what is allocated from now on.
    pub fn begin_era(&mut self, era: Era) {
        let number = &mut self.eras[era as usize];
        *number = number.wrapping_add(1);
    }

    /// The heap blocks and mappings that were allocated in the current era and are still there.
    pub fn young(&self, era: Era) -> impl Iterator<Item = (SiteId, Sum)> + '_ {
        let young = self.births().filter(move |&(site, _, birth)| self.is_young(era, site, birth));
        young.map(|(site, held, _)| (site, held))
    }

    /// Every heap block and mapping, also of thread stacks: first address, bytes, and the bytes
    /// of others that it stands for.
    pub fn memory(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        let others = |block: &Block| self.held_by(*block).bytes.saturating_sub(block.size());
        let blocks = self.blocks.iter().map(move |(&addr, block)| (addr, block.size(), others(block)));
        blocks.chain(self.mappings.iter().map(|(start, piece)| (start, piece.end - start, 0)))
    }

    /// Every heap block and mapping: who had allocated it, what it is, when it began.
    pub fn births(&self) -> impl Iterator<Item = (SiteId, Sum, Birth)> + '_ {
        let blocks = self.blocks.values().map(|block| (block.site, self.held_by(*block), block.birth()));
        let whole = |bytes| Sum { bytes, blocks: 1 };
        let mappings = self
            .mappings
            .iter()
            .map(move |(start, piece)| (piece.site, whole(piece.end - start), piece.birth));
        blocks.chain(mappings.filter(|&(site, ..)| self.is_heap(site)))
    }

    /// What is mapped, apart from heap blocks.
    pub fn mappings(&self) -> &Ranges {
        &self.mappings
    }

    /// Who allocates.
    pub fn sites(&self) -> &Sites {
        &self.sites
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
    fn allocate(&mut self, addr: u64, size: u64, site: SiteId, mut change: impl FnMut(Change)) {
        let birth = self.birth(site);
        let block = Block::new(size, site, birth);
        if let Some(old) = self.blocks.insert(addr, block) {
            self.lost_frees += 1;
            change(self.end_of(old));
        }
        let Sum { bytes, blocks } = self.held_by(block);
        let asked = match self.sites.get(site).interval {
            0 => size,
            _ => {
                self.sampled.taken.add(Sum { bytes: size, blocks: 1 });
                bytes
            }
        };
        change(Change::Begin { site, bytes, asked, blocks });
    }

    #[inline]
    fn free(&mut self, addr: u64, mut change: impl FnMut(Change)) {
        match self.blocks.remove(&addr) {
            Some(block) => change(self.end_of(block)),
            None => self.unmatched_frees += u64::from(addr != 0),
        }
    }

    fn map(&mut self, addr: u64, size: u64, site: SiteId, change: &mut impl FnMut(Change)) {
        self.unmap(addr, size, change);
        let end = self.end(addr, size);
        let bytes = end - addr;
        let is_heap = self.is_heap(site);
        let birth = if is_heap { self.birth(site) } else { Birth::default() };
        self.mappings.insert(addr, Piece { end, site, birth });
        change(if is_heap {
            Change::Begin { site, bytes, asked: size, blocks: 1 }
        } else {
            Change::ThreadStacks(signed(bytes))
        });
    }

    fn unmap(&mut self, addr: u64, size: u64, change: &mut impl FnMut(Change)) {
        let end = self.end(addr, size);
        let Live { mappings, sites, threads, eras, .. } = self;
        mappings.remove(addr, end, |Piece { site, birth, .. }, bytes, blocks| {
            change(match sites.get(site).kind {
                Kind::ThreadStack => Change::ThreadStacks(-signed(bytes)),
                _ => {
                    let age = age(threads[sites.thread(site).0 as usize], eras, birth);
                    Change::End { site, bytes, blocks, birth, age }
                }
            });
        });
    }

    /// Ends everything at these addresses.
    fn end_space(&mut self, space: &Range<u64>, change: &mut impl FnMut(Change)) {
        self.unmap(space.start, space.end - space.start, change);
        let gone: Vec<Block> =
            self.blocks.extract_if(|addr, _| space.contains(addr)).map(|(_, b)| b).collect();
        gone.into_iter().for_each(|block| change(self.end_of(block)));
    }

    /// One past the last byte of whole pages.
    fn end(&self, addr: u64, size: u64) -> u64 {
        let bytes = size.checked_next_multiple_of(self.page).unwrap_or(u64::MAX);
        addr.saturating_add(bytes)
    }

    /// The birth of what is allocated now, which counts among the allocations of its thread.
    #[inline]
    fn birth(&mut self, site: SiteId) -> Birth {
        let ThreadNumber(number) = self.sites.thread(site);
        let number = number as usize;
        if number >= self.threads.len() {
            self.threads.resize(number + 1, Thread::default());
        }
        let thread = &mut self.threads[number];
        for (start, &era) in thread.starts.iter_mut().zip(&self.eras) {
            if start.era != era {
                *start = Start { era, allocations: thread.allocations };
            }
        }
        thread.allocations = thread.allocations.wrapping_add(1);
        Birth { interval: self.interval, order: thread.allocations }
    }

    #[inline]
    fn end_of(&self, block: Block) -> Change {
        let Block { site, .. } = block;
        let (Sum { bytes, blocks }, birth) = (self.held_by(block), block.birth());
        let age = age(self.thread(site), &self.eras, birth);
        Change::End { site, bytes, blocks: -signed(blocks), birth, age }
    }

    /// What a block is, or stands for.
    #[inline]
    fn held_by(&self, block: Block) -> Sum {
        let size = block.size();
        match self.sites.get(block.site).interval {
            0 => Sum { bytes: size, blocks: 1 },
            interval => estimate(interval, size, u64::from(block.order) << 32 | u64::from(block.site.0)),
        }
    }

    /// The interval between a thread's samples; 0 if all its blocks are recorded.
    #[inline]
    fn interval_of(&self, thread: ThreadSerial) -> u64 {
        if self.sampling.is_empty() { 0 } else { self.sampling.get(&thread).copied().unwrap_or(0) }
    }

    /// Counts allocations of a thread that were not recorded.
    fn pass(&mut self, thread: ThreadSerial, allocations: u64) {
        // Those before its first one that was make nothing older.
        if let Some(ThreadNumber(number)) = self.sites.number_of(thread)
            && let Some(thread) = self.threads.get_mut(number as usize)
        {
            thread.allocations = thread.allocations.wrapping_add(allocations as u32);
        }
    }

    /// How it was sampled, if it was.
    pub fn sampled(&self) -> Option<&Sampled> {
        (!self.sampling.is_empty()).then_some(&self.sampled)
    }

    fn is_young(&self, era: Era, site: SiteId, birth: Birth) -> bool {
        self.thread(site).is_young(era, &self.eras, birth)
    }

    #[inline]
    fn thread(&self, site: SiteId) -> Thread {
        self.threads[self.sites.thread(site).0 as usize]
    }

    fn is_heap(&self, site: SiteId) -> bool {
        self.sites.get(site).kind != Kind::ThreadStack
    }
}

impl Thread {
    /// Whether it allocated this in the current era.
    fn is_young(self, era: Era, eras: &[u32; 2], birth: Birth) -> bool {
        let start = self.starts[era as usize];
        // Counted back from now, as the numbers wrap around.
        let since_start = self.allocations.wrapping_sub(start.allocations);
        start.era == eras[era as usize] && self.since(birth) < since_start
    }

    /// How many further allocations it has made.
    #[inline]
    fn since(self, birth: Birth) -> u32 {
        self.allocations.wrapping_sub(birth.order)
    }
}

#[inline]
fn age(thread: Thread, eras: &[u32; 2], birth: Birth) -> u32 {
    let has_window = eras[Era::Window as usize] != 0;
    match has_window && !thread.is_young(Era::Window, eras, birth) {
        true => u32::MAX,
        false => thread.since(birth),
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Block {
    const SIZE_BITS: u32 = 48;

    #[inline]
    fn new(size: u64, site: SiteId, birth: Birth) -> Block {
        let size = size.min((1 << Self::SIZE_BITS) - 1);
        Block { size_interval: u64::from(birth.interval) << Self::SIZE_BITS | size, site, order: birth.order }
    }

    fn halve_interval(&mut self) {
        let Birth { interval, .. } = self.birth();
        self.size_interval = u64::from(interval / 2) << Self::SIZE_BITS | self.size();
    }

    #[inline]
    fn size(self) -> u64 {
        self.size_interval & ((1 << Self::SIZE_BITS) - 1)
    }

    #[inline]
    fn birth(self) -> Birth {
        Birth { interval: (self.size_interval >> Self::SIZE_BITS) as u16, order: self.order }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Addr, ProcessId, StackId, ThreadSerial, Tick, Tid};

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

    fn event(thread: u32, what: What) -> Event {
        let (thread, tid, stack) = (ThreadSerial(thread), Tid(1), StackId(1));
        Event { at: Tick(0), process: ProcessId::ROOT, thread, tid, stack, what }
    }

    /// Heap bytes and blocks, unmatched frees, lost frees.
    type Outcome = (u64, i64, u64, u64);

    fn fold(whats: &[What]) -> Outcome {
        let mut live = Live::new(PAGE);
        let (mut bytes, mut count) = (0, 0);
        for &what in whats {
            live.add(&event(1, what), |change| match change {
                Change::Begin { bytes: more, .. } => {
                    bytes += more;
                    count += 1;
                }
                Change::End { bytes: less, blocks, .. } => {
                    bytes -= less;
                    count += blocks;
                }
                Change::ThreadStacks(_) => {}
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

    /// The ages of what ends, by size.
    fn ages(events: &[(u32, What)]) -> Vec<(u64, u32)> {
        let (mut live, mut ages) = (Live::new(PAGE), Vec::new());
        for &(thread, what) in events {
            live.add(&event(thread, what), |change| {
                if let Change::End { bytes, age, .. } = change {
                    ages.push((bytes, age));
                }
            });
        }
        ages
    }

    #[test]
    fn age_is_counted_in_allocations_of_the_same_thread() {
        let stack = alloc(Kind::ThreadStack, 900 * PAGE, 8 * PAGE);
        let [begin, made] = realloc(16, 32, 9);
        for (what, events, expected) in [
            ("at once", vec![(1, malloc(16, 5)), (1, free(16))], vec![(5, 0)]),
            ("one between", vec![(1, malloc(16, 5)), (1, malloc(32, 6)), (1, free(16))], vec![(5, 1)]),
            ("another thread's", vec![(1, malloc(16, 5)), (2, malloc(32, 6)), (1, free(16))], vec![(5, 0)]),
            ("freed elsewhere", vec![(1, malloc(16, 5)), (2, malloc(32, 6)), (2, free(16))], vec![(5, 0)]),
            ("realloc", vec![(1, malloc(16, 5)), (1, begin), (1, made), (1, free(32))], vec![(5, 0), (9, 0)]),
            ("thread stacks", vec![(1, malloc(16, 5)), (1, stack), (1, free(16))], vec![(5, 0)]),
            ("mappings", vec![(1, map(1, 2)), (1, malloc(16, 5)), (1, unmap(1, 1))], vec![(PAGE, 1)]),
        ] {
            assert_eq!(ages(&events), expected, "{what}");
        }
    }

    #[test]
    fn what_is_older_than_the_window_is_old() {
        let (mut live, mut ages) = (Live::new(PAGE), Vec::new());
        live.add(&event(1, malloc(16, 5)), |_| {});
        live.add(&event(2, map(1, 2)), |_| {});
        live.begin_era(Era::Window);
        for what in [free(16), unmap(1, 2), malloc(16, 5), free(16)] {
            live.add(&event(1, what), |change| {
                if let Change::End { age, .. } = change {
                    ages.push(age);
                }
            });
        }
        assert_eq!(ages, [u32::MAX, u32::MAX, 0]);
    }

    #[test]
    fn an_era_has_its_own_blocks() {
        let young = |live: &Live| live.young(Era::Gap).map(|(_, held)| held.bytes).sum::<u64>();
        let mut live = Live::new(PAGE);
        let add = |live: &mut Live, thread, what| live.add(&event(thread, what), |_| {});
        add(&mut live, 1, malloc(16, 5));
        add(&mut live, 2, malloc(32, 6));
        assert_eq!(young(&live), 11, "the first is the whole recording");
        live.begin_era(Era::Gap);
        assert_eq!(young(&live), 0);
        add(&mut live, 1, malloc(48, 7));
        add(&mut live, 1, map(1, 1));
        add(&mut live, 3, malloc(64, 8));
        add(&mut live, 1, alloc(Kind::ThreadStack, 900 * PAGE, 8 * PAGE));
        assert_eq!(young(&live), 7 + PAGE + 8);
        live.begin_era(Era::Gap);
        live.begin_era(Era::Gap);
        add(&mut live, 2, malloc(80, 9));
        assert_eq!(young(&live), 9);
        assert_eq!(live.young(Era::Window).count(), 6, "each sort has its own eras");
    }

    #[test]
    fn births_tell_the_interval() {
        let mut live = Live::new(PAGE);
        live.add(&event(1, malloc(16, u64::MAX)), |_| {});
        live.set_interval(u16::MAX);
        live.add(&event(1, malloc(32, 6)), |_| {});
        live.add(&event(1, map(1, 1)), |_| {});
        let mut births: Vec<_> = live.births().map(|(_, held, birth)| (birth.interval, held.bytes)).collect();
        births.sort();
        assert_eq!(births, [(0, (1 << 48) - 1), (u16::MAX, 6), (u16::MAX, PAGE)]);
    }

    #[test]
    fn a_block_is_small() {
        assert_eq!(size_of::<Block>(), 16);
    }
}
