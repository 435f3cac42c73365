//! Programs that call into libc: only on a thread that is proven to be at a safe
//! point.

use super::ground::refused;
use super::look::{Doomed, Stacks, holds, words};
use super::{Error, Ground};
use crate::native::Unwinder;
use prof_injector::call::{CallError, Caller, Unsuitable};
use prof_injector::process::{Maps, Tid};
use prof_injector::region::RegionHandle;
use prof_injector::safepoint::{Forbidden, Look, Verdict};
use prof_injector::tracee::{Fitness, Stopped, choose};
use prof_shared::region::Step;
use prof_shared::row::{End, Regs, saved_words};
use std::collections::HashSet;
use std::ops::Range;
use std::time::{Duration, Instant};

/// How long a safe point is looked for.
const SEARCH_BUDGET: Duration = Duration::from_secs(5);
/// How long a program may take: `dlopen` may wait for another thread's.
const RUN_DEADLINE: Duration = Duration::from_secs(10);
/// After so many tries words that are shown to be stale no longer count.
const PATIENCE: u32 = 8;

/// How often the leader is looked at before the others are.
const LEADER_TRIES: u32 = 3;
/// A stack with more than this on it takes longer to judge than a thread should be held.
const DEEP_BYTES: u64 = 512 << 10;
/// So long threads with such stacks are passed over, in the hope that they come up.
const DEEP_PATIENCE: Duration = Duration::from_secs(1);

/// Whether threads with very deep stacks are judged, or passed over for now.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// They are passed over.
    Left,
    /// They are judged, though that holds them up.
    Spent,
}

impl Patience {
    /// After so long a time of trying.
    pub fn after(elapsed: Duration) -> Patience {
        if elapsed < DEEP_PATIENCE { Patience::Left } else { Patience::Spent }
    }
}

/// When a stack is walked by unwind rules.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// If a word on it points into the code.
    IfNeeded,
    /// In any case: a handler on an alternate stack hides the stack that it interrupted
    /// from a scan.
    Always,
}

/// Most frames walked.
const FRAME_LIMIT: usize = 10_000;

/// What a safe call brought.
pub struct Called {
    /// The result of each step.
    pub results: Vec<u64>,
    /// How many threads and moments were looked at.
    pub tries: u32,
}

