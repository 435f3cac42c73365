//! Getting out, from what stands in the target alone: after a recording, after a
//! step of [`super::install`] that failed, or after an attacher that was killed.
//!
//! ```text
//!  gate off ─► detours out ─► pointers back ─► membarrier ─► nobody inside?
//!      ─► dlclose at a safe point ─► islands, ring, descriptors ─► region
//! ```
//!
//! Each step compares first and can be repeated. Nothing is removed by force: as
//! long as a thread may be inside, the code stays, inert.

use super::arm;
use super::ground::{self, refused};
use super::install::{PAYLOAD_NAME, RING_NAME, ROWS_NAME, SLOT_COUNTS, call, check, syscall};
use super::lock::{Lock, in_use};
use super::look::{Census, Doomed};
use super::pointers::Copies;
use super::register::{Register, field};
use super::safe::{Judge, Patience};
use super::{Error, Ground};
use prof_injector::call::Caller;
use prof_injector::detour::mappings;
use prof_injector::failpoint::fail_point;
use prof_injector::process::{Mapping, Maps, Tid};
use prof_injector::region::{Progress, RegionHandle};
use prof_injector::safepoint::find_dlopen;
use prof_injector::seccomp;
use prof_injector::tracee::Stopped;
use prof_injector::{barrier, memfd};
use prof_shared::region::{
    Entry, HEADER, POINTER, PROGRAM, Program, Region, SLOTS, STEP_COUNT, STUB, Step, ThreadSlot, inside, step,
};
use prof_shared::ring::{Header, OWNER_DIED};
use std::collections::HashSet;
use std::mem::offset_of;
use std::ops::Range;
use std::time::{Duration, Instant};

/// How long a thread is looked for, for each call.
const BUDGET: Duration = Duration::from_secs(5);
/// How long threads may take to leave the hooks.
const LEAVE_DEADLINE: Duration = Duration::from_secs(10);
/// After so long a thread that says that it is in a hook is looked at: a jump out of
/// a signal handler leaves a hook without a word.
const DOUBT: Duration = Duration::from_millis(200);
/// How long a process may take from the loss of its memory to its end.
const DYING: Duration = Duration::from_secs(1);
/// Pause between two looks.
const REST: Duration = Duration::from_millis(1);

/// What was taken out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Left {
    /// Detours taken out.
    pub detours: usize,
}

/// Takes the lock of process `pid` and then looks at it: what a living attacher is
/// about to build looks like remains. Gives what a dead attacher left there, and
/// refuses what is somebody else's.
pub fn open(pid: i32) -> Result<(Ground, Lock, Option<RegionHandle>), Error> {
    let lock = Lock::take(ground::open(pid)?)?;
    let ground = Ground::survey(pid)?;
    seccomp::check(&ground.process).map_err(|refusal| refused(refusal.to_string(), refusal.hint()))?;
    let region = RegionHandle::find(&ground.process, &ground.maps);
    match region.as_ref().map(RegionHandle::progress) {
        Some(Progress::OtherLayout(layout)) => Err(refused(
            format!("another build of prof (layout {layout}) is in process {pid}"),
            Some("run `prof detach` of that build first"),
        )),
        Some(Progress::Complete(_)) if has_owner(&ground, region.as_ref())? => Err(in_use(&ground.process)),
        _ => Ok((ground, lock, region)),
    }
}

/// Whether somebody alive holds the ring. A child of a recorded process has all of
/// it too, but nobody records the child.
fn has_owner(ground: &Ground, region: Option<&RegionHandle>) -> Result<bool, Error> {
    let Some(region) = region else { return Ok(false) };
    let memory = ground.process.memory();
    let header = region.at(HEADER);
    let ring = memory.read_u64(header + offset_of!(Region, ring) as u64);
    let recorded = memory.read_u32(header + offset_of!(Region, own_pid) as u64);
    let (ring, recorded) = match (ring, recorded) {
        (Ok(ring), Ok(recorded)) => (ring, recorded),
        (Err(error), _) | (_, Err(error)) => return Err(Error::io("reading the register")(error)),
    };
    if ring == 0 || recorded != ground.own_pid()? {
        return Ok(false);
    }
    // An attacher that died while it took things out may have unmapped it already.
    let word = memory.read_u32(ring + offset_of!(Header, owner) as u64).unwrap_or(0);
    Ok(word != 0 && word & OWNER_DIED == 0)
}

