//! How an interrupted system call goes on after a call of ours.
//!
//! A stop ends a wait with a code that the kernel itself would turn into a
//! restart. After `rt_sigreturn` it no longer does, so the frame has to say it:
//!
//! | `rax` at the stop | meaning | what the thread is restored to |
//! |---|---|---|
//! | −512 −513 −514 | restart with the same arguments | the call begins anew |
//! | −516 | restart with the time that is left; lost by a sigreturn | anew where that changes nothing, else EINTR, as after a handler |
//! | −4 (EINTR) | the call never restarts | anew where it would wait without limit, else as it is |
//! | else | the call is over | as it is |
//!
//! Sources: `include/linux/errno.h`, `arch/x86/kernel/signal.c`
//! (`arch_do_signal_or_restart`), signal(7).

use super::Registers;

const ERESTARTSYS: i64 = -512;
const ERESTARTNOINTR: i64 = -513;
const ERESTARTNOHAND: i64 = -514;
const ERESTART_RESTARTBLOCK: i64 = -516;
const EINTR: i64 = -(libc::EINTR as i64);

/// Bytes of `syscall`.
const SYSCALL_BYTES: u64 = 2;

/// How a blocked system call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It begins anew, which its caller does not see.
    Anew,
    /// It returns EINTR, or may.
    Interrupt,
}

/// The registers to restore a thread to that was stopped with `registers`, while
/// no signal waited for it.
pub fn resumed(registers: &Registers) -> Registers {
    let r = *registers;
    if (r.orig_rax as i64) < 0 {
        return r;
    }
    let anew = Registers { rax: r.orig_rax, rip: r.rip.wrapping_sub(SYSCALL_BYTES), ..r };
    let args = [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9];
    match r.rax as i64 {
        ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND => anew,
        ERESTART_RESTARTBLOCK | EINTR if has_no_relative_limit(r.orig_rax, &args) => anew,
        ERESTART_RESTARTBLOCK => Registers { rax: EINTR as u64, ..r },
        _ => r,
    }
}

/// For a thread whose wait the kernel would go on with by `restart_syscall`: registers with
/// which it does not, but begins anew or returns EINTR.
pub fn interrupted(registers: &Registers) -> Option<Registers> {
    let is_waiting = registers.orig_rax as i64 >= 0 && registers.rax as i64 == ERESTART_RESTARTBLOCK;
    is_waiting.then(|| Registers { orig_rax: u64::MAX, ..resumed(registers) })
}

/// For a thread that is let go as it was found: the registers with which its wait goes
/// on, if the kernel would let it return EINTR, or go on by `restart_syscall`: that does not
/// tell which wait it is, so after another stop it could not begin anew.
pub fn uninterrupted(registers: &Registers) -> Option<Registers> {
    let resumed = resumed(registers);
    let is_anew =
        matches!(registers.rax as i64, EINTR | ERESTART_RESTARTBLOCK) && resumed.rip != registers.rip;
    // The kernel looks at an interrupted call once more, and shall see none.
    is_anew.then_some(Registers { orig_rax: u64::MAX, ..resumed })
}

/// How a call that waits now will go on, judged by its number and arguments.
pub fn restart_of(number: u64, args: &[u64; 6]) -> Restart {
    match has_no_relative_limit(number, args) || kernel_restarts(number, args) {
        true => Restart::Anew,
        false => Restart::Interrupt,
    }
}

/// Calls that the kernel does not restart by their arguments, but that may be
/// begun anew: they wait without limit, not at all, or up to a moment rather than
/// for a time.
fn has_no_relative_limit(number: u64, args: &[u64; 6]) -> bool {
    const FUTEX_COMMAND: u64 = 127;
    let no_time = |millis: u64| (millis as i32) <= 0;
    match number as i64 {
        libc::SYS_poll => no_time(args[2]),
        libc::SYS_epoll_wait | libc::SYS_epoll_pwait => no_time(args[3]),
        libc::SYS_epoll_pwait2 | libc::SYS_semtimedop => args[3] == 0,
        libc::SYS_rt_sigtimedwait => args[2] == 0,
        libc::SYS_io_getevents => args[4] == 0,
        libc::SYS_semop => true,
        libc::SYS_futex => args[1] & FUTEX_COMMAND == libc::FUTEX_WAIT_BITSET as u64,
        _ => false,
    }
}

