//! The ptrace requests and waits that `nix` does not offer.

use super::TraceError;
use crate::arch::Registers;
use crate::process::Tid;
use nix::errno::Errno;
use std::ffi::c_void;
use std::ptr;

/// `NT_X86_XSTATE` (uapi/linux/elf.h).
const NT_X86_XSTATE: usize = 0x202;
/// `PTRACE_GET_RSEQ_CONFIGURATION` (Linux 5.13).
const GET_RSEQ_CONFIGURATION: libc::c_uint = 0x420f;
/// `PTRACE_PEEKSIGINFO`.
const PEEKSIGINFO: libc::c_uint = 0x4209;
/// `PTRACE_PEEKSIGINFO_SHARED`.
const PEEK_SHARED: u32 = 1;
/// `PTRACE_SECCOMP_GET_FILTER`.
const SECCOMP_GET_FILTER: libc::c_uint = 0x420c;
/// `PTRACE_SETSIGMASK`.
const SETSIGMASK: libc::c_uint = 0x420b;
/// Bytes of the kernel's `sigset_t`.
const SIGSET_BYTES: usize = 8;
/// `PTRACE_EVENT_STOP`.
const EVENT_STOP: i32 = 128;

/// What a traced thread reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Nothing yet.
    Nothing,
    /// It exited or was killed.
    Exited,
    /// It stopped because we asked it to.
    Interrupted,
    /// It is stopped by job control.
    GroupStop,
    /// It is about to take this signal.
    Signal(i32),
}

/// Where a thread registered its `struct rseq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RseqArea {
    /// Its address; 0 if it registered none.
    pub addr: u64,
}

#[repr(C)]
struct RseqConfiguration {
    pointer: u64,
    size: u32,
    signature: u32,
    flags: u32,
    pad: u32,
}

#[repr(C)]
struct PeekSignals {
    offset: u64,
    flags: u32,
    count: i32,
}

/// Lets the calling thread, and those that it starts, go before others while it holds
/// somebody up: first of all threads where that is allowed, else as it was.
pub fn hurry() {
    // Short sleeps are to be short.
    let _ = nix::sys::prctl::set_timerslack(1);
    let lowest_realtime = libc::sched_param { sched_priority: 1 };
    #[expect(unsafe_code)]
    // SAFETY: a live struct that the call only reads; 0 means the calling thread.
    let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &lowest_realtime) };
}

/// Gives the calling thread more of the processors than others get where they are short, if
/// that is allowed; else all stays as it was.
pub fn take_precedence() {
    /// Nine times the weight of a usual thread (sched(7)).
    const NICE: libc::c_int = -10;
    #[expect(unsafe_code)]
    // SAFETY: the call takes integers only; 0 means the calling thread.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}

/// Looks what `tid` reported, without waiting.
pub fn poll_report(tid: Tid) -> Result<Report, TraceError> {
    let mut status = 0;
    #[expect(unsafe_code)]
    // SAFETY: `status` is a live int for the call to fill. (`nix` rejects stops by
    // realtime signals, hence the bare call.)
    let result = unsafe { libc::waitpid(tid.0, &mut status, libc::__WALL | libc::WNOHANG) };
    match Errno::result(result) {
        Ok(0) | Err(Errno::EINTR) => Ok(Report::Nothing),
        Ok(_) => Ok(classify(status)),
        Err(_) => Ok(Report::Exited),
    }
}

fn classify(status: i32) -> Report {
    if !libc::WIFSTOPPED(status) {
        return Report::Exited;
    }
    match (status >> 16, libc::WSTOPSIG(status)) {
        (EVENT_STOP, libc::SIGTRAP) => Report::Interrupted,
        (EVENT_STOP, _) => Report::GroupStop,
        (_, signal) => Report::Signal(signal),
    }
}

/// One request whose two last arguments are integers or pointers that outlive
/// the call; every caller below passes pointers to its own live locals.
fn request(
    name: &'static str,
    number: libc::c_uint,
    tid: Tid,
    addr: usize,
    data: *mut c_void,
) -> Result<i64, TraceError> {
    #[expect(unsafe_code)]
    // SAFETY: callers pass for `data` either an integer or a pointer to a live
    // object of the size that the request reads or writes.
    let result = unsafe { libc::ptrace(number, tid.0, addr as *mut c_void, data) };
    Errno::result(result).map_err(|errno| failure(name, tid, errno))
}

/// The error that `errno` of a request means.
pub fn failure(request: &'static str, tid: Tid, errno: Errno) -> TraceError {
    match errno {
        Errno::ESRCH => TraceError::Gone(tid),
        Errno::EPERM => TraceError::Refused(tid),
        errno => TraceError::Request { request, tid, errno },
    }
}

/// Seizes `tid`, with no option: our death must let it go, not kill it.
pub fn seize(tid: Tid) -> Result<(), TraceError> {
    request("PTRACE_SEIZE", libc::PTRACE_SEIZE, tid, 0, ptr::null_mut()).map(drop)
}

/// What a child that starts has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has ended, with this wait status.
    Ended(i32),
    /// It executes a new program.
    Exec,
    /// A system call begins or ends.
    Call,
    /// It is about to take this signal.
    Signal(i32),
    /// It is stopped by job control.
    GroupStop,
    /// Nothing that matters.
    Other,
}

