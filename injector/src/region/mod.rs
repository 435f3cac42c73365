//! Making, finding and removing the private region (`prof_shared::region`).
//!
//! ```text
//!  1  mmap (read-write, all of it)            a chain; refused if the place is taken
//!     look at the maps: nothing more unless it is there
//!  2  the stub's code                         written into plain memory
//!  3  madvise, madvise, mprotect              a chain; the maps show its success
//!  4  the header, its magic last
//! ```
//!
//! Cut short anywhere, what is there is found again by its address and removed.

mod place;

use crate::arch::stub;
use crate::call::{CallError, Caller, RawCall};
use crate::failpoint::{ToldToFail, fail_point};
use crate::process::{Activity, Mapping, Maps, Process, Tid};
use crate::signals;
use crate::tracee::{Pause, Seized, TraceError, Tracer};
use prof_shared::region::{
    ADDRESS_MARK, GATE, HEADER, LAYOUT, MAGIC, PAGE, PROGRAM, Program, Region, STACK, STACK_BYTES, STUB,
    Shape,
};
use std::io;
use std::mem::offset_of;
use std::ops::Range;
use std::time::{Duration, Instant};

/// `MAP_FIXED_NOREPLACE` (Linux 4.17; before, a hint that the free place makes true).
const PLACE_FLAGS: i32 =
    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
/// Largest number of thread slots that an unfinished region is believed to have.
const MOST_SLOTS: u64 = 1 << 20;
/// How long a program with nobody in it is doubted: a thread that was sent there
/// and has not run since looks like any other.
const STALE: Duration = Duration::from_millis(100);
const NAP: Duration = Duration::from_millis(1);
/// How long a thread is waited for when it shall stop.
const STOP_DEADLINE: Duration = Duration::from_millis(200);

/// Why a region was not made or removed.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// A call in the process was not made or has not ended.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The process has no room for it.
    #[error("no free place for {0} bytes in the process's address space")]
    NoPlace(u64),
    /// The kernel refused a step in the process; what was done is undone.
    #[error("{0} was refused in the process (a limit of address space, a seccomp filter, SELinux?)")]
    Refused(&'static str),
    /// A thread is still in the region.
    #[error("a thread is still inside the region at {0:#x}")]
    InUse(u64),
    /// The mappings at its place are not what they were when it was found.
    #[error("the mappings at {0:#x} are not a region of ours")]
    Changed(u64),
    /// Memory or the maps could not be read or written.
    #[error("{what}: {source}")]
    Io {
        /// What was done.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A test asked for it.
    #[error(transparent)]
    ToldToFail(#[from] ToldToFail),
}

/// How far a region that was found had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Its header is there, of our layout.
    Complete(Shape),
    /// Its header is there, of another layout: a build that is not ours.
    OtherLayout(u32),
    /// Its header is not there: the attacher died while making it.
    Unfinished,
}

/// A region in a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionHandle {
    range: Range<u64>,
    progress: Progress,
}

impl RegionHandle {
    /// Makes one, with `budget` for each of two stops. The longer pause of the two.
    pub fn create(
        caller: &Caller,
        shape: Shape,
        budget: Duration,
    ) -> Result<(RegionHandle, Pause), RegionError> {
        let maps = read_maps(caller.process())?;
        let total_bytes = shape.total_bytes();
        let base = place::place(&maps, total_bytes).ok_or(RegionError::NoPlace(total_bytes))?;
        let range = base..base + total_bytes;
        let is_locked = locks_memory(caller.process());
        let mapping = caller.call_raw(&[map(&range, is_locked)], budget)?;
        if !read_maps(caller.process())?.at(base).is_some_and(|m| m.range == range && is_plain(m)) {
            return Err(RegionError::Refused("mmap"));
        }
        fail_point("region-mapped")?;
        if is_locked {
            caller.call_raw(&unlocking(&range), budget)?;
        }
        let region = RegionHandle { range, progress: Progress::Unfinished };
        match region.furnish(caller, shape, budget) {
            Ok(protecting) => {
                let region = RegionHandle { progress: Progress::Complete(shape), ..region };
                Ok((region, mapping.max(protecting)))
            }
            // Whoever told us to fail wants to see what is left.
            Err(error @ RegionError::ToldToFail(_)) => Err(error),
            Err(error) => region.remove(caller, budget).and(Err(error)),
        }
    }