/// Tries the leader first: malloc has memory for it already, while a call in a
/// thread that never allocated would leave a new arena behind. An error that does
/// not say that the thread was left alone ends the search: the program may run.
fn on_leader<T: Send>(
    ground: &Ground,
    caller: &Caller,
    mut launch: impl FnMut(Stopped<'_>) -> Result<T, CallError> + Send,
) -> Result<Option<T>, CallError> {
    let leader = Tid(ground.process.pid().as_raw());
    let is_fit = |(tid, fitness): &(Tid, Fitness)| *tid == leader && *fitness != Fitness::Interrupts;
    if !choose(&ground.process).unwrap_or_default().iter().any(is_fit) {
        return Ok(None);
    }
    for _ in 0..LEADER_TRIES {
        match caller.on_thread(leader, &mut launch) {
            Ok(launched) => return Ok(Some(launched)),
            Err(error) if error.is_worth_another_try() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Judges stopped threads.
pub struct Judge<'g> {
    ground: &'g Ground,
    forbidden: Forbidden,
    unwinder: Unwinder<&'g [u8]>,
    maps: Maps,
}

impl<'g> Judge<'g> {
    /// With the rules of all modules; `extra` is forbidden code besides libc's.
    pub fn new(ground: &'g Ground, extra: &[Range<u64>]) -> Result<Judge<'g>, Error> {
        let forbidden = Forbidden::from_modules(&ground.modules, extra);
        let forbidden = forbidden.map_err(|error| refused(error.to_string(), None))?;
        let mut unwinder = Unwinder::new();
        for module in &ground.modules {
            // One without rules ends a walk early, and then the scan decides.
            let _has_no_rules = unwinder.add(module.text.clone(), module.load_bias, &module.data[..]);
        }
        Ok(Judge { ground, forbidden, unwinder, maps: ground.maps_now()? })
    }

    /// Looks at the mappings anew: threads have come since.
    pub fn refresh(&mut self) -> Result<(), Error> {
        self.maps = self.ground.maps_now()?;
        Ok(())
    }

    /// Runs `steps` on some thread at a safe point.
    pub fn call(
        &mut self,
        caller: &Caller,
        region: &RegionHandle,
        steps: &[Step],
        text: &[u8],
    ) -> Result<Called, Error> {
        self.refresh()?;
        let ground = self.ground;
        let start = Instant::now();
        let mut tries = 0;
        let mut seen = HashSet::new();
        let mut launch = |stopped: Stopped<'_>| {
            tries += 1;
            let registers = stopped.registers()?;
            // A thread that has not moved keeps its stale words for ever.
            let is_still = !seen.insert((stopped.tid(), registers.rip, registers.rsp));
            let is_time = self.is_time(&registers, Patience::after(start.elapsed()));
            match is_time && self.is_safe(&stopped, is_still || tries > PATIENCE)? {
                true => caller.run_program(stopped, region, steps, text),
                false => Err(CallError::Unsuitable { tid: stopped.tid(), why: Unsuitable::UnsafePlace }),
            }
        };
        let flight = match on_leader(ground, caller, &mut launch)? {
            Some(flight) => flight,
            None => caller.on_some_thread(SEARCH_BUDGET, launch)?,
        };
        let (results, _) = caller.land_program(flight, RUN_DEADLINE)?;
        Ok(Called { results, tries })
    }

    /// Whether a stopped thread is outside of `code` and will not return there: no
    /// word of its stack points there, or the stack was walked to its end and
    /// shows that such words are stale.
    pub fn is_outside(
        &mut self,
        stopped: &Stopped,
        Doomed { code, thunks }: &Doomed,
        walk: Walk,
        patience: Patience,
    ) -> bool {
        let Ok(registers) = stopped.registers() else { return false };
        if about_to_enter(&registers, code, thunks) || !self.is_time(&registers, patience) {
            return false;
        }
        let memory = self.ground.process.memory();
        let stack = words(&memory, &self.maps, registers.rsp);
        let is_clean = stack.as_ref().is_some_and(|stack| !stack.iter().any(|word| holds(code, word)));
        if walk == Walk::IfNeeded && is_clean {
            return true;
        }
        let mut stacks = Stacks::new(memory, &self.maps, stack);
        let regs = Regs { pc: registers.rip, sp: registers.rsp, bp: registers.rbp, bx: registers.rbx };
        let walked = self.unwinder.unwind(regs, FRAME_LIMIT, |addr| stacks.word(addr));
        let mut interrupted = walked.contexts.iter().flat_map(|&context| saved_words(context));
        walked.end == End::Complete
            && !walked.pcs.iter().any(|&pc| holds(code, pc))
            && interrupted.all(|at| stacks.word(at).is_some_and(|word| !thunks.contains(&word)))
    }

    /// Whether the stack may be judged now: it is short, or there is no more patience.
    fn is_time(&self, registers: &libc::user_regs_struct, patience: Patience) -> bool {
        let is_deep = stack_end(&self.maps, registers).is_some_and(|end| end - registers.rsp > DEEP_BYTES);
        patience == Patience::Spent || !is_deep
    }

    /// Whether the thread is at a safe point.
    fn is_safe(&mut self, stopped: &Stopped, accept_stale: bool) -> Result<bool, CallError> {
        let registers = stopped.registers()?;
        // One that waits at our wish will go on as if it had never waited.
        let registers = self.ground.held.and_then(|held| held.beyond(&registers)).unwrap_or(registers);
        let regs = Regs { pc: registers.rip, sp: registers.rsp, bp: registers.rbp, bx: registers.rbx };
        let memory = self.ground.process.memory();
        let look = Look { regs, memory: &memory, maps: &self.maps, accept_stale };
        Ok(self.forbidden.judge(&look, |pc| self.unwinder.row(pc)) == Verdict::Safe)
    }
}

/// Where a thread's stack ends. Above lies the thread's descriptor, if it is a stack that
/// a thread was started with (glibc, `nptl/allocatestack.c`).
fn stack_end(maps: &Maps, registers: &libc::user_regs_struct) -> Option<u64> {
    let (sp, descriptor) = (registers.rsp, registers.fs_base);
    let end = maps.at(sp)?.range.end;
    Some(if (sp..end).contains(&descriptor) { descriptor } else { end })
}

/// Whether the next instruction is in `code`, or may call one of the `thunks` by a
/// register: a function pointer (`tp_dealloc`) is loaded before it is called. Nobody
/// makes a system call in between, so the registers of a thread in one are only stale:
/// they stay as they are for as long as it waits. What else of the code a register may
/// hold, our own code has left there.
fn about_to_enter(registers: &libc::user_regs_struct, code: &[Range<u64>], thunks: &Range<u64>) -> bool {
    let is_in_syscall = (registers.orig_rax as i64) >= 0;
    let r = registers;
    let scratch = [r.rax, r.rcx, r.rdx, r.rsi, r.rdi, r.r8, r.r9, r.r10, r.r11];
    let kept = [r.rbx, r.rbp, r.r12, r.r13, r.r14, r.r15];
    holds(code, r.rip) || !is_in_syscall && scratch.iter().chain(&kept).any(|word| thunks.contains(word))
}