/// Takes everything out of process `pid` that is ours; `None` if nothing was.
pub fn withdraw(pid: i32) -> Result<Option<Left>, Error> {
    let (ground, _lock, remains) = open(pid)?;
    remains.map(|region| remove(&ground, &region)).transpose()
}

/// After a step of getting in that failed: takes back those before it. Whoever calls
/// this holds the lock, so what is there is theirs.
pub fn take_back(ground: &Ground) -> Result<(), Error> {
    let taken = ground.anew().and_then(|ground| match RegionHandle::find(&ground.process, &ground.maps) {
        Some(region) => remove(&ground, &region).map(drop),
        None => Ok(()),
    });
    match taken {
        // All that was in it is gone with it.
        Err(_) if ground.process.wait_exit(DYING).unwrap_or(true) => Ok(()),
        taken => taken,
    }
}

/// Takes out `region` and all that its register names.
pub fn remove(ground: &Ground, region: &RegionHandle) -> Result<Left, Error> {
    let caller = Caller::new(&ground.process, &ground.maps, &ground.modules)?;
    let judge = Judge::new(ground, &[library(&Register::new(&caller, region))?])?;
    let mut work = Work { ground, caller: &caller, judge, region, left: Left::default() };
    if let Progress::Complete(_) = region.progress() {
        work.take_out()?;
    }
    work.close_files()?;
    region.remove(&caller, BUDGET)?;
    Ok(work.left)
}

struct Work<'a> {
    ground: &'a Ground,
    caller: &'a Caller<'a>,
    judge: Judge<'a>,
    region: &'a RegionHandle,
    left: Left,
}