    /// Turns fresh memory into a region.
    fn furnish(&self, caller: &Caller, shape: Shape, budget: Duration) -> Result<Pause, RegionError> {
        self.write(caller, STUB, &stub::page())?;
        fail_point("stub-written")?;
        let pause = caller.call_raw(&self.protecting(), budget)?;
        self.check_protection(&read_maps(caller.process())?)?;
        fail_point("region-protected")?;
        self.write_header(caller, shape)?;
        fail_point("region-complete")?;
        Ok(pause)
    }

    fn protecting(&self) -> [RawCall; 3] {
        let raw = |number: i64, offset: u64, len: u64, what: i32| RawCall {
            number: number as u64,
            args: [self.at(offset), len, what as u64, 0, 0, 0],
        };
        [
            raw(libc::SYS_madvise, GATE, PAGE, libc::MADV_WIPEONFORK),
            // A huge page would be cleared while some thread of the target waits.
            raw(libc::SYS_madvise, PROGRAM, self.total_bytes() - PROGRAM, libc::MADV_NOHUGEPAGE),
            raw(libc::SYS_mprotect, STUB, PAGE, libc::PROT_READ | libc::PROT_EXEC),
        ]
    }

    /// The gate is a mapping of its own only if it differs from the header, and
    /// that it does by what madvise did.
    fn check_protection(&self, maps: &Maps) -> Result<(), RegionError> {
        let gate = maps.at(self.at(GATE)).map(|m| m.range.clone());
        if gate != Some(self.at(GATE)..self.at(HEADER)) {
            return Err(RegionError::Refused("madvise(MADV_WIPEONFORK)"));
        }
        match maps.at(self.at(STUB)) {
            Some(m) if m.exec && m.range == (self.at(STUB)..self.at(PROGRAM)) => Ok(()),
            _ => Err(RegionError::Refused("mprotect(PROT_EXEC)")),
        }
    }

    fn write_header(&self, caller: &Caller, shape: Shape) -> Result<(), RegionError> {
        let field = |offset: usize, bytes: &[u8]| self.write(caller, HEADER + offset as u64, bytes);
        field(offset_of!(Region, layout), &LAYOUT.to_ne_bytes())?;
        field(offset_of!(Region, slot_count), &(shape.slot_count as u32).to_ne_bytes())?;
        field(offset_of!(Region, total_bytes), &self.total_bytes().to_ne_bytes())?;
        field(offset_of!(Region, magic), &MAGIC.to_ne_bytes())
    }

    /// The region in `process`, if there is one, however far it had come.
    pub fn find(process: &Process, maps: &Maps) -> Option<RegionHandle> {
        let marked = maps.0.iter().filter(|m| m.range.start % (1 << 32) == ADDRESS_MARK && is_plain(m));
        marked.filter_map(|first| recognise(process, maps, first)).next()
    }

    /// Unmaps it. Refused while a thread is inside the stub; that no hook and no
    /// detour needs it any more is for the caller to know.
    pub fn remove(&self, caller: &Caller, budget: Duration) -> Result<Pause, RegionError> {
        match self.unmap(caller, budget) {
            // Gone meanwhile, by the hand of an attacher that did not live to see it.
            Err(_) if read_maps(caller.process())?.is_free(&self.range) => Ok(Pause::default()),
            result => result,
        }
    }

    fn unmap(&self, caller: &Caller, budget: Duration) -> Result<Pause, RegionError> {
        let maps = read_maps(caller.process())?;
        if extent(&maps, self.base()) != Some(self.range.clone()) {
            return Err(RegionError::Changed(self.base()));
        }
        self.wait_unused(caller, budget)?;
        let args = [self.base(), self.total_bytes(), 0, 0, 0, 0];
        let pause = caller.call_raw(&[RawCall { number: libc::SYS_munmap as u64, args }], budget)?;
        fail_point("region-unmapped")?;
        match read_maps(caller.process())?.is_free(&self.range) {
            true => Ok(pause),
            false => Err(RegionError::Refused("munmap")),
        }
    }

