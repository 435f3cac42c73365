//! Whether a thread that was let go has had a processor since.
//!
//! On a busy machine it waits for one, perhaps for long. Asked to stop meanwhile it would be
//! stopped at the beginning of its turn, again and again, and come no further:
//!
//! ```text
//!  let go ──── waits for its turn ────► arrives ── runs ── asked to stop
//!                                       └ seen here └ time ┘
//! ```

use crate::process::{Process, Tid};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two looks.
pub(super) const NAP: Duration = Duration::from_micros(50);

/// The next turn of a thread that is stopped now.
pub(super) struct Turn<'p> {
    process: &'p Process,
    tid: Tid,
    /// Turns that it has had; `None` where the kernel does not count them.
    had: Option<u64>,
}

impl<'p> Turn<'p> {
    /// After the turns that it has had. It must be stopped, or about to report something.
    pub fn after(process: &'p Process, tid: Tid) -> Turn<'p> {
        Turn { process, tid, had: process.turns(tid) }
    }

    /// Whether it has come.
    pub fn has_come(&self) -> bool {
        self.had.is_none() || self.process.turns(self.tid) != self.had
    }

    /// Waits until it has come, up to `deadline`, and for `time` from then on.
    pub fn wait(&self, time: Duration, deadline: Duration) {
        let start = Instant::now();
        while !self.has_come() && start.elapsed() < deadline {
            sleep(NAP);
        }
        sleep(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Activity;
    use nix::unistd::Pid;
    use std::process::{Command, Stdio};

    #[test]
    fn it_comes_to_one_that_is_woken() {
        let mut sleeper = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(sleeper.id() as i32);
        let (process, tid) = (Process::open(pid).unwrap(), Tid(pid.as_raw()));
        let waits = |activity| matches!(activity, Activity::Blocked { number: libc::SYS_read, args, .. } if args[0] == 0);
        while !process.activity(tid).is_ok_and(waits) {
            sleep(NAP);
        }
        let turn = Turn::after(&process, tid);
        let is_counted = turn.had.is_some();
        assert_eq!(turn.has_come(), !is_counted, "it waits for input");
        drop(sleeper.stdin.take());
        turn.wait(Duration::ZERO, Duration::from_secs(60));
        assert!(turn.has_come());
        sleeper.wait().unwrap();
    }
}
