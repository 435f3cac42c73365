//! Getting in.
//!
//! ```text
//!  A  region            forged signal frames map it: no code of ours runs yet
//!  B  memfds            a program in the region makes them, we fill them
//!     payload, ring     a program at a safe point: dlopen, close, mmap
//!  C  islands           a program maps them; entries stand in the register first
//!     pointers          compare-and-swaps executed in the target
//!     detours           one byte each
//!     gate              one byte: from here on events are recorded
//! ```
//!
//! After any step the target runs on by itself, and [`super::withdraw()`] finds in
//! the target all that it needs to take the steps back.

use super::clock::{Clock, Reading};
use super::islands::Islands;
use super::modules::Modules;
use super::pointers::{Pointer, swap_in};
use super::register::{Register, field};
use super::ring::Ring;
use super::row_file;
use super::safe::Judge;
use super::sampling;
use super::withdraw::take_back;
use super::{Error, Ground, arm};
use crate::PAYLOAD;
use crate::cpython::{DomainFunction, Interpreter};
use object::{Object, ObjectSymbol};
use prof_injector::arch::xstate;
use prof_injector::call::Caller;
use prof_injector::detour::{Function, Limits, Plan, STACK_GUARD_BYTES};
use prof_injector::failpoint::fail_point;
use prof_injector::memfd;
use prof_injector::preflight::Needs;
use prof_injector::process::Maps;
use prof_injector::region::RegionHandle;
use prof_injector::safepoint::{allocator_text, find_dlopen};
use prof_shared::region::{Entry, HEADER, STEP_COUNT, STUB, Shape, Step, step};
use prof_shared::ring;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::iter;
use std::ops::Range;
use std::time::Duration;

/// How long a thread is looked for, for each call.
const BUDGET: Duration = Duration::from_secs(5);
/// How often islands are planned anew when their pages were taken meanwhile.
const PLANS: usize = 8;
/// In front of the names of hooks that record samples only.
const SAMPLED: &str = "sampled_";
/// Where in the stub's page the thunks of function pointers lie, behind the stub.
pub const STUB_THUNKS: u64 = STUB + 0x800;
/// Slots for threads: at least so many, at most so many.
pub const SLOT_COUNTS: Range<u64> = 256..4096;
/// All threads together wait so long a second for a free chunk: 1 / 25 s. From its stop on
/// a stopped attacher is waited for within two such seconds: 80 ms.
const WAIT_SHARE: u64 = 25;
/// Name of the ring's memfd.
pub const RING_NAME: &str = "prof-ring";
/// Name of the memfd of unwind rows.
pub const ROWS_NAME: &str = "prof-rows";
/// How the name of the payload's memfd begins; the build follows.
pub const PAYLOAD_NAME: &str = "prof-payload-";

/// What of the target is recorded besides libc's functions.
pub struct Recorded {
    /// The interpreter.
    pub python: Interpreter,
    /// The functions of its allocator tables; none if only its requests to libc count.
    pub domains: Vec<DomainFunction>,
    /// Whether children that it forks record themselves, too.
    pub follows: bool,
    /// Whether stacks have native frames.
    pub native: bool,
    /// Only samples of the blocks are recorded, so many bytes apart on average.
    pub sample: Option<u64>,
}

/// What stands in the target now.
pub struct Installed<'g> {
    /// The private region.
    pub region: RegionHandle,
    /// The ring.
    pub ring: Ring,
    /// The functions that are detoured.
    pub detours: Vec<(Function, Plan)>,
    /// The function pointers that are swapped.
    pub pointers: Vec<Entry>,
    /// The functions that are not, and why.
    pub refused: Vec<String>,
    /// When the gate was opened.
    pub opened: Reading,
    /// How many threads and moments were looked at for a safe point.
    pub tries: u32,
    /// The modules, if stacks have native frames.
    pub modules: Option<Modules<'g>>,
}

/// The name of this build's payload.
pub fn payload_name() -> String {
    format!("{PAYLOAD_NAME}{:08x}", crc32fast::hash(PAYLOAD))
}

/// The region for a process of so many threads.
fn shape_for(threads: u64, has_native: bool) -> Shape {
    let slot_count = (4 * threads).next_power_of_two().clamp(SLOT_COUNTS.start, SLOT_COUNTS.end);
    Shape { slot_count, has_native }
}