/// Seizes a child that is to report its system calls and execs. No other option: our
/// death must let it go.
pub fn seize_startup(tid: Tid) -> Result<(), TraceError> {
    let options = (libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACEEXEC) as usize;
    request("PTRACE_SEIZE", libc::PTRACE_SEIZE, tid, 0, options as *mut c_void).map(drop)
}

/// Lets a stopped child run, with `signal` or 0, to its next system call or only to what
/// it reports anyway.
pub fn run_on(tid: Tid, to_call: bool, signal: i32) -> Result<(), TraceError> {
    let (name, number) = match to_call {
        true => ("PTRACE_SYSCALL", libc::PTRACE_SYSCALL),
        false => ("PTRACE_CONT", libc::PTRACE_CONT),
    };
    request(name, number, tid, 0, signal as usize as *mut c_void).map(drop)
}

/// Waits for what a child that starts does next.
pub fn wait_progress(tid: Tid) -> Result<Progress, TraceError> {
    wait_end(tid).map(progress)
}

/// Waits for a child of ours, that is not traced, to end; its wait status.
pub fn wait_end(tid: Tid) -> Result<i32, TraceError> {
    let mut status = 0;
    loop {
        #[expect(unsafe_code)]
        // SAFETY: `status` is a live int for the call to fill.
        let result = unsafe { libc::waitpid(tid.0, &mut status, libc::__WALL) };
        match Errno::result(result) {
            Ok(_) => return Ok(status),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(failure("waitpid", tid, errno)),
        }
    }
}

fn progress(status: i32) -> Progress {
    /// With `PTRACE_O_TRACESYSGOOD` (ptrace(2)).
    const CALL: i32 = libc::SIGTRAP | 0x80;
    if !libc::WIFSTOPPED(status) {
        return Progress::Ended(status);
    }
    match (status >> 16, libc::WSTOPSIG(status)) {
        (0, CALL) => Progress::Call,
        (0, signal) => Progress::Signal(signal),
        (libc::PTRACE_EVENT_EXEC, _) => Progress::Exec,
        (EVENT_STOP, signal) if signal != libc::SIGTRAP => Progress::GroupStop,
        _ => Progress::Other,
    }
}

/// Asks a seized thread to stop.
pub fn interrupt(tid: Tid) -> Result<(), TraceError> {
    request("PTRACE_INTERRUPT", libc::PTRACE_INTERRUPT, tid, 0, ptr::null_mut()).map(drop)
}

/// Lets a stopped thread run, with `signal` or 0.
pub fn resume(tid: Tid, signal: i32) -> Result<(), TraceError> {
    request("PTRACE_CONT", libc::PTRACE_CONT, tid, 0, signal as usize as *mut c_void).map(drop)
}

/// Keeps a job-control stop as it is, and listens.
pub fn listen(tid: Tid) -> Result<(), TraceError> {
    request("PTRACE_LISTEN", libc::PTRACE_LISTEN, tid, 0, ptr::null_mut()).map(drop)
}

/// Lets go of a stopped thread.
pub fn detach(tid: Tid) -> Result<(), TraceError> {
    request("PTRACE_DETACH", libc::PTRACE_DETACH, tid, 0, ptr::null_mut()).map(drop)
}

/// The general registers.
pub fn registers(tid: Tid) -> Result<Registers, TraceError> {
    nix::sys::ptrace::getregs(tid.as_pid()).map_err(|errno| failure("PTRACE_GETREGS", tid, errno))
}

/// Sets the general registers.
pub fn set_registers(tid: Tid, registers: Registers) -> Result<(), TraceError> {
    nix::sys::ptrace::setregs(tid.as_pid(), registers).map_err(|errno| failure("PTRACE_SETREGS", tid, errno))
}

/// The vector and floating point state in the standard xsave format.
pub fn xstate(tid: Tid) -> Result<Vec<u8>, TraceError> {
    // AMX makes it 11,008 bytes.
    let mut bytes = vec![0u8; 32 << 10];
    let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let data: *mut libc::iovec = &mut vector;
    request("PTRACE_GETREGSET", libc::PTRACE_GETREGSET, tid, NT_X86_XSTATE, data.cast())?;
    bytes.truncate(vector.iov_len);
    Ok(bytes)
}

/// The blocked signals, as they will be again once a wait with a mask of its own ends.
pub fn signal_mask(tid: Tid) -> Result<u64, TraceError> {
    let mut mask = 0u64;
    let data: *mut u64 = &mut mask;
    request("PTRACE_GETSIGMASK", libc::PTRACE_GETSIGMASK, tid, SIGSET_BYTES, data.cast())?;
    Ok(mask)
}

