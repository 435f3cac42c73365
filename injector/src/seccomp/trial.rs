//! Whether this process lives through the calls: a child of it tries each, with
//! arguments that do nothing.
//!
//! For a target that is under the same filters, where nobody may read them.

use super::{Action, CALLS, Call, Objection};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

/// The first call that kills. That one fails is seen when the target makes it.
pub fn objection() -> Option<Objection> {
    // A return without a frame would end the child in any case. This process handles signals.
    let calls = CALLS.iter().filter(|call| call.number != libc::SYS_rt_sigreturn);
    let killer = calls.into_iter().find(|call| kills(call))?;
    Some(Objection { call: killer.name, action: Action::KillProcess })
}

fn kills(call: &Call) -> bool {
    #[expect(unsafe_code)]
    // SAFETY: the child makes two system calls and takes no lock.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => attempt(call),
        Ok(ForkResult::Parent { child }) => {
            matches!(waitpid(child, None), Ok(WaitStatus::Signaled(_, Signal::SIGSYS, _)) | Err(_))
        }
        Err(_) => true,
    }
}

fn attempt(call: &Call) -> ! {
    // As a descriptor, an address or a process: none.
    let [a, b, c, d, e, f] = call.args.map(|arg| arg.unwrap_or(u64::MAX));
    #[expect(unsafe_code)]
    // SAFETY: whatever it does happens to this child, which ends at once.
    unsafe {
        libc::syscall(call.number, a, b, c, d, e, f);
        libc::_exit(0)
    }
}