/// What a recording takes of a process of so many threads. Pages of the region are
/// there once they are touched; the ring is charged to us, who touch it first.
pub fn needs(threads: u64, ring: ring::Shape, native: bool) -> Needs {
    const FIXED: u64 = 4 << 20;
    const A_THREAD: u64 = 16 << 10;
    const OURSELVES: u64 = 64 << 20;
    let memory = FIXED + threads * A_THREAD;
    Needs {
        memory,
        shared_memory: memory + ring.total_bytes() + OURSELVES,
        address_space: shape_for(threads, native).total_bytes()
            + ring.total_bytes()
            + if native { row_file::USUAL_BYTES } else { 0 }
            + FIXED,
    }
}

/// Puts everything in place and opens the gate. After an error all is as before.
pub fn install<'g>(
    ground: &'g Ground,
    caller: &Caller,
    judge: &mut Judge,
    what: &Recorded,
    ring_shape: ring::Shape,
    clock: Clock,
) -> Result<Installed<'g>, Error> {
    let threads = ground.process.tasks().map_err(Error::io("listing the target's threads"))?.len() as u64;
    let shape = shape_for(threads, what.native);
    let (region, _) = match RegionHandle::create(caller, shape, BUDGET) {
        Ok(created) => created,
        Err(error) => return Err(failed(ground, caller, error.into())),
    };
    let mut work =
        Work { ground, caller, judge, what, region: &region, clock, tries: 0, modules: None, row_bytes: 0 };
    match work.run(ring_shape) {
        Ok((ring, islands, pointers, opened)) => {
            let (detours, tries, modules) = (islands.planned().to_vec(), work.tries, work.modules);
            let refused = islands.refused;
            Ok(Installed { region, ring, opened, detours, pointers, refused, tries, modules })
        }
        Err(error) => Err(failed(ground, caller, error)),
    }
}

/// Takes back what was done; the error to tell.
fn failed(ground: &Ground, caller: &Caller, error: Error) -> Error {
    match take_back(ground) {
        Ok(()) if caller.is_image_gone() => {
            let has_ended = ground.process.wait_exit(Duration::ZERO).unwrap_or(true);
            let how = if has_ended { "has ended" } else { "has executed another program" };
            Error::TargetGone { pid: ground.process.pid().as_raw(), how }
        }
        Ok(()) => error,
        Err(also) => Error::NotTakenBack { first: Box::new(error), also: Box::new(also) },
    }
}

struct Work<'a, 'j, 'g> {
    ground: &'g Ground,
    caller: &'a Caller<'a>,
    judge: &'a mut Judge<'j>,
    what: &'a Recorded,
    region: &'a RegionHandle,
    clock: Clock,
    tries: u32,
    modules: Option<Modules<'g>>,
    row_bytes: u64,
}