    /// Waits until no program runs, and clears away one that was written by an
    /// attacher which died before any thread was sent to it.
    pub fn settle(&self, caller: &Caller, deadline: Duration) -> Result<(), RegionError> {
        self.wait_unused(caller, deadline)?;
        let len = PROGRAM + offset_of!(Program, len) as u64;
        if caller.is_busy(self)? { self.write(caller, len, &0u64.to_ne_bytes()) } else { Ok(()) }
    }

    /// Waits until no thread is in a program, or on the way out of one. A program
    /// that an attacher wrote and did not live to start has nobody in it, which
    /// is believed when it has been so for a while.
    fn wait_unused(&self, caller: &Caller, deadline: Duration) -> Result<(), RegionError> {
        let start = Instant::now();
        let mut empty_since = start;
        loop {
            if self.is_entered(caller.process()) {
                empty_since = Instant::now();
            } else if !caller.is_busy(self)? || empty_since.elapsed() >= STALE {
                return Ok(());
            }
            if start.elapsed() > deadline.max(STALE) {
                return Err(RegionError::InUse(self.base()));
            }
            std::thread::sleep(NAP);
        }
    }

    /// Whether a thread may be in the stub: it blocks all signals, as the stub's
    /// do, and is not known to be elsewhere. libc blocks them all too, while it starts
    /// and ends threads, so a running one is stopped for a look.
    fn is_entered(&self, process: &Process) -> bool {
        let inside = |tid| {
            process.status(tid).is_ok_and(|s| s.state.is_live() && s.blocked == signals::ALL)
                && match process.activity(tid) {
                    Ok(Activity::Blocked { pc, sp, .. }) => {
                        self.range.contains(&pc) || self.range.contains(&sp)
                    }
                    Ok(Activity::Running) => self.is_found_by_stopping(tid),
                    Err(_) => false,
                }
        };
        process.tasks().is_ok_and(|tasks| tasks.into_iter().any(inside))
    }

    fn is_found_by_stopping(&self, tid: Tid) -> bool {
        let found = Tracer::run(|tracer| -> Result<bool, TraceError> {
            let stopped = Seized::new(tracer, tid)?.stop(STOP_DEADLINE)?;
            let registers = stopped.registers()?;
            drop(stopped);
            Ok(self.range.contains(&registers.rip) || self.range.contains(&registers.rsp))
        });
        match found {
            Ok(is_found) => is_found,
            Err(error) => !matches!(error, TraceError::Gone(_)),
        }
    }

    /// Its address.
    pub fn base(&self) -> u64 {
        self.range.start
    }