/// Sets the blocked signals.
pub fn set_signal_mask(tid: Tid, mut mask: u64) -> Result<(), TraceError> {
    let data: *mut u64 = &mut mask;
    request("PTRACE_SETSIGMASK", SETSIGMASK, tid, SIGSET_BYTES, data.cast()).map(drop)
}

/// The thread's rseq registration; `None` where the kernel cannot tell.
pub fn rseq(tid: Tid) -> Result<Option<RseqArea>, TraceError> {
    let mut answer = RseqConfiguration { pointer: 0, size: 0, signature: 0, flags: 0, pad: 0 };
    let data: *mut RseqConfiguration = &mut answer;
    let size = size_of::<RseqConfiguration>();
    match request("PTRACE_GET_RSEQ_CONFIGURATION", GET_RSEQ_CONFIGURATION, tid, size, data.cast()) {
        Ok(_) => Ok(Some(RseqArea { addr: answer.pointer })),
        Err(TraceError::Request { errno: Errno::EIO | Errno::EINVAL, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The instructions of the thread's seccomp filters, each in one word; `None` where they
/// cannot be told: to whoever is under a filter or without CAP_SYS_ADMIN, by a kernel
/// without CONFIG_CHECKPOINT_RESTORE, of a filter that was no classic one.
pub fn seccomp_filters(tid: Tid) -> Result<Option<Vec<Vec<u64>>>, TraceError> {
    const NAME: &str = "PTRACE_SECCOMP_GET_FILTER";
    let mut filters = Vec::new();
    loop {
        let index = filters.len();
        let get = |data| request(NAME, SECCOMP_GET_FILTER, tid, index, data);
        let length = match get(ptr::null_mut()) {
            Ok(length) => length as usize,
            // No filter, no more filters.
            Err(TraceError::Request { errno: Errno::EINVAL | Errno::ENOENT, .. }) => {
                return Ok(Some(filters));
            }
            Err(error @ (TraceError::Gone(_) | TraceError::Refused(_))) => return Err(error),
            Err(_) => return Ok(None),
        };
        let mut words = vec![0u64; length];
        get(words.as_mut_ptr().cast())?;
        filters.push(words);
    }
}

/// Signals queued for the thread or its process, blocked or not (signal n in bit n - 1).
pub fn pending_signals(tid: Tid) -> Result<u64, TraceError> {
    Ok(queued(tid, 0)? | queued(tid, PEEK_SHARED)?)
}

fn queued(tid: Tid, flags: u32) -> Result<u64, TraceError> {
    const AT_ONCE: usize = 8;
    let (mut set, mut offset) = (0, 0);
    loop {
        // Each a `siginfo_t` of 128 bytes that begins with the signal's number.
        let mut infos = [[0i32; 32]; AT_ONCE];
        let mut which = PeekSignals { offset, flags, count: AT_ONCE as i32 };
        let which: *mut PeekSignals = &mut which;
        let data = infos.as_mut_ptr().cast();
        let count = request("PTRACE_PEEKSIGINFO", PEEKSIGINFO, tid, which as usize, data)? as usize;
        for info in &infos[..count.min(AT_ONCE)] {
            set |= 1u64.checked_shl((info[0] - 1) as u32).unwrap_or(0);
        }
        if count < AT_ONCE {
            return Ok(set);
        }
        offset += AT_ONCE as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_of_a_child_is_told_apart() {
        let stop = |event: i32, signal: i32| event << 16 | signal << 8 | 0x7f;
        let cases = [
            (stop(0, libc::SIGTRAP | 0x80), Progress::Call),
            (stop(0, libc::SIGTRAP), Progress::Signal(libc::SIGTRAP)),
            (stop(libc::PTRACE_EVENT_EXEC, libc::SIGTRAP), Progress::Exec),
            (stop(EVENT_STOP, libc::SIGTSTP), Progress::GroupStop),
            (stop(EVENT_STOP, libc::SIGTRAP), Progress::Other),
            (3 << 8, Progress::Ended(3 << 8)),
            (libc::SIGKILL, Progress::Ended(libc::SIGKILL)),
        ];
        for (status, expected) in cases {
            assert_eq!(progress(status), expected, "{status:#x}");
        }
    }

    #[test]
    fn stops_are_told_apart() {
        let stop = |event: i32, signal: i32| event << 16 | signal << 8 | 0x7f;
        let cases = [
            (stop(EVENT_STOP, libc::SIGTRAP), Report::Interrupted),
            (stop(EVENT_STOP, libc::SIGSTOP), Report::GroupStop),
            (stop(EVENT_STOP, libc::SIGTTOU), Report::GroupStop),
            (stop(0, libc::SIGUSR1), Report::Signal(libc::SIGUSR1)),
            (stop(0, libc::SIGSTOP), Report::Signal(libc::SIGSTOP)),
            (stop(0, 64), Report::Signal(64)),
            (0, Report::Exited),
            (libc::SIGKILL, Report::Exited),
        ];
        for (status, expected) in cases {
            assert_eq!(classify(status), expected, "{status:#x}");
        }
    }
}