impl Work<'_, '_, '_> {
    fn run(&mut self, ring_shape: ring::Shape) -> Result<(Ring, Islands, Vec<Entry>, Reading), Error> {
        self.write_numbers(ring_shape)?;
        fail_point("numbers-written")?;
        let files = self.make_files()?;
        fail_point("memfds-made")?;
        fill(
            &memfd::open(&self.ground.process, files.payload)
                .map_err(Error::io("opening the payload's memfd"))?,
        )?;
        let file =
            memfd::open(&self.ground.process, files.ring).map_err(Error::io("opening the ring's memfd"))?;
        let ring = Ring::create(file, ring_shape).map_err(Error::io("making the ring"))?;
        fail_point("memfds-filled")?;
        ring.beat(self.clock);
        self.make_rows(&files)?;
        let base = self.load(&files, ring_shape)?;
        self.publish_rows(base)?;
        let hooks = hook_addresses(base, self.what.sample.is_some());
        let islands = self.build_islands(&hooks)?;
        let pointers = self.swap_pointers(&hooks)?;
        arm::arm(self.ground, self.caller, &self.register().entries()?)?;
        let opened = self.clock.read();
        self.register().set_gate(true)?;
        fail_point("gate-opened")?;
        // Not before: a vforked child would take the shut gate for a forked one's.
        self.register().set_half(field::FOLLOW, self.what.follows.into())?;
        Ok((ring, islands, pointers, opened))
    }

    fn register(&self) -> Register<'_> {
        Register::new(self.caller, self.region)
    }

    fn write_numbers(&self, ring: ring::Shape) -> Result<(), Error> {
        let register = self.register();
        let own_pid = self.ground.own_pid()?;
        let rate = self.clock.rough_rate();
        register.set_half(field::CHUNK_SIZE, ring.chunk_size)?;
        register.set_half(field::CHUNK_COUNT, ring.chunk_count)?;
        register.set_word(field::RING_DATA, ring.data_offset())?;
        register.set_half(field::OWN_PID, own_pid)?;
        register.set_half(field::TID_OFFSET, super::tcb::tid_offset(self.ground, &self.what.python)?)?;
        register.set_half(field::TICK_SHIFT, self.clock.shift())?;
        // glibc does (malloc/malloc.c, __libc_realloc), and so do jemalloc and mimalloc.
        register.set_half(field::REALLOC_ZERO_FREES, 1)?;
        register.set_word(field::TICKS_PER_SECOND, rate)?;
        register.set_word(field::WAIT_BUDGET_TICKS, rate / WAIT_SHARE)?;
        if let Some(text) = allocator_text(&self.ground.modules) {
            register.set_word(field::ALLOCATOR_START, text.start)?;
            register.set_word(field::ALLOCATOR_BYTES, text.end - text.start)?;
        }
        if let Some(module) = self.ground.module_of(&self.what.python) {
            register.set_word(field::INTERPRETER_START, module.range.start)?;
            register.set_word(field::INTERPRETER_BYTES, module.range.end - module.range.start)?;
            register.set_word(field::ARENA_BYTES, self.what.python.arena_bytes())?;
        }
        if let Some(interval) = self.what.sample {
            register.set_word(field::SAMPLE_INTERVAL, interval)?;
            register.set_word(field::BUCKET_MASK, sampling::buckets(interval) - 1)?;
        }
        register.set_half(field::SIGNAL_FRAME_BYTES, xstate::smallest_signal_frame())?;
        register.set_half(field::ROOT_PID, own_pid)?;
        register.set_offsets(&self.what.python.offsets())
    }

    /// Fills the file of unwind rows, if there is one.
    fn make_rows(&mut self, files: &Files) -> Result<(), Error> {
        let Some(rows) = files.rows else { return Ok(()) };
        let file = memfd::open(&self.ground.process, rows);
        let file = file.map_err(Error::io("opening the memfd of unwind rows"))?;
        let mut modules = Modules::new(self.ground, file);
        self.row_bytes = modules.seal()?;
        self.modules = Some(modules);
        Ok(())
    }

    /// Has the target use them.
    fn publish_rows(&mut self, base: u64) -> Result<(), Error> {
        let Some(modules) = &mut self.modules else { return Ok(()) };
        let maps = self.ground.maps_now()?;
        let name = format!("/memfd:{}", payload_name());
        let own = maps.0.iter().filter(|m| m.exec && m.name.starts_with(&name) && m.range.start >= base);
        let text: Vec<_> = own.map(|m| m.range.clone()).collect();
        modules.publish(&text, base)?;
        let stack = main_stack(self.ground, &maps)?;
        let register = self.register();
        register.set_word(field::MAIN_STACK_LOW, stack.start)?;
        register.set_word(field::MAIN_STACK_END, stack.end)?;
        register.set_word(field::NATIVE_BYTES, self.row_bytes)
    }

    /// Has the target make the memfds.
    fn make_files(&mut self) -> Result<Files, Error> {
        const NOEXEC_SEAL: u64 = 8; // MFD_NOEXEC_SEAL, Linux 6.3
        let flags = u64::from(libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING);
        let mut names = vec![payload_name() + "\0", RING_NAME.to_owned() + "\0"];
        names.extend(self.what.native.then(|| ROWS_NAME.to_owned() + "\0"));
        let text = names.concat();
        let starts = names.iter().scan(self.region.text(), |at, name| {
            *at += name.len() as u64;
            Some(*at - name.len() as u64)
        });
        let starts: Vec<u64> = starts.collect();
        let create = |flags: u64| -> Vec<Step> {
            starts.iter().map(|&name| syscall(libc::SYS_memfd_create, [name, flags, 0, 0, 0, 0])).collect()
        };
        let mut results = self.run_anywhere(&create(flags | NOEXEC_SEAL), text.as_bytes())?;
        if results.contains(&(-i64::from(libc::EINVAL) as u64)) {
            results = self.run_anywhere(&create(flags), text.as_bytes())?;
        }
        let fds = results.iter().map(|&result| check("memfd_create", result));
        match fds.collect::<Result<Vec<u64>, Error>>()?[..] {
            [payload, ring] => Ok(Files { payload, ring, rows: None }),
            [payload, ring, rows] => Ok(Files { payload, ring, rows: Some(rows) }),
            _ => Err(Error::Unexpected("a program had not as many results as steps")),
        }
    }

    /// Runs a program of plain system calls and swaps.
    fn run_anywhere(&mut self, steps: &[Step], text: &[u8]) -> Result<Vec<u64>, Error> {
        let launch = |stopped: prof_injector::tracee::Stopped<'_>| {
            self.caller.run_program(stopped, self.region, steps, text)
        };
        let flight = self.caller.on_some_thread(BUDGET, launch)?;
        let (results, _) = self.caller.land_program(flight, BUDGET)?;
        Ok(results)
    }

    /// Loads the payload and maps the ring; where the payload lies.
    fn load(&mut self, files: &Files, ring: ring::Shape) -> Result<u64, Error> {
        let loader =
            find_dlopen(&self.ground.modules).ok_or(Error::Unexpected("the target has no dlopen"))?;
        let path = path(files.payload) + "\0";
        let mode = (libc::RTLD_NOW | libc::RTLD_LOCAL) as u64 | loader.mode_bits;
        let protection = (libc::PROT_READ | libc::PROT_WRITE) as u64;
        let mut steps = vec![
            call(loader.dlopen, [self.region.text(), mode]),
            syscall(libc::SYS_close, [files.payload, 0, 0, 0, 0, 0]),
            syscall(
                libc::SYS_mmap,
                [0, ring.total_bytes(), protection, libc::MAP_SHARED as u64, files.ring, 0],
            ),
            syscall(libc::SYS_close, [files.ring, 0, 0, 0, 0, 0]),
        ];
        let rows_at = steps.len();
        if let Some(rows) = files.rows {
            let protection = libc::PROT_READ as u64;
            steps.extend([
                syscall(libc::SYS_mmap, [0, self.row_bytes, protection, libc::MAP_SHARED as u64, rows, 0]),
                syscall(libc::SYS_close, [rows, 0, 0, 0, 0, 0]),
            ]);
        }
        let error_at = steps.len();
        steps.extend(loader.dlerror.map(|dlerror| call(dlerror, [0, 0])));
        let called = self.judge.call(self.caller, self.region, &steps, path.as_bytes())?;
        self.tries = called.tries;
        fail_point("payload-loaded")?;
        let mapped = check("mmap", called.results[2])?;
        self.register().set_word(field::RING, mapped)?;
        self.register().set_word(field::RING_BYTES, ring.total_bytes())?;
        if files.rows.is_some() {
            self.register().set_word(field::NATIVE, check("mmap", called.results[rows_at])?)?;
            fail_point("rows-noted")?;
        }
        fail_point("ring-noted")?;
        match called.results[0] {
            0 => Err(Error::Dlopen(self.text_at(called.results.get(error_at).copied()))),
            handle => self.enter_library(handle),
        }
    }

    /// What `dlerror` returned.
    fn text_at(&self, addr: Option<u64>) -> String {
        let mut bytes = [0; 256];
        let read = addr.and_then(|addr| self.ground.process.memory().read_some(addr, &mut bytes).ok());
        let text = &bytes[..read.unwrap_or(0)];
        let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
        String::from_utf8_lossy(&text[..end]).escape_debug().to_string()
    }

    /// Notes where the library lies: `l_addr` is the first word of glibc's `link_map`
    /// (link.h), to which a handle points.
    fn enter_library(&self, handle: u64) -> Result<u64, Error> {
        let memory = self.ground.process.memory();
        let base = memory.read_u64(handle).map_err(Error::io("reading the payload's link map"))?;
        let maps = self.ground.maps_now()?;
        let name = format!("/memfd:{}", payload_name());
        let own = maps.0.iter().filter(|m| m.name.starts_with(&name) && m.range.start >= base);
        let end =
            own.map(|m| m.range.end).max().ok_or(Error::Unexpected("dlopen returned another library"))?;
        let register = self.register();
        register.set_word(field::LIBRARY_HANDLE, handle)?;
        fail_point("handle-noted")?;
        register.set_word(field::LIBRARY_BASE, base)?;
        register.set_word(field::LIBRARY_BYTES, end - base)?;
        fail_point("library-noted")?;
        Ok(base)
    }

    /// Plans, registers, maps and writes the islands.
    fn build_islands(&mut self, hooks: &HashMap<&'static str, u64>) -> Result<Islands, Error> {
        let header = self.region.at(HEADER);
        let mut islands = Islands::plan(self.ground, &self.ground.maps_now()?)?;
        let mut mapped: Vec<Range<u64>> = Vec::new();
        for _ in 0..PLANS {
            self.register().set_entries(&islands.entries(header))?;
            fail_point("islands-registered")?;
            let wanted: Vec<_> =
                islands.pages().into_iter().filter(|pages| !mapped.contains(pages)).collect();
            let taken = self.map_pages(&wanted)?;
            mapped.extend(wanted.into_iter().filter(|pages| !taken.contains(pages)));
            if taken.is_empty() {
                self.write_islands(&islands, hooks)?;
                return Ok(islands);
            }
            taken.iter().try_for_each(|pages| islands.lose(self.ground, pages))?;
        }
        Err(Error::Unexpected("the target takes the places of the islands faster than they are planned"))
    }

    /// Maps pages in the target; those that were not free.
    fn map_pages(&mut self, wanted: &[Range<u64>]) -> Result<Vec<Range<u64>>, Error> {
        let protection = (libc::PROT_READ | libc::PROT_EXEC) as u64;
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE) as u64;
        let mut taken = Vec::new();
        for batch in wanted.chunks(STEP_COUNT) {
            let map = |pages: &Range<u64>| {
                syscall(
                    libc::SYS_mmap,
                    [pages.start, pages.end - pages.start, protection, flags, u64::MAX, 0],
                )
            };
            let steps: Vec<Step> = batch.iter().map(map).collect();
            let results = self.run_anywhere(&steps, &[])?;
            fail_point("islands-mapped")?;
            for (pages, result) in batch.iter().zip(results) {
                match result {
                    _ if result == pages.start => {}
                    _ if result == -i64::from(libc::EEXIST) as u64 => taken.push(pages.clone()),
                    _ => return Err(check("mmap of an island", result).err().unwrap_or(OLD_KERNEL)),
                }
            }
        }
        Ok(taken)
    }

    fn write_islands(&self, islands: &Islands, hooks: &HashMap<&'static str, u64>) -> Result<(), Error> {
        arm::while_seized(self.ground, || self.write_each_island(islands, hooks))
    }

    fn write_each_island(&self, islands: &Islands, hooks: &HashMap<&'static str, u64>) -> Result<(), Error> {
        for (index, (_, plan)) in islands.planned().iter().enumerate() {
            let hook = hooks.get(plan.hook.symbol()).ok_or(Error::Unexpected("the payload lacks a hook"))?;
            let island = plan.assemble(self.register().entry_addr(index), *hook);
            self.write_code(island.addr, &island.bytes)?;
            fail_point("island-written")?;
        }
        Ok(())
    }

    /// Writes to pages that the target may only execute.
    fn write_code(&self, addr: u64, bytes: &[u8]) -> Result<(), Error> {
        let told = fail_point("code-refused").map_err(|_| io::Error::from_raw_os_error(libc::EIO));
        let written = told.and_then(|()| self.caller.writer().write(addr, bytes));
        written.map_err(|source| Error::CodeRefused { source })
    }

    /// Leads the interpreter's function pointers to the hooks. Their entries stand behind
    /// the detours'.
    fn swap_pointers(&mut self, hooks: &HashMap<&'static str, u64>) -> Result<Vec<Entry>, Error> {
        let register = self.register();
        let pointers = self.pointers()?;
        let detours = register.entries()?;
        let entries: Vec<Entry> =
            pointers.iter().enumerate().map(|(index, pointer)| pointer.entry(self.region, index)).collect();
        for (index, pointer) in pointers.iter().enumerate() {
            let hook = hooks.get(pointer.hook()).ok_or(Error::Unexpected("the payload lacks a hook"))?;
            let (place, thunk) = pointer.thunk(index, register.entry_addr(detours.len() + index), *hook);
            arm::while_seized(self.ground, || self.write_code(self.region.at(place), &thunk))?;
        }
        register.set_entries(&[detours, entries.clone()].concat())?;
        fail_point("pointers-registered")?;
        let swaps: Vec<Step> = entries.iter().map(swap_in).collect();
        let found = self.run_anywhere(&swaps, &[])?;
        fail_point("pointers-swapped")?;
        match entries.iter().zip(found).all(|(entry, found)| entry.function == found) {
            true => Ok(entries),
            false => Err(Error::Unexpected("somebody else changed a function pointer of the interpreter")),
        }
    }

    fn pointers(&self) -> Result<Vec<Pointer>, Error> {
        let memory = self.ground.process.memory();
        let domains = self.what.domains.iter().copied().map(Pointer::domain);
        Ok(iter::once(Pointer::dealloc(&self.what.python, &memory)?).chain(domains).collect())
    }
}