    /// Its bytes.
    pub fn total_bytes(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// The address of what lies at `offset` in it.
    pub fn at(&self, offset: u64) -> u64 {
        self.base() + offset
    }

    /// The stub's code.
    pub fn stub(&self) -> u64 {
        self.at(STUB)
    }

    /// The program.
    pub fn program(&self) -> u64 {
        self.at(PROGRAM)
    }

    /// The program's text, for steps to point to.
    pub fn text(&self) -> u64 {
        self.program() + offset_of!(Program, text) as u64
    }

    /// Behind the last byte of the stub's stack.
    pub fn stack_top(&self) -> u64 {
        self.at(STACK + STACK_BYTES)
    }

    fn write(&self, caller: &Caller, offset: u64, bytes: &[u8]) -> Result<(), RegionError> {
        let written = caller.writer().write(self.at(offset), bytes);
        written.map_err(|source| RegionError::Io { what: "writing the region", source })
    }
}

/// Whether the process has memory locked: it may have asked for that of all future
/// memory (`mlockall`), and then each page of a new mapping that may be touched would
/// be there at once.
fn locks_memory(process: &Process) -> bool {
    let status = process.live_task().and_then(|task| process.status(task));
    status.is_ok_and(|status| status.locked_bytes > 0)
}

const ACCESSIBLE: u64 = (libc::PROT_READ | libc::PROT_WRITE) as u64;

fn map(range: &Range<u64>, is_locked: bool) -> RawCall {
    let protection = if is_locked { libc::PROT_NONE as u64 } else { ACCESSIBLE };
    let no_file = u64::MAX;
    RawCall {
        number: libc::SYS_mmap as u64,
        args: [range.start, range.end - range.start, protection, PLACE_FLAGS as u64, no_file, 0],
    }
}

/// Lets a mapping that was made inaccessible be touched, page by page.
fn unlocking(range: &Range<u64>) -> [RawCall; 2] {
    let call = |number: i64, what: u64| RawCall {
        number: number as u64,
        args: [range.start, range.end - range.start, what, 0, 0, 0],
    };
    [call(libc::SYS_munlock, 0), call(libc::SYS_mprotect, ACCESSIBLE)]
}

fn read_maps(process: &Process) -> Result<Maps, RegionError> {
    process.maps().map_err(|source| RegionError::Io { what: "reading the maps", source })
}

fn is_plain(m: &Mapping) -> bool {
    m.is_anonymous() && !m.shared && m.name.is_empty()
}

/// The plain mappings from `base` on that adjoin each other.
fn extent(maps: &Maps, base: u64) -> Option<Range<u64>> {
    let from = maps.0.iter().skip_while(|m| m.range.start < base);
    let end = from.take_while(|m| is_plain(m)).try_fold(base, |end, m| match m.range.start == end {
        true => Ok(m.range.end),
        false => Err(end),
    });
    let (Ok(end) | Err(end)) = end;
    (end > base).then_some(base..end)
}

fn recognise(process: &Process, maps: &Maps, first: &Mapping) -> Option<RegionHandle> {
    let range = extent(maps, first.range.start)?;
    let header = range.start + HEADER;
    let memory = process.memory();
    let half = |offset: usize| memory.read_u32(header + offset as u64).ok();
    let magic = memory.read_u64(header + offset_of!(Region, magic) as u64).ok()?;
    let progress = match magic {
        MAGIC => match half(offset_of!(Region, layout))? {
            LAYOUT => {
                let slot_count = half(offset_of!(Region, slot_count))?.into();
                Progress::Complete(shape_of(&range).filter(|shape| shape.slot_count == slot_count)?)
            }
            other => Progress::OtherLayout(other),
        },
        0 => Progress::Unfinished,
        _ => return None,
    };
    let plausible = match progress {
        Progress::Complete(_) | Progress::OtherLayout(_) => true,
        Progress::Unfinished => shape_of(&range).is_some(),
    };
    plausible.then_some(RegionHandle { range, progress })
}

/// The shape that makes a region as long as `range`.
fn shape_of(range: &Range<u64>) -> Option<Shape> {
    let shapes = (0..=MOST_SLOTS.ilog2())
        .flat_map(|power| [false, true].map(|has_native| Shape { slot_count: 1 << power, has_native }));
    shapes.into_iter().find(|shape| shape.total_bytes() == range.end - range.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extent_ends_where_a_mapping_is_not_plain_or_not_next() {
        let parse = |lines: &[&str]| Maps(lines.iter().map(|l| Mapping::parse(l).unwrap()).collect());
        let gate = "1000-2000 rw-p 00000000 00:00 0";
        let rest = "2000-9000 rw-p 00000000 00:00 0";
        let apart = "3000-9000 rw-p 00000000 00:00 0";
        let heap = "2000-9000 rw-p 00000000 00:00 0          [heap]";
        let cases: [(&[&str], Option<Range<u64>>); 4] = [
            (&[gate, rest], Some(0x1000..0x9000)),
            (&[gate, apart], Some(0x1000..0x2000)),
            (&[gate, heap], Some(0x1000..0x2000)),
            (&[rest], None),
        ];
        for (lines, expected) in cases {
            assert_eq!(extent(&parse(lines), 0x1000), expected);
        }
    }

    #[test]
    fn a_shape_is_told_by_its_length() {
        for (slot_count, has_native) in (6..=12).flat_map(|power| [(1 << power, false), (1 << power, true)]) {
            let shape = Shape { slot_count, has_native };
            assert_eq!(shape.total_bytes() % PAGE, 0);
            assert_eq!(shape_of(&(0..shape.total_bytes())), Some(shape));
            assert_eq!(shape_of(&(0..shape.total_bytes() + PAGE)), None);
        }
    }
}