impl Work<'_> {
    fn register(&self) -> Register<'_> {
        Register::new(self.caller, self.region)
    }

    fn take_out(&mut self) -> Result<(), Error> {
        // First of all: what fails later leaves hooks that pass through.
        // Nobody is to take the shut gate for that of a forked child.
        self.register().set_half(field::FOLLOW, 0)?;
        self.register().set_gate(false)?;
        fail_point("gate-closed")?;
        self.region.settle(self.caller, BUDGET)?;
        let entries = self.register().entries()?;
        arm::disarm(self.ground, self.caller, &entries)?;
        self.left.detours = entries.iter().filter(|entry| entry.patch_len != POINTER).count();
        let islands = self.own_islands(&entries)?;
        let copies = Copies::new(self.ground, self.region, &entries);
        let is_any_missing = copies.is_any_missing()?;
        self.restore_pointers(&copies)?;
        if let Some(addr) = is_any_missing.then(|| copies.elsewhere()).transpose()?.flatten() {
            return Err(Error::PointerKept { addr });
        }
        self.wait_outside(&islands)?;
        // A thread that was inside may have copied one on.
        while self.restore_pointers(&copies)? {
            self.wait_outside(&islands)?;
        }
        self.close_library()?;
        self.unmap(&islands)
    }

    /// Sets every function pointer back that leads to us; whether there was one.
    fn restore_pointers(&mut self, copies: &Copies) -> Result<bool, Error> {
        let swaps = copies.swaps()?;
        for batch in swaps.chunks(STEP_COUNT) {
            self.run_anywhere(batch)?;
            fail_point("pointers-restored")?;
        }
        Ok(!swaps.is_empty())
    }

    fn run_anywhere(&mut self, steps: &[Step]) -> Result<Vec<u64>, Error> {
        let launch = |stopped: Stopped<'_>| self.caller.run_program(stopped, self.region, steps, &[]);
        let flight = self.caller.on_some_thread(BUDGET, launch)?;
        let (results, _) = self.caller.land_program(flight, BUDGET)?;
        Ok(results)
    }

    /// The islands' pages that are mapped, and ours: private anonymous code.
    fn own_islands(&self, entries: &[Entry]) -> Result<Vec<Range<u64>>, Error> {
        let maps = self.ground.maps_now()?;
        let mut pages = mappings(
            entries.iter().filter(|e| e.island != 0).map(|e| e.island..e.island + u64::from(e.island_bytes)),
        );
        pages.retain(|range| is_code_of_ours(&maps, range));
        Ok(pages)
    }

    /// Waits until every hook was left, then looks at every thread.
    fn wait_outside(&mut self, islands: &[Range<u64>]) -> Result<(), Error> {
        // Some kernels (with nohz_full) have no global barrier: to be stopped is one.
        if barrier::global().is_err() {
            arm::stop_everybody_once(self.ground)?;
        }
        let thunks = self.region.at(STUB)..self.region.at(PROGRAM);
        let mut code = islands.to_vec();
        code.extend([library(&self.register())?, thunks.clone()]);
        code.retain(|range| !range.is_empty());
        let doomed = Doomed { code, thunks };
        let start = Instant::now();
        let mut census = Census::new(self.ground, &doomed);
        loop {
            let busy = self.busy_threads()?;
            let is_time = busy.is_empty() || start.elapsed() >= DOUBT;
            let inside = match is_time {
                true => census.anybody_inside(&mut self.judge, &busy, Patience::after(start.elapsed()))?,
                false => busy.first().copied(),
            };
            let Some(inside) = inside else { return Ok(()) };
            if start.elapsed() > LEAVE_DEADLINE {
                let tid = inside.0;
                let bytes = doomed.code.iter().map(|range| range.end - range.start).sum();
                return Err(Error::StillInside { tid, bytes });
            }
            std::thread::sleep(REST);
        }
    }

    /// The living threads that say that they are in a hook.
    fn busy_threads(&self) -> Result<Vec<Tid>, Error> {
        // The target's word: no region has more.
        let count = u64::from(self.register().half(field::SLOT_COUNT)?).min(SLOT_COUNTS.end);
        let size = size_of::<ThreadSlot>();
        let mut table = vec![0; count as usize * size];
        let memory = self.ground.process.memory();
        memory.read(self.region.at(SLOTS), &mut table).map_err(Error::io("reading the thread table"))?;
        let half = |slot: &[u8], at: usize| u32::from_ne_bytes(slot[at..at + 4].try_into().expect("of four"));
        let busy =
            table.chunks_exact(size).filter(|slot| half(slot, offset_of!(ThreadSlot, inside)) != inside::OUT);
        let busy: HashSet<u32> = busy.map(|slot| half(slot, offset_of!(ThreadSlot, owner))).collect();
        if busy.is_empty() {
            return Ok(Vec::new());
        }
        let tasks = self.ground.process.tasks().map_err(Error::io("listing the target's threads"))?;
        let own = |tid: Tid| self.ground.process.status(tid).ok()?.ns_pids.last().copied();
        Ok(tasks
            .into_iter()
            .filter(|&tid| own(tid).is_some_and(|own| busy.contains(&(own as u32))))
            .collect())
    }

    /// Has the target close the payload at a safe point.
    fn close_library(&mut self) -> Result<(), Error> {
        let handle = match self.register().word(field::LIBRARY_HANDLE)? {
            0 => self.unnoted_handle()?,
            handle => handle,
        };
        if handle == 0 || !has_library(&self.ground.maps_now()?) {
            return Ok(());
        }
        let loader =
            find_dlopen(&self.ground.modules).ok_or(Error::Unexpected("the target has no dlclose"))?;
        let steps = [call(loader.dlclose, [handle, 0])];
        self.judge.call(self.caller, self.region, &steps, &[])?;
        fail_point("payload-closed")?;
        self.register().set_word(field::LIBRARY_HANDLE, 0)?;
        match has_library(&self.ground.maps_now()?) {
            true => Err(Error::Unexpected("dlclose left the payload mapped: somebody else holds it")),
            false => Ok(()),
        }
    }

    /// What `dlopen` returned, if its attacher died before it could note it: the
    /// program is still there.
    fn unnoted_handle(&self) -> Result<u64, Error> {
        let memory = self.ground.process.memory();
        let at = |offset: usize| {
            let addr = self.region.program() + (offset_of!(Program, steps) + offset) as u64;
            memory.read_u64(addr).map_err(Error::io("reading the program"))
        };
        let loader = find_dlopen(&self.ground.modules);
        let is_dlopen = at(offset_of!(Step, what))? == step::CALL
            && loader.is_some_and(|loader| {
                at(offset_of!(Step, target)).is_ok_and(|target| target == loader.dlopen)
            });
        if is_dlopen { at(offset_of!(Step, result)) } else { Ok(0) }
    }

    /// Unmaps the islands, the ring and the unwind rows.
    fn unmap(&mut self, islands: &[Range<u64>]) -> Result<(), Error> {
        let maps = self.ground.maps_now()?;
        let names = [RING_NAME, ROWS_NAME].map(|name| format!("/memfd:{name} "));
        let is_ours = |m: &&Mapping| names.iter().any(|name| m.name.starts_with(name));
        let shared = maps.0.iter().filter(is_ours).map(|m| m.range.clone());
        let pages: Vec<Range<u64>> = islands.iter().cloned().chain(shared).collect();
        for batch in pages.chunks(STEP_COUNT) {
            let unmap = |r: &Range<u64>| syscall(libc::SYS_munmap, [r.start, r.end - r.start, 0, 0, 0, 0]);
            let steps: Vec<Step> = batch.iter().map(unmap).collect();
            self.run_anywhere(&steps)?
                .into_iter()
                .try_for_each(|result| check("munmap", result).map(drop))?;
            fail_point("islands-unmapped")?;
        }
        Ok(())
    }

    /// Closes descriptors that an attacher left which died within a millisecond.
    fn close_files(&mut self) -> Result<(), Error> {
        let find = |name| memfd::find(&self.ground.process, name).unwrap_or_default();
        let fds: Vec<u64> = [PAYLOAD_NAME, RING_NAME, ROWS_NAME].into_iter().flat_map(find).collect();
        let can_run = matches!(self.region.progress(), Progress::Complete(_));
        if fds.is_empty() || !can_run {
            return Ok(());
        }
        let steps: Vec<Step> = fds.iter().map(|&fd| syscall(libc::SYS_close, [fd, 0, 0, 0, 0, 0])).collect();
        self.run_anywhere(&steps)?;
        Ok(fail_point("files-closed")?)
    }
}

/// Where the payload lies, as the register says.
fn library(register: &Register) -> Result<Range<u64>, Error> {
    let (base, bytes) = (register.word(field::LIBRARY_BASE)?, register.word(field::LIBRARY_BYTES)?);
    Ok(base..base.saturating_add(bytes))
}

fn has_library(maps: &Maps) -> bool {
    let name = format!("/memfd:{PAYLOAD_NAME}");
    maps.0.iter().any(|mapping| mapping.name.starts_with(&name))
}

fn is_code_of_ours(maps: &Maps, pages: &Range<u64>) -> bool {
    let mut at = pages.start;
    while at < pages.end {
        match maps.at(at) {
            Some(m) if m.is_anonymous() && m.exec && !m.write && !m.shared && m.name.is_empty() => {
                at = m.range.end
            }
            _ => return false,
        }
    }
    true
}