/// Descriptors in the target.
struct Files {
    payload: u64,
    ring: u64,
    rows: Option<u64>,
}

/// Without a limit the kernel maps from below, but never comes so near.
const DEEPEST_STACK: u64 = 1 << 30;

/// Where the main thread's stack may be, from as low as it may grow to its end. The kernel maps
/// nothing above the first mappings that it made at the start of the program, which are the
/// highest below the stack.
fn main_stack(ground: &Ground, maps: &Maps) -> Result<Range<u64>, Error> {
    let limits = Limits::read(ground.process.pid()).map_err(Error::io("reading the target's limits"))?;
    let Some(at) = maps.0.iter().position(|mapping| mapping.name == "[stack]") else { return Ok(0..0) };
    let (range, below) = (&maps.0[at].range, at.checked_sub(1).map_or(0, |below| maps.0[below].range.end));
    let room = range.end.saturating_sub(limits.stack_bytes.unwrap_or(DEEPEST_STACK).min(DEEPEST_STACK));
    Ok(below.saturating_add(STACK_GUARD_BYTES).max(room).min(range.start)..range.end)
}

/// A kernel before 4.17 takes the address for a hint.
const OLD_KERNEL: Error = Error::Unexpected("the kernel does not know MAP_FIXED_NOREPLACE");

