//! A child of ours that sees to it that we hold nobody while we are stopped.
//!
//! Who traces a thread can be stopped as anybody can, by Ctrl-Z or SIGSTOP, and what
//! it holds then is held for as long as that takes. The child is in a session of its
//! own. When it finds us stopped with somebody in our hands it has us go on: such a stop
//! is undone. (To stop us again later could come after the signal that was to end it.)
//!
//! ```text
//!  we      HOLDERS += 1, wake ──► trace ──► HOLDERS -= 1
//!  child   futex ──► nap ──► still HOLDERS, and we are stopped? SIGCONT
//! ```
//!
//! It dies with us. Nothing helps against a freezer that stops both.

use nix::fcntl::{OFlag, open};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, Pid, fork, getppid, read, setsid};
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// So long a hold usually takes at most.
const NAP: Duration = Duration::from_millis(5);
/// How many of our threads hold somebody; shared with the child.
static HOLDERS: OnceLock<&'static AtomicU32> = OnceLock::new();

/// Starts the child. To be called once, while this process has one thread. Without it
/// all works the same, but for the protection.
pub fn post() {
    let Some(holders) = shared_word() else { return };
    let own = Pid::this();
    #[expect(unsafe_code)]
    // SAFETY: there is no other thread, whose locks the child could miss.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => watch(own, holders),
        Ok(ForkResult::Parent { .. }) => drop(HOLDERS.set(holders)),
        Err(_) => {}
    }
}

/// Says that somebody is held, until it is dropped.
pub(super) struct Hold(Option<&'static AtomicU32>);

impl Hold {
    pub(super) fn new() -> Hold {
        let holders = HOLDERS.get().copied();
        if let Some(holders) = holders {
            holders.fetch_add(1, SeqCst);
            futex(holders, libc::FUTEX_WAKE, 1);
        }
        Hold(holders)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(holders) = self.0 {
            holders.fetch_sub(1, SeqCst);
        }
    }
}

fn shared_word() -> Option<&'static AtomicU32> {
    let page = NonZeroUsize::new(size_of::<AtomicU32>())?;
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    #[expect(unsafe_code)]
    // SAFETY: a new mapping, zeroed and never unmapped, in which an atomic may lie.
    unsafe {
        let word = mmap_anonymous(None, page, access, MapFlags::MAP_SHARED).ok()?;
        Some(&*word.as_ptr().cast::<AtomicU32>())
    }
}

/// The child's life.
fn watch(parent: Pid, holders: &AtomicU32) -> ! {
    let prepared = set_pdeathsig(Signal::SIGKILL).is_ok() && setsid().is_ok() && getppid() == parent;
    close_all();
    if prepared {
        loop {
            futex(holders, libc::FUTEX_WAIT, 0);
            std::thread::sleep(NAP);
            if holders.load(SeqCst) != 0 && is_stopped(parent) {
                let _gone = kill(parent, Signal::SIGCONT);
            }
        }
    }
    #[expect(unsafe_code)]
    // SAFETY: ends the process and nothing else.
    unsafe {
        libc::_exit(1)
    }
}

/// Whoever waits for the end of our output must not wait for the child.
fn close_all() {
    #[expect(unsafe_code)]
    // SAFETY: the child uses no descriptor that it has not opened itself.
    let _none_left = unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) };
}

/// Whether job control has stopped the process: `T`, the third word of its `stat`.
fn is_stopped(pid: Pid) -> bool {
    let mut text = [0; 256];
    let file = open(format!("/proc/{pid}/stat").as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
    let len = file.and_then(|file| read(&file, &mut text)).unwrap_or(0);
    let end = text[..len].iter().rposition(|&byte| byte == b')');
    end.is_some_and(|end| text[end..len].starts_with(b") T "))
}

/// `futex(2)` with a value; a wait ends at once if the word is not that value.
fn futex(word: &AtomicU32, operation: i32, value: u32) {
    #[expect(unsafe_code)]
    // SAFETY: a live word; without a timeout nothing else is read.
    let _woken = unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, std::ptr::null::<libc::timespec>())
    };
}