/// Calls that the kernel restarts with the same arguments (those with a
/// socket timeout return EINTR instead, which cannot be seen from here).
fn kernel_restarts(number: u64, args: &[u64; 6]) -> bool {
    match number as i64 {
        libc::SYS_futex => args[3] == 0,
        libc::SYS_clock_nanosleep => args[1] & libc::TIMER_ABSTIME as u64 != 0,
        libc::SYS_read | libc::SYS_readv | libc::SYS_pread64 | libc::SYS_preadv => true,
        libc::SYS_write | libc::SYS_writev | libc::SYS_pwrite64 | libc::SYS_pwritev => true,
        libc::SYS_recvfrom | libc::SYS_recvmsg | libc::SYS_sendto | libc::SYS_sendmsg => true,
        libc::SYS_accept | libc::SYS_accept4 | libc::SYS_wait4 | libc::SYS_waitid => true,
        libc::SYS_select | libc::SYS_pselect6 | libc::SYS_ppoll => true,
        libc::SYS_pause | libc::SYS_rt_sigsuspend | libc::SYS_flock | libc::SYS_msgrcv => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopped(number: i64, rax: i64, args: [u64; 6]) -> Registers {
        #[expect(unsafe_code)]
        // SAFETY: plain integers, for which zero is a value.
        let zero: Registers = unsafe { std::mem::zeroed() };
        let [rdi, rsi, rdx, r10, r8, r9] = args;
        Registers {
            orig_rax: number as u64,
            rax: rax as u64,
            rip: 0x1000,
            rdi,
            rsi,
            rdx,
            r10,
            r8,
            r9,
            ..zero
        }
    }

    #[test]
    fn each_way_a_wait_can_be_cut_short() {
        const FOREVER: u64 = u32::MAX as u64;
        let anew = |number: i64| (number, 0xffe);
        let as_is = |rax: i64| (rax, 0x1000);
        let cases = [
            (libc::SYS_read, -512, [0; 6], anew(libc::SYS_read)),
            (libc::SYS_wait4, -513, [0; 6], anew(libc::SYS_wait4)),
            (libc::SYS_pause, -514, [0; 6], anew(libc::SYS_pause)),
            (libc::SYS_nanosleep, -516, [0; 6], as_is(-4)),
            (libc::SYS_poll, -516, [0, 1, 600, 0, 0, 0], as_is(-4)),
            (libc::SYS_poll, -516, [0, 1, FOREVER, 0, 0, 0], anew(libc::SYS_poll)),
            (libc::SYS_poll, -516, [0, 1, 0, 0, 0, 0], anew(libc::SYS_poll)),
            (libc::SYS_futex, -516, [0, 128, 0, 1, 0, 0], as_is(-4)),
            (libc::SYS_futex, -516, [0, 9 | 128 | 256, 0, 1, 0, 0], anew(libc::SYS_futex)),
            (libc::SYS_epoll_wait, -4, [3, 0, 1, FOREVER, 0, 0], anew(libc::SYS_epoll_wait)),
            (libc::SYS_epoll_wait, -4, [3, 0, 1, 600, 0, 0], as_is(-4)),
            (libc::SYS_recvfrom, -4, [0; 6], as_is(-4)),
            (libc::SYS_read, 12, [0; 6], as_is(12)),
            (libc::SYS_read, -11, [0; 6], as_is(-11)),
            // Not in a system call: what rax holds is the program's own.
            (-1, -512, [0; 6], as_is(-512)),
        ];
        for (number, rax, args, expected) in cases {
            let r = resumed(&stopped(number, rax, args));
            assert_eq!((r.rax as i64, r.rip), expected, "{number} {rax} {args:?}");
        }
    }

    #[test]
    fn a_thread_let_go_as_it_was_goes_on_waiting() {
        const FOREVER: u64 = u32::MAX as u64;
        let forever = [3, 0, 1, FOREVER, 0, 0];
        let r = uninterrupted(&stopped(libc::SYS_epoll_wait, -4, forever)).expect("begins anew");
        assert_eq!((r.rax as i64, r.rip, r.orig_rax as i64), (libc::SYS_epoll_wait, 0xffe, -1));
        let limited = [3, 0, 1, 600, 0, 0];
        assert!(uninterrupted(&stopped(libc::SYS_epoll_wait, -4, limited)).is_none());
        let until = [0, 9 | 128 | 256, 0, 1, 0, 0];
        let r = uninterrupted(&stopped(libc::SYS_futex, -516, until)).expect("begins anew");
        assert_eq!((r.rax as i64, r.rip, r.orig_rax as i64), (libc::SYS_futex, 0xffe, -1));
        assert!(uninterrupted(&stopped(libc::SYS_nanosleep, -516, [0; 6])).is_none());
        // The kernel does these itself.
        assert!(uninterrupted(&stopped(libc::SYS_read, -512, [0; 6])).is_none());
        assert!(uninterrupted(&stopped(-1, -4, forever)).is_none());
    }
}