/// A raw system call.
pub fn syscall(number: i64, args: [u64; 6]) -> Step {
    Step { what: step::SYSCALL, target: number as u64, args, result: 0 }
}

/// A call of a function.
pub fn call(function: u64, [first, second]: [u64; 2]) -> Step {
    Step { what: step::CALL, target: function, args: [first, second, 0, 0, 0, 0], result: 0 }
}

/// The kernel's answer: -4095 … -1 is an errno.
pub fn check(call: &'static str, result: u64) -> Result<u64, Error> {
    match result as i64 {
        errno @ -4095..=-1 => {
            Err(Error::RemoteCall { call, source: io::Error::from_raw_os_error(-errno as i32) })
        }
        _ => Ok(result),
    }
}

fn fill(file: &File) -> Result<(), Error> {
    let mut file = file;
    file.write_all(PAYLOAD).map_err(Error::io("writing the payload"))
}

/// A name for the descriptor that glibc has not seen: it hands back the old
/// library for a name that it knows.
fn path(fd: u64) -> String {
    let lot = Clock::Counter.now() as usize % 100;
    format!("/proc/self/fd/{}{fd}", "./".repeat(lot))
}

/// Where the payload's hooks are; those of blocks, if only samples are recorded, in place of
/// those that record all.
fn hook_addresses(base: u64, is_sampled: bool) -> HashMap<&'static str, u64> {
    let file = object::File::parse(PAYLOAD).expect("built together with us");
    let symbols = file.dynamic_symbols();
    let all = symbols.filter_map(|symbol| Some((symbol.name().ok()?, base.wrapping_add(symbol.address()))));
    let mut hooks: HashMap<_, _> = all.collect();
    if is_sampled {
        let sampled = hooks.iter().filter_map(|(name, &addr)| Some((name.strip_prefix(SAMPLED)?, addr)));
        let sampled: Vec<_> = sampled.collect();
        hooks.extend(sampled);
    }
    hooks
}
